"""Standard streams that are closed (`bitext ... >&-`) or cannot be written to (`> /dev/full`)."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from bitext.components.shared.display import message_lines, printable
from bitext.components.shared.errors import EnvironmentFault

_STREAMS = (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w"))


def open_closed_streams() -> frozenset[str]:
    """Points every closed standard stream at /dev/null.

    Python sets `sys.stdout` to None if the descriptor is closed. A file that is opened later would then get
    descriptor 1, and native libraries would write their messages into it.

    Returns:
      The names of the streams that were closed: `stdin`, `stdout`, `stderr`.
    """
    closed = frozenset(name for name, _, _ in _STREAMS if getattr(sys, name) is None)
    for name, number, mode in _STREAMS:
        if name in closed:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.set_inheritable(number, True)
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    return closed


def discard(stream: TextIO) -> None:
    """Redirects a stream to /dev/null, so that Python's flush at exit does not fail."""
    try:
        number = stream.fileno()
    except (io.UnsupportedOperation, ValueError):  # replaced by a test or a notebook
        return
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, number)
    os.close(descriptor)


@contextlib.contextmanager
def writing_output(stream: TextIO) -> Iterator[None]:
    """Context manager: re-raises an error of writing standard output as an EnvironmentFault.

    If the reader closed the pipe, the BrokenPipeError is not changed.

    Args:
      stream: standard output.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        discard(stream)
        raise EnvironmentFault(
            f"standard output cannot be written: {error.strerror}", "free space, or redirect it elsewhere"
        ) from error


def print_output(text: str, end: str = "\n", *, exact: bool = False) -> None:
    """Prints to standard output at once.

    Args:
      text: the text. Its control characters are escaped (`display.printable`).
      end: what is printed after it.
      exact: whether another program reads the text (JSON, YAML), so that nothing is escaped.

    Raises:
      EnvironmentFault: it cannot be written.
    """
    with writing_output(sys.stdout):
        print(text if exact else printable(text), end=end, flush=True)


def print_message(text: str) -> None:
    """Prints an error or a warning to standard error at once; nothing if that cannot be written."""
    try:
        print(message_lines(text), file=sys.stderr, flush=True)
    except OSError:  # the exit code still reports an error
        discard(sys.stderr)
