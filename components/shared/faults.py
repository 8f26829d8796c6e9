"""Faults of the environment: which operating system errors they are, and how a person removes them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from bitext.components.shared.errors import EnvironmentFault

REMEDIES = {
    errno.ENOSPC: "Free space there, or move `root` to another disk, and run again: finished nodes are kept.",
    errno.EDQUOT: "Free some of your quota, or move `root`, and run again: finished nodes are kept.",
    errno.EFBIG: "Raise the limit of a file's size (`ulimit -f`), or move `root`, and run again.",
    errno.EROFS: "Make it writable, or choose another folder (`root`, `serving`).",
    errno.EACCES: "Give this user the right to it, or choose another folder (`root`, `serving`).",
    errno.EPERM: "Give this user the right to it, or choose another folder (`root`, `serving`).",
}
"""The operating system errors that are faults of the environment wherever they occur, with their remedies."""


def environment_fault(number: int, path: Path | str) -> EnvironmentFault:
    """Returns the error for a fault at a path.

    Args:
      number: the `errno`, one of `REMEDIES`.
      path: the file or folder it occurred at.
    """
    return EnvironmentFault(f"{path}: {os.strerror(number)}", REMEDIES[number])


@contextlib.contextmanager
def reporting_faults(path: Path, remedy: str) -> Iterator[None]:
    """Context manager: re-raises an operating system error as an EnvironmentFault about writing `path`.

    Use it around the calls that write, where any such error has that meaning.

    Args:
      path: the file or folder that is written.
      remedy: what a person can do.

    Raises:
      EnvironmentFault: an operating system error occurred.
    """
    try:
        yield
    except OSError as error:
        problem = error.strerror or str(error)
        elsewhere = error.filename is not None and Path(error.filename) != path
        raise EnvironmentFault(
            f"cannot write {path}: {problem}{f' ({error.filename})' if elsewhere else ''}", remedy
        ) from error
