"""The process of a trial: executes its nodes and writes the result. `process` starts it."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec

from bitext.components.shared.errors import INTERRUPTED, BitextError, as_json
from bitext.components.shared.files import atomic_writer
from bitext.components.shared.parallel import share_cores
from bitext.pipeline.interruptions import Interruptions
from bitext.pipeline.records import Execution
from bitext.pipeline.terminal import Terminal, log, logging_to, quiet_libraries
from bitext.pipeline.tuning.process import ANNOUNCEMENT, LIVE, RESULT, Announcement, Request, Result

if TYPE_CHECKING:
    from bitext.pipeline.layout import Layout
    from bitext.pipeline.publish import Publisher

_PR_SET_PDEATHSIG = 1
"""The option of prctl(2) for the signal that the kernel sends when the parent process ends."""


class _Logged(Terminal):
    """Writes to the log only."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = None

    def _emit(self, event: str, message: str, shown: str, **fields: object) -> None:
        log.info("%s", message)


def main(arguments: list[str]) -> int:
    """Does what the request in a file says, and returns the exit code."""
    path = Path(arguments[0])
    request = msgspec.json.decode(path.read_bytes(), type=Request)
    _end_with(request.parent)
    if request.cores:
        os.sched_setaffinity(0, request.cores)
    quiet_libraries()
    share_cores()
    atexit.register(gc.freeze)  # skips the final garbage collection, which takes 1 s with TensorFlow
    with Interruptions() as interruptions:
        try:
            with logging_to(Path(request.log)):
                result = _work(request)
        except KeyboardInterrupt:
            interruptions.ignore()
            return INTERRUPTED.code
        except Exception as error:  # noqa: BLE001  (the top of the program: the traceback goes to the log)
            interruptions.ignore()
            result = _failure(error, request)
        _write(path.parent / RESULT, result)
    return 0


def _end_with(parent: int) -> None:
    """Ends this process with its parent, even if that is killed: the next one must find the root unused."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _work(request: Request) -> Result:
    """Executes the nodes."""
    from bitext.pipeline.faults import translating_errors
    from bitext.pipeline.graph import create_pipeline
    from bitext.pipeline.layout import Layout, remove
    from bitext.pipeline.runner import Selection, Session
    from bitext.pipeline.tuning.session import TrialSession

    config = request.config
    layout, pipeline = Layout.of(config), create_pipeline(config)
    with translating_errors(layout.root, layout.address):
        publisher = _publisher(request, layout)
        if not request.trial:
            session = Session(Selection(), publisher.store.executions(), publisher, config.verify_inputs)
            session.run_nodes(pipeline, dict.fromkeys(request.nodes, True))
            return Result()
        try:
            trial = TrialSession(publisher, config.verify_inputs, _announcer(Path(request.folder)))
            return _result(*trial.run(pipeline, request.nodes))
        finally:
            remove(layout.staging / publisher.attempt)
            remove(layout.input_copies(publisher.attempt))


def _publisher(request: Request, layout: Layout) -> Publisher:
    """Returns what executes the work of the run or of the trial."""
    from bitext.pipeline.beam import LOCAL, JobRecords, Watch, job_name, pipeline_factory
    from bitext.pipeline.live import LiveFile
    from bitext.pipeline.publish import Publisher
    from bitext.pipeline.store import Store

    config = request.config
    store = Store(config.metadata, layout.root, config.name)
    [run] = [run for run in store.runs() if run.run_id == request.run_id]
    terminal = _Logged() if request.trial else Terminal()
    live = LiveFile(Path(request.folder) / LIVE if request.trial else layout.progress, run.run_id)
    watch = Watch(
        say=terminal.say,
        show=live.show_engine,
        records=JobRecords(layout.jobs),
        job_name=lambda: job_name("bitext", config.name, run.run_id, live.node, token_hex(2)),
        stall_timeout=config.beam.stall_timeout,
    )
    return Publisher(
        layout,
        store,
        run,
        pipeline_factory(config.beam.runner, config.beam.options, watch),
        terminal,
        live,
        is_on_engine=config.beam.runner != LOCAL,
        trial=request.trial,
    )


def _announcer(folder: Path) -> Callable[[str, str], None]:
    return lambda key, node: _write(folder / ANNOUNCEMENT, Announcement(node, key))


def _result(execution: Execution, is_cached: bool) -> Result:
    """Returns the scores of a training."""
    from bitext.components.artifacts import ModelRun

    [artifact] = execution.outputs["model_run"]
    record = ModelRun(artifact.path)
    return Result(
        execution=execution.id,
        is_cached=is_cached,
        validations=record.history(),
        selection=record.selection(),
        steps=record.size().steps,
    )


def _failure(error: Exception, request: Request) -> Result:
    """Returns what an error says, and logs it with its traceback."""
    with logging_to(Path(request.log)):
        log.error("%s has failed", request.trial or "the preparation", exc_info=error)
    if isinstance(error, BitextError):
        return Result(error=str(error), remedy=error.remedy, failure=as_json(error))
    return Result(error=f"{type(error).__name__}: {error}", remedy=f"the traceback is in {request.log}")


def _write(path: Path, value: msgspec.Struct) -> None:
    with atomic_writer(path) as file:
        file.write(msgspec.json.encode(value))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
