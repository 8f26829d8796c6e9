"""Faults of the environment: the operating system errors that are faults, and their remedies."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from bitext.components.shared.errors import EnvironmentFault
from bitext.components.shared.path_lengths import too_long_error

REMEDIES = {
    errno.ENOSPC: "free space there, or move `root` to another disk, and run again: finished nodes are kept",
    errno.EDQUOT: "free some of your quota, or move `root`, and run again: finished nodes are kept",
    errno.EFBIG: "raise the limit of a file's size (`ulimit -f`), or move `root`, and run again",
    errno.EROFS: "make it writable, or choose another folder (`root`, `serving`)",
    errno.EACCES: "give this user the right to it, or choose another folder (`root`, `serving`)",
    errno.EPERM: "give this user the right to it, or choose another folder (`root`, `serving`)",
}
"""Remedies by `errno`, for the operating system errors that are environment faults at any path."""


def environment_fault(number: int, path: Path | str) -> EnvironmentFault:
    """Returns the error for a fault at a path.

    Args:
      number: the `errno`, one of `REMEDIES`.
      path: the file or folder where it occurred.
    """
    return EnvironmentFault(f"{path}: {os.strerror(number)}", REMEDIES[number])


@contextlib.contextmanager
def reporting_faults(path: Path, remedy: str) -> Iterator[None]:
    """Context manager: re-raises an operating system error as an EnvironmentFault about writing `path`.

    Use it only around calls that write, so that every operating system error is a failure to write.

    Args:
      path: the file or folder that is written.
      remedy: what a person can do.

    Raises:
      ConfigError: a path is too long.
      EnvironmentFault: another operating system error occurred.
    """
    try:
        yield
    except OSError as error:
        if too_long := too_long_error(error):
            raise too_long from error
        problem = error.strerror or str(error)
        elsewhere = error.filename is not None and Path(error.filename) != path
        raise EnvironmentFault(
            f"cannot write {path}: {problem}{f' ({error.filename})' if elsewhere else ''}", remedy
        ) from error
