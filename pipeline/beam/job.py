"""One job on a Beam engine: says its state, waits for its end, and cancels it if the command ends."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from bitext.components.shared.errors import EnvironmentFault
from bitext.pipeline.beam import flink, job_service
from bitext.pipeline.beam.engine import Engine
from bitext.pipeline.beam.job_records import CANCEL_SECONDS, JobRecord, JobRecords
from bitext.pipeline.terminal import duration, log

LOOK_SECONDS = 10.0
"""Seconds between two questions to an engine about its counts."""
_WAIT_SECONDS = 0.2
_NOT_STARTED = "STOPPED"
"""The state of a job between its preparation and its start."""


@dataclasses.dataclass(frozen=True)
class Watch:
    """How the jobs of a command are watched.

    Attributes:
      say: prints a line.
      show: is told the state of a job in words, for the status of the run.
      records: where jobs are recorded.
      job_name: returns the name of the next job, which no other job has.
      stall_timeout: the seconds without progress after which a job is canceled; 0: never.
    """

    say: Callable[[str], None] = print
    show: Callable[[str], None] = lambda _: None
    records: JobRecords = dataclasses.field(default_factory=JobRecords)
    job_name: Callable[[], str] = lambda: f"bitext-{time.time_ns()}"
    stall_timeout: float = 0.0


class Job:
    """A job and what is known of it.

    Attributes:
      name: its name on the engine.
    """

    def __init__(self, engine: Engine, watch: Watch):
        self.name = watch.job_name()
        self._engine, self._watch = engine, watch
        self._id, self._state = "", ""
        self._service: job_service.WatchedService | None = None
        self._events: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._created = self._moved = self._looked = time.monotonic()
        self._last_seen, self._counts = "it was submitted", ""
        self._is_warned = False

    def observed(self, service: Any) -> job_service.WatchedService:
        """Returns the stub of a job service that reports to this job."""
        self._service = job_service.WatchedService(service, self)
        return self._service

    # Called by threads of gRPC.

    def submitting(self, job_id: str) -> None:
        """Records the job before it starts: this process may be killed at any moment."""
        self._id = job_id
        self._record()

    def started(self, job_id: str) -> None:
        """Records the id of the started job."""
        if job_id != self._id:
            self._id = job_id
            self._record()
        self._events.put(("started", job_id))

    def state_is(self, state: str) -> None:
        """Notes a state."""
        self._events.put(("state", state))

    def message_is(self, text: str) -> None:
        """Notes a message."""
        self._events.put(("message", text))

    def wait(self, result: Any) -> None:
        """Waits for the end of the job, and cancels it if anything else ends the wait.

        Args:
          result: what the runner returned.

        Raises:
          EnvironmentFault: the job made no progress for the time limit.
          Exception: the job failed.
        """
        end = _End(result)
        try:
            self._identify(result)
            while not end.is_set.wait(_WAIT_SECONDS):
                self._look(result)
                self._check_progress()
            self._look(result)
        except BaseException:
            self.cancel(result)
            raise
        if end.error is None or self._state in job_service.ENDED:
            self._watch.records.remove(self.name)
        else:
            self.cancel(result)
        if end.error is not None:
            raise end.error

    def cancel(self, result: Any = None) -> None:
        """Cancels the job and waits for a moment for its end. A failure is a warning only."""
        if self._state in job_service.ENDED or not self._id:
            self._watch.records.remove(self.name)
            return
        with _reporting_failed_cancel(self):
            if self._service is not None:
                found = job_service.find(self._service, self._id, self.name)
                state = job_service.cancel(self._service, found[0], CANCEL_SECONDS) if found else "unknown"
            else:
                result.cancel()
                state = str(result.state)
            self._state = state
            self.say("canceled" if state in job_service.ENDED else f"asked to cancel it; it is {state}")
            if state in (*job_service.ENDED, "unknown"):
                self._watch.records.remove(self.name)

    def say(self, text: str) -> None:
        """Prints a line about the job, and shows it in the status of the run."""
        self._watch.show(f"Beam job {self.name} on {self._engine.name}: {text}")
        self._watch.say(f"Beam job: {text}")

    @property
    def _full_name(self) -> str:
        """The name and the id of the job; most engines begin the id with the name."""
        return self._id if self._id.startswith(self.name) else f"{self.name}, id {self._id}"

    def _introduce(self) -> None:
        """Prints the name, the id and the address of the job that has been started."""
        page = self._engine.page(self._id)
        where = self._engine.name + (f", web page {page}" if page else "")
        self._watch.say(f"Beam job {self._full_name} on {where}")

    def _record(self) -> None:
        record = JobRecord(
            name=self.name, id=self._id, runner=self._engine.runner, options=dict(self._engine.options)
        )
        self._watch.records.put(record)

    def _identify(self, result: Any) -> None:
        """Records the id of a job of a runner without a job service, once it has one."""
        job_id = getattr(result, "job_id", None)
        if self._service is None and not self._id and job_id is not None:
            self.started(str(job_id() if callable(job_id) else job_id))

    def _look(self, result: Any) -> None:
        """Handles what has happened since the last look, in the main thread."""
        while not self._events.empty():
            kind, text = self._events.get()
            if kind == "started":
                self._introduce()
            elif kind == "message":
                self._move(f"the message {' '.join(text.split())[:200]!r}")
            elif text not in (self._state, _NOT_STARTED):
                self._state = text
                took = f" after {duration(time.monotonic() - self._created)}"
                self.say(text + took * (text in job_service.ENDED))
                self._move(f"the state {text}")
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        with contextlib.suppress(ConnectionError):  # if it lasts, the wait for the end fails
            self._look_at_counts(result)

    def _look_at_counts(self, result: Any) -> None:
        """Asks the engine for its counts, which change while elements are processed.

        Raises:
          ConnectionError: it does not answer.
        """
        counts = flink.progress(self._engine.flink, self.name) if self._engine.flink else ""
        if counts and counts != self._counts:
            self._watch.show(f"Beam job {self.name} on {self._engine.name}: {self._state}, {counts}")
        if not counts and self._service is not None:
            counts = job_service.metrics_digest(self._service, self._id)
        if self._service is None:
            state, counts = job_service.state_and_counts(result)
            self.state_is(state)
        if counts and counts != self._counts:
            self._counts = counts
            self._move("new counts of elements")

    def _move(self, what: str) -> None:
        """Notes that the job has made progress."""
        self._moved, self._last_seen, self._is_warned = time.monotonic(), what, False

    def _check_progress(self) -> None:
        """Raises an error if the job makes no progress; warns at half of the time.

        Raises:
          EnvironmentFault: there was none for `stall_timeout` seconds.
        """
        limit, still = self._watch.stall_timeout, time.monotonic() - self._moved
        if not limit or still < limit / 2:
            return
        if still >= limit:
            raise EnvironmentFault(
                f"Beam's {self._engine.name}: the job {self._full_name} is"
                f" {self._state or 'not started'} and made no progress for {duration(still)};"
                f" seen last: {self._last_seen}",
                "look for an SDK worker that cannot start, or a lack of workers, in"
                f" {self._engine.logs}; if the job is only slow, raise beam.stall_timeout",
            )
        if not self._is_warned:
            self._is_warned = True
            self.say(
                f"warning: no progress for {duration(still)}; it is canceled after {duration(limit)}"
                " (beam.stall_timeout)"
            )


class _End:
    """Waits for the end of a job in a thread, so that the main thread can look at its state meanwhile.

    Attributes:
      is_set: set when the job has ended.
      error: the error that it ended with, or None.
    """

    def __init__(self, result: Any):
        self.is_set = threading.Event()
        self.error: BaseException | None = None
        self._result = result
        threading.Thread(target=self._wait, name="end-of-beam-job", daemon=True).start()

    def _wait(self) -> None:
        with self:
            self._result.wait_until_finish()

    def __enter__(self) -> None:
        """Begins to wait."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Keeps the error for the main thread."""
        self.error = error
        self.is_set.set()
        return True


@contextlib.contextmanager
def _reporting_failed_cancel(job: Job) -> Iterator[None]:
    """Context manager: an engine that cannot be reached is a warning. The next run cancels the job."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        log.warning("the Beam job %s cannot be canceled", job.name, exc_info=error)
        job.say(f"warning: it cannot be canceled: {' '.join(str(error).split())}")


@contextlib.contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """Context manager: restores the signal handlers. Beam replaces that of SIGINT to stop its job server."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
