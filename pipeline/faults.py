"""Translates errors of the operating system and of Beam to errors that a person can act on."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from bitext.components.shared import faults, storage
from bitext.components.shared.errors import BitextError, EnvironmentFault
from bitext.components.shared.path_lengths import too_long_error
from bitext.pipeline.beam import raised_in_beam

_ERRNOS_IN_TEXT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors that are also recognized by their text: Beam and TensorFlow pass system errors on as text."""


@contextlib.contextmanager
def translating_errors(root: Path, address: str = "a remote file") -> Iterator[None]:
    """Context manager: re-raises a full disk or a read-only or forbidden folder as an EnvironmentFault.

    An error that a Beam function raised is re-raised without Beam's wrapping.

    Args:
      root: the folder to name if an error names none.
      address: what to name in an error of a remote file system, which names nothing.

    Raises:
      ConfigError: a path is too long.
      EnvironmentFault: an operating system error of the environment occurred.
      BitextError: a Beam function raised it.
    """
    try:
        yield
    except Exception as error:
        if own := raised_in_beam(error):
            raise own from error
        if isinstance(error, BitextError):
            raise
        if fault := too_long_error(error) or environment_fault(error, root, address):
            raise fault from error
        raise


def environment_fault(
    error: BaseException, root: Path, address: str = "a remote file"
) -> EnvironmentFault | None:
    """Returns the EnvironmentFault that caused an exception, or None.

    Args:
      error: the exception. Its causes are searched, and then its text.
      root: the folder to name if the error names none.
      address: as for `translating_errors`.
    """
    cause: BaseException | None = error
    while cause is not None:
        if fault := storage.network_fault(cause, address):
            return fault
        if isinstance(cause, OSError) and cause.errno in faults.REMEDIES:
            return faults.environment_fault(cause.errno, str(cause.filename or root))
        cause = cause.__cause__ or cause.__context__
    for number in _ERRNOS_IN_TEXT:
        if os.strerror(number) in str(error):
            path = re.search(rf"{os.strerror(number)}: '([^']+)'", str(error))
            return faults.environment_fault(number, path[1] if path else str(root))
    return None
