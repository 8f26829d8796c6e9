"""Prints the progress of a run, writes its log file, and redirects the messages of libraries."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from bitext.components.shared import library_logs
from bitext.components.shared.display import message_lines
from bitext.components.shared.progress import Progress
from bitext.pipeline.bars import Bar, is_terminal
from bitext.pipeline.streams import print_output, writing_output

log = logging.getLogger("bitext")

JsonValue = str | int | float | bool | None

INDENT = "    "
_NAME_WIDTH = 18
PROGRESS_SECONDS = 60.0
"""The shortest time between two JSON events about progress."""
_WARNING = re.compile(r"(^|: )warning: ")


def quiet_libraries(native_errors: bool = True) -> None:
    """Reduces the messages of TensorFlow, gRPC and Python's warnings. Call it before they are imported.

    Args:
      native_errors: whether TensorFlow's C++ code reports errors. It reports a missing GPU as one, so a
        command whose standard error is the terminal takes only fatal messages. Exceptions are not affected.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if native_errors else "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("ignore", DeprecationWarning)


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Context manager: all logging, Python's warnings and native libraries' stderr go to the file `path`.

    Messages of libraries are written from the level `library_logs.level` on.

    Raises:
      ConfigError: the level in the environment is unknown.
      OSError: the file cannot be created.
    """
    library_level = library_logs.level()
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    levels, others = (root.level, log.level), root.handlers[:]
    with path.open("a+", encoding="utf-8") as stream:  # readable for `library_logs.import_notices_removed`
        handler = _LogHandler(stream)
        handler.addFilter(library_logs.LibraryFilter(library_level))
        handler.setFormatter(_LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.handlers[:] = [handler]
        root.setLevel(library_level)
        log.setLevel(logging.INFO)
        logging.captureWarnings(True)
        try:
            with _native_stderr_to(stream.fileno()), _thread_errors_logged():
                yield
        finally:
            logging.captureWarnings(False)
            root.handlers[:] = others
            root.setLevel(levels[0])
            log.setLevel(levels[1])


@contextlib.contextmanager
def _thread_errors_logged() -> Iterator[None]:
    """Context manager: an exception that ends a thread, mostly of a library, goes to the log.

    Python prints its traceback to standard error otherwise.
    """

    def log_error(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "unknown"
        error = args.exc_value or args.exc_type()
        log.error("the thread %s ended with an error", name, exc_info=error)

    previous, threading.excepthook = threading.excepthook, log_error
    try:
        yield
    finally:
        threading.excepthook = previous


@contextlib.contextmanager
def log_shown() -> Iterator[None]:
    """Context manager: log lines of this project, and errors of libraries, go to standard error."""
    root, handler = logging.getLogger(), logging.StreamHandler()
    handler.setFormatter(_LogFormatter())
    levels, propagate = (root.level, log.level), log.propagate
    log.addHandler(handler)
    root.setLevel(logging.ERROR)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        root.setLevel(levels[0])
        log.setLevel(levels[1])
        log.propagate = propagate


class _LogFormatter(logging.Formatter):
    """Escapes control characters in messages, and indents the second and further lines of a message."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = message_lines(record.message)
        return super().formatMessage(record)


class _LogHandler(logging.StreamHandler[TextIO]):
    """Writes to the log file. It ignores a full disk: the code that writes outputs reports it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignores a record that cannot be written."""


@contextlib.contextmanager
def _native_stderr_to(descriptor: int) -> Iterator[None]:
    """Context manager: file descriptor 2 is `descriptor`, while Python's sys.stderr stays where it was."""
    python_stderr = sys.stderr
    try:
        uses_descriptor = python_stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):
        uses_descriptor = False  # a test or a notebook replaced it
    python_stderr.flush()
    saved = os.dup(2)
    os.dup2(descriptor, 2)
    if uses_descriptor:
        sys.stderr = os.fdopen(
            os.dup(saved), "w", buffering=1, encoding=python_stderr.encoding, errors="replace"
        )
    try:
        yield
    finally:
        if uses_descriptor:
            sys.stderr.close()
            sys.stderr = python_stderr
        os.dup2(saved, 2)
        os.close(saved)


@contextlib.contextmanager
def native_notices_dropped() -> Iterator[None]:
    """Context manager: drops what native libraries write to standard error.

    Use it around the import of TensorFlow: since 2.21 it reports the CPU features it uses before it reads
    TF_CPP_MIN_LOG_LEVEL.
    """
    with open(os.devnull, "w", encoding="utf-8") as devnull, _native_stderr_to(devnull.fileno()):
        yield


