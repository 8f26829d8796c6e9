"""Paths that are too long for the operating system, and the error that names them."""

from __future__ import annotations

import errno
import os

from bitext.components.shared.errors import ConfigError

NAME_BYTES = 255
"""The most bytes of the name of a file or folder, in Linux's file systems."""
PATH_BYTES = 4095
"""The most bytes of a path."""
SQLITE_BYTES = 504
"""The most bytes of the absolute path of an SQLite file. SQLite adds `-journal`, and has room for 512."""
REMEDY = f"shorten it: a file or folder name has at most {NAME_BYTES} bytes, a whole path {PATH_BYTES:,}"
_SHOWN = 30


def length_problem(path: str) -> str:
    """Returns why the system refuses a path for its length; empty if it does not.

    A letter of another script than Latin has two to four bytes.
    """
    for name in path.split("/"):
        if (size := bytes_of(name)) > NAME_BYTES:
            return f"the name {_shortened(name)} has {size:,} bytes, more than {NAME_BYTES}"
    if (size := bytes_of(path)) > PATH_BYTES:
        return f"the path {_shortened(path)} has {size:,} bytes, more than {PATH_BYTES:,}"
    return ""


def too_long_error(error: BaseException | None) -> ConfigError | None:
    """Returns the error for a path that the system refused for its length; None: that is not the cause.

    Args:
      error: an exception. Its causes are searched.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
            problem = length_problem(path) or f"the path {_shortened(path)} is too long for this file system"
            return ConfigError(problem, REMEDY)
        error = error.__cause__ or error.__context__
    return None


def bytes_of(text: str) -> int:
    """Returns the length of a path in bytes."""
    try:
        return len(os.fsencode(text))
    except UnicodeEncodeError:  # half of a surrogate pair, which YAML can spell
        return len(text.encode("utf-8", "surrogatepass"))


def _shortened(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."
