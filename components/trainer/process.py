"""Starts the process that trains together with others, and passes on what it says.

TensorFlow connects to other processes only if it does so before anything else. `bitext run` has used it for
the data by then, so the training is a process of its own. This also ends a process that waits for others.
"""

from __future__ import annotations

import os
import selectors
import site
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import msgspec

import bitext
from bitext.components.component import Context
from bitext.components.shared import errors
from bitext.components.shared.errors import BitextError, EnvironmentFault
from bitext.components.shared.progress import Progress

POLL_SECONDS = 1.0
MODULE = "bitext.components.trainer.process_main"


class Said(msgspec.Struct, frozen=True, tag=True):
    """A line for the user.

    Attributes:
      text: the line.
    """

    text: str


class Shown(msgspec.Struct, frozen=True, tag=True):
    """How far the training is.

    Attributes:
      unit, total, done, figures, is_drawn, is_ended: as of `Progress`.
    """

    unit: str
    total: int | None
    done: int
    figures: dict[str, str | int | float]
    is_drawn: bool
    is_ended: bool


class Joined(msgspec.Struct, frozen=True, tag=True):
    """All workers are there."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The training has failed.

    Attributes:
      kind: the name of the class of the error.
      message: what is wrong.
      remedy: what to do.
      number: the `errno` of an OSError.
      path: the path of an OSError.
    """

    kind: str
    message: str
    remedy: str = ""
    number: int | None = None
    path: str | None = None

    def error(self) -> Exception:
        """Returns the error as the caller of the process raises it."""
        kind = getattr(errors, self.kind, None)
        if isinstance(kind, type) and issubclass(kind, BitextError):
            return kind(self.message, self.remedy)
        if self.number is not None:
            return OSError(self.number, self.message, self.path)
        return RuntimeError(f"the process that trains has failed: {self.kind}: {self.message}")


class Done(msgspec.Struct, frozen=True, tag=True):
    """The training is complete.

    Attributes:
      properties: the properties of each output, by its key.
    """

    properties: dict[str, dict[str, int | float | str]] = {}


Message = Said | Shown | Joined | Failed | Done


def run(
    request: dict[str, Any], tf_config: str, context: Context, wait: Callable[[bool], bool]
) -> Done | None:
    """Runs the process to its end.

    Args:
      request: what it does, of plain types.
      tf_config: its TF_CONFIG.
      context: prints its lines and shows how far it is. `temp_dir` takes the request.
      wait: is called about once a second with whether all workers are there. It may raise, and returns
        whether the process is to go on.

    Returns:
      The results; None: `wait` ended the process.

    Raises:
      EnvironmentFault: the process was killed.
      BitextError, OSError or RuntimeError: the error of the process.
    """
    file = context.temp_dir.absolute() / "request.json"
    file.write_bytes(msgspec.json.encode(request))
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE, str(file)],
        stdin=subprocess.PIPE,  # its end tells the process that this one is gone
        stdout=subprocess.PIPE,
        env=os.environ | {"TF_CONFIG": tf_config} | path_of_package(),
        start_new_session=True,  # Ctrl-C is for this process
    )
    try:
        return _listen(process, context, wait)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def path_of_package() -> dict[str, str]:
    """Returns PYTHONPATH with the folder of this package, unless Python finds it anyway."""
    folder = str(Path(bitext.__file__).parents[1])
    if folder in (*site.getsitepackages(), site.getusersitepackages()):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))}


def _listen(process: subprocess.Popen[bytes], context: Context, wait: Callable[[bool], bool]) -> Done | None:
    """Passes on the messages of the process until it ends."""
    shown: Progress | None = None
    is_joined, result = False, None
    for message in _messages(process.stdout):
        match message:
            case None:
                if not wait(is_joined):
                    return None
            case Said(text):
                context.say(text)
            case Shown():
                shown = shown or Progress(
                    message.unit, message.total, message.done, context.observe, is_drawn=message.is_drawn
                )
                shown.done, shown.figures, shown.is_ended = message.done, message.figures, message.is_ended
                context.observe(shown)
            case Joined():
                is_joined = True
            case Failed():
                raise message.error()
            case Done():
                result = message
    if result is None:
        raise EnvironmentFault(
            f"the process that trains ended without a result, with exit code {process.wait()}",
            "see the log: another worker may be gone, or the memory used up (`dmesg`); start all again",
        )
    return result


def _messages(stream: IO[bytes] | None) -> Any:
    """Yields the messages of a stream, and None about once a second."""
    if stream is None:
        return
    decoder = msgspec.json.Decoder(Message)
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        rest = b""
        while True:
            if not selector.select(POLL_SECONDS):
                yield None
                continue
            chunk = os.read(stream.fileno(), 1 << 16)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from map(decoder.decode, lines)