class Terminal:
    """Prints the progress of a run to standard output, and logs what it prints. One method per event.

    Attributes:
      run_id: the ID of the run; None: the run is not recorded yet.
    """

    def __init__(self) -> None:
        self.run_id: str | None = None
        self._node: str | None = None
        self._bar = Bar() if is_terminal() else None

    def run_started(self, run_id: str, pipeline: str, root: Path) -> None:
        """Reports that the run is recorded and starts."""
        self.run_id = run_id
        text = f"Pipeline {pipeline}, run {run_id}, in {root}"
        self._emit("run_started", text, text, pipeline=pipeline, root=str(root))

    def say_of_run(self, text: str) -> None:
        """Prints a line about the whole run."""
        self._emit("run_said", text, text)

    def node_started(self, node: str) -> None:
        """Reports that a node starts; its lines follow."""
        self._node = node
        self._emit("node_started", f"{node} runs", node)

    def node_reason(self, node: str, reason: str) -> None:
        """Reports why a node runs or is cached."""
        self._emit("node_reason", f"because {reason}", f"{INDENT}because {reason}", node=node)

    def say(self, text: str) -> None:
        """Prints a line of the current node."""
        for line in text.splitlines() or [""]:
            self._emit("node_said", line, INDENT + line)

    def show(self, progress: Progress) -> None:
        """Shows how far the work of the current node is: a bar, on a terminal only."""
        if self._bar:
            self._bar.show(progress)

    def node_finished(self, seconds: float) -> None:
        """Reports that the current node published its outputs."""
        text = f"done in {duration(seconds)}"
        self._emit("node_finished", text, INDENT + text, seconds=round(seconds, 3))
        self._node = None

    def node_cached(self, node: str, why: str) -> None:
        """Reports that a node is cached."""
        self._emit("node_cached", f"{node} {why}", f"{node:<{_NAME_WIDTH - 1}} {why}", node=node)

    def node_taken(self, node: str, run_id: str) -> None:
        """Reports that a node before `--from` is not run and that its outputs are those of an earlier run."""
        why = f"taken from run {run_id}"
        shown = f"{node:<{_NAME_WIDTH - 1}} {why}"
        self._emit("node_taken", f"{node} {why}", shown, node=node, from_run=run_id)

    def run_ended(self, event: str, message: str, **fields: JsonValue) -> None:
        """Reports the end of the run. Here it prints nothing: the summary or standard error has it."""

    def _emit(self, event: str, message: str, shown: str, **fields: JsonValue) -> None:
        """Logs `message`; prints it as `shown`."""
        log.info("%s", message)
        with self._bar.hidden() if self._bar else contextlib.nullcontext():
            print_output(shown)


class Quiet(Terminal):
    """Prints warnings only, and logs as `Terminal` does."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = None

    def _emit(self, event: str, message: str, shown: str, **fields: JsonValue) -> None:
        log.info("%s", message)
        if _WARNING.search(message):
            print_output(f"{self._node}: {message}" if self._node else message)


class JsonLines(Terminal):
    """Writes a JSON object, on one line, for each event, and logs as `Terminal` does.

    docs/how-to/operate.md lists the events and their fields: other programs read them. Characters beyond
    ASCII are escaped, so that neither the locale nor an undecodable file name can break a line.
    """

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._shown = time.monotonic()

    def show(self, progress: Progress) -> None:
        """Reports, at most once a minute, how far the work of the current node is."""
        if progress.is_ended or time.monotonic() - self._shown < PROGRESS_SECONDS:
            return
        self._shown = time.monotonic()
        left = progress.seconds_left
        of = "" if progress.total is None else f" of {progress.total:,}"
        fields: dict[str, JsonValue] = {
            "unit": progress.unit,
            "done": progress.done,
            "total": progress.total,
            "seconds_left": None if left is None else round(left, 1),
        }
        self._write("node_progress", f"{progress.done:,}{of} {progress.unit}", fields)

    def run_ended(self, event: str, message: str, **fields: JsonValue) -> None:
        """Reports the end of the run; the field `node` is the node that failed, if one did."""
        self._write(event, message, fields)

    def _emit(self, event: str, message: str, shown: str, **fields: JsonValue) -> None:
        log.info("%s", message)
        self._write(event, message, fields)

    def _write(self, event: str, message: str, fields: dict[str, JsonValue]) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"time": now, "event": event, "run": self.run_id, "node": self._node, "message": message}
        with writing_output(self._out):
            self._out.write(json.dumps(line | fields) + "\n")
            self._out.flush()


def moment(seconds: float) -> str:
    """Seconds since the epoch in ISO 8601, UTC: `2026-01-31T12:00:00+00:00`."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def duration(seconds: float) -> str:
    """A duration for people: `4.2 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
