"""Starts and stops the processes of a tuning.

Each trial has a process of its own: TensorFlow keeps memory, thread pools and compiled graphs until its
process ends, and a trial that uses up the memory must fail alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from bitext.components.artifacts import ModelRun, Selection, Validation
from bitext.components.shared import errors
from bitext.components.shared.errors import BitextError, DataError
from bitext.components.trainer.process import path_of_package
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.layout import Layout

MODULE = "bitext.pipeline.tuning.process_main"
STOP_SECONDS = 60.0
"""How long a process may take to end after SIGTERM before it is killed."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a process does.

    Attributes:
      config: the configuration, with the settings of the trial.
      run_id: the id of the run.
      nodes: the nodes that it executes, in order.
      trial: the name of the trial; empty: it executes the nodes for the run itself.
      cores: the processors that it may use.
      parent: the id of the process that it must not outlive.
      folder: the folder for its result.
      log: its log.
    """

    config: PipelineConfig
    run_id: str
    nodes: tuple[str, ...]
    trial: str
    cores: tuple[int, ...]
    parent: int
    folder: str
    log: str


class Announcement(msgspec.Struct, frozen=True):
    """The node that a process is about to execute.

    Attributes:
      node: its name.
      cache_key: the cache key of its work.
    """

    node: str
    cache_key: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a process.

    Attributes:
      execution: the id of the execution of the last node; None: it has failed.
      is_cached: whether that execution is an earlier one.
      validations: those of the training.
      selection: which weights it exported, and their scores.
      steps: the most updates of the training; 0: unknown.
      error: what is wrong; empty: nothing.
      remedy: what to do about it.
      failure: the error as JSON (`errors.as_json`), if it is one that a person can act on; empty: it is not.
    """

    execution: int | None = None
    is_cached: bool = False
    validations: list[Validation] = []
    selection: Selection | None = None
    steps: int = 0
    error: str = ""
    remedy: str = ""
    failure: str = ""

    def exception(self) -> BitextError:
        """Returns the error as an exception of its own class."""
        known = errors.from_json(self.failure) if self.failure else None
        return known or BitextError(self.error, self.remedy)


REQUEST, ANNOUNCEMENT, RESULT, LIVE = "request.json", "announcement.json", "result.json", "progress.json"


class Process:
    """A process in progress.

    Args:
      request: what it does.
      layout: the folders of the pipeline root.
      is_shown: whether what it prints goes to the terminal, and not to its log.
    """

    def __init__(self, request: Request, layout: Layout, *, is_shown: bool = False):
        self._layout, self._folder, self._is_interrupted = layout, Path(request.folder), False
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        Path(request.log).parent.mkdir(parents=True, exist_ok=True)
        (self._folder / REQUEST).write_bytes(msgspec.json.encode(request))
        with open(request.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, str(self._folder / REQUEST)],
                stdin=subprocess.DEVNULL,
                stdout=None if is_shown else log,
                stderr=None if is_shown else log,
                env=os.environ | path_of_package(),
                start_new_session=True,  # Ctrl-C is for this process, which stops the others
            )

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None: it runs."""
        return self._process.poll()

    def result(self) -> Result:
        """Returns its result, once it has ended."""
        code = self._process.wait()
        try:
            return msgspec.json.decode((self._folder / RESULT).read_bytes(), type=Result)
        except (OSError, msgspec.MsgspecError):
            hint = "the memory was used up, probably (`dmesg` says so)" if code == -signal.SIGKILL else ""
            return Result(error=f"its process ended with {_ending(code)}", remedy=hint)

    @property
    def announcement(self) -> Announcement | None:
        """The node that it executes now, or did last; None: none so far."""
        try:
            return msgspec.json.decode((self._folder / ANNOUNCEMENT).read_bytes(), type=Announcement)
        except (OSError, msgspec.MsgspecError):
            return None

    def training(self) -> tuple[list[Validation], int]:
        """Returns the validations so far and the most updates of the training; empty if it does not train."""
        now = self.announcement
        if now is None or now.node != ModelRun.NODE:
            return [], 0
        return validations_in(self._layout.working(now.node, now.cache_key))

    def discard_training(self) -> None:
        """Removes the checkpoints of a training that will not be continued. The process must have ended."""
        now = self.announcement
        if now is not None and now.node == ModelRun.NODE:
            shutil.rmtree(self._layout.working(now.node, now.cache_key), ignore_errors=True)

    def interrupt(self) -> None:
        """Sends SIGTERM, once: a second signal would end it without a record.

        SIGTERM ends it as Ctrl-C does, and a background job of a shell ignores SIGINT.
        """
        if not self._is_interrupted and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._is_interrupted = True

    def stop(self) -> None:
        """Interrupts it and waits until it has ended; kills it if that takes long."""
        self.interrupt()
        end = time.monotonic() + STOP_SECONDS
        while self._process.poll() is None:
            if time.monotonic() > end:
                self._process.kill()
            time.sleep(0.05)


def validations_in(folder: Path) -> tuple[list[Validation], int]:
    """Returns the validations on record in a folder, and the most updates of the training; ([], 0): none yet.

    Args:
      folder: the working folder of a Trainer, which may be writing.
    """
    record = ModelRun(folder)
    try:
        return record.history_so_far(), record.size().steps
    except (OSError, DataError, msgspec.MsgspecError):
        return [], 0


def _ending(code: int) -> str:
    return f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
