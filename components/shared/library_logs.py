"""How much of the logging of libraries reaches the log of a run.

Apache Beam and TensorFlow log hundreds of lines that their users do not need. Warnings and errors of theirs
are kept; `BITEXT_LIBRARY_LOG_LEVEL=INFO` (or `DEBUG`, `WARNING`, `ERROR`) keeps more or less.
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
"""What TensorFlow writes to standard error whenever it is imported without a GPU, partly marked as errors."""
_NOTICES = re.compile(r"crcmod package not found")
"""Warnings about packages that nothing here uses."""


def level() -> int:
    """The lowest level of libraries' messages that are kept.

    Raises:
      ConfigError: the environment variable names no level.
    """
    name = os.environ.get(VARIABLE) or "WARNING"
    if name.upper() not in _LEVELS:
        raise ConfigError(f"{VARIABLE} is {name!r}", f"Set it to one of {', '.join(_LEVELS)}.")
    return int(getattr(logging, name.upper()))


class LibraryFilter(logging.Filter):
    """Keeps every record of this project, and those of libraries from a level on."""

    def __init__(self, lowest: int) -> None:
        super().__init__()
        self._lowest = lowest

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is kept."""
        if record.name == "bitext" or record.name.startswith("bitext."):
            return True
        is_notice = record.levelno == logging.WARNING and _NOTICES.match(record.getMessage())
        return (logging.INFO if is_notice else record.levelno) >= self._lowest


@contextlib.contextmanager
def import_notices_removed() -> Iterator[None]:
    """Context manager for imports: removes TensorFlow's usual notices from the log file.

    It does so only if file descriptor 2 is a file that can be read, as it is during a run. The lines are
    written first and removed afterwards, so that an import that crashes the process leaves all of them.
    """
    start = _size_of_log() if level() > logging.INFO else None
    try:
        yield
    finally:
        if start is not None:
            text = os.pread(2, os.fstat(2).st_size - start, start)
            kept = b"".join(
                line for line in text.splitlines(keepends=True) if not _NATIVE_NOTICES.search(line)
            )
            if kept != text:
                os.ftruncate(2, start)
                os.write(2, kept)


def _size_of_log() -> int | None:
    """The size of the file that descriptor 2 is; None: it is something else, or cannot be read."""
    status = os.fstat(2)
    access = fcntl.fcntl(2, fcntl.F_GETFL) & os.O_ACCMODE
    return status.st_size if stat.S_ISREG(status.st_mode) and access == os.O_RDWR else None
