"""Filters the messages of libraries in the log of a run.

Apache Beam and TensorFlow log hundreds of lines that users do not need. Only their warnings and errors are
logged. `BITEXT_LIBRARY_LOG_LEVEL` (`DEBUG`, `INFO`, `WARNING`, `ERROR`) sets another level.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import stat
from collections.abc import Iterator

from bitext.components.shared.errors import ConfigError

VARIABLE = "BITEXT_LIBRARY_LOG_LEVEL"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_NATIVE_NOTICES = re.compile(
    rb"Unable to register cu\w+ factory"
    rb"|Could not find cuda drivers"
    rb"|This TensorFlow binary is optimized|To enable the following instructions"
    rb"|oneDNN custom operations are on"
    rb"|All log messages before absl::InitializeLog\(\) is called"
)
"""Lines that TensorFlow writes to standard error at import without a GPU. Some are marked as errors."""
_NOTICES = re.compile(r"crcmod package not found")
"""Warnings about packages that this project does not use."""


def level() -> int:
    """Returns the lowest level of libraries' messages that are logged.

    Raises:
      ConfigError: the environment variable names no level.
    """
    name = os.environ.get(VARIABLE) or "WARNING"
    if name.upper() not in _LEVELS:
        raise ConfigError(f"{VARIABLE} is {name!r}", f"set it to one of {', '.join(_LEVELS)}")
    return int(getattr(logging, name.upper()))


class LibraryFilter(logging.Filter):
    """Logging filter: passes every record of this project, and records of libraries from a level on."""

    def __init__(self, lowest: int) -> None:
        super().__init__()
        self._lowest = lowest

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether the record is logged."""
        if record.name == "bitext" or record.name.startswith("bitext."):
            return True
        is_notice = record.levelno == logging.WARNING and _NOTICES.match(record.getMessage())
        return (logging.INFO if is_notice else record.levelno) >= self._lowest


@contextlib.contextmanager
def import_notices_removed() -> Iterator[None]:
    """Context manager for imports: removes TensorFlow's usual notices from the log file.

    It works only if file descriptor 2 is a readable file, as it is during a run. The lines are written first
    and removed afterwards, so that all of them remain if an import crashes the process.
    """
    size_before = _size_of_log() if level() > logging.INFO else None
    try:
        yield
    finally:
        if size_before is not None:
            text = os.pread(2, os.fstat(2).st_size - size_before, size_before)
            without_notices = b"".join(
                line for line in text.splitlines(keepends=True) if not _NATIVE_NOTICES.search(line)
            )
            if without_notices != text:
                os.ftruncate(2, size_before)
                os.write(2, without_notices)


def _size_of_log() -> int | None:
    """Returns the bytes of the file at descriptor 2; None if that is not a readable file."""
    status = os.fstat(2)
    access = fcntl.fcntl(2, fcntl.F_GETFL) & os.O_ACCMODE
    return status.st_size if stat.S_ISREG(status.st_mode) and access == os.O_RDWR else None
