"""The log of requests: JSON lines that `request_log` of a configuration reads.

    {"text": "Where is the station?", "time": "2026-11-30T00:00:00.000+00:00", "version": 3, ...}

Each text has a line of its own.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bitext.components.shared.errors import EnvironmentFault

_MODE = 0o600
"""Texts of users are nobody else's business."""


class RequestLog:
    """Appends to a file. After `logrotate` has moved the file, a new one is begun.

    Args:
      path: the file.
      say: prints one line if the file cannot be written.

    Raises:
      EnvironmentFault: the file cannot be opened.
    """

    def __init__(self, path: Path, say: Callable[[str], None]):
        self._path, self._say = path, say
        self._descriptor = -1
        self._ends_within_line = False
        self._problem = ""
        self.errors = 0
        try:
            self._open()
        except OSError as error:
            raise EnvironmentFault(
                f"the request log {path} cannot be written: {error.strerror}",
                "name a file in a folder that this user can write, with --request-log",
            ) from error

    def write(self, texts: Sequence[bytes], version: int, signature: str) -> None:
        """Appends the texts of one request. Requests are answered even if the log cannot be written."""
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        fields = {"time": time, "version": version, "signature": signature}
        lines = b"".join(
            msgspec.json.encode({"text": text.decode("utf-8", "replace"), **fields}) + b"\n" for text in texts
        )
        try:
            if not self._is_current():
                self.close()
                self._open()
            if self._ends_within_line:
                lines = b"\n" + lines
            written = os.write(self._descriptor, lines)
            self._ends_within_line = written < len(lines)
            if self._ends_within_line:
                raise OSError(0, "the disk is full")
        except OSError as error:
            self.errors += 1
            if self._problem != error.strerror:
                self._say(
                    f"warning: the request log {self._path} cannot be written: {error.strerror}; requests are"
                    " answered, but not logged until it can be; free space, or restore the folder"
                )
            self._problem = str(error.strerror)
        else:
            self._problem = ""

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, _MODE)

    def _is_current(self) -> bool:
        """Whether the file is still at its path."""
        if self._descriptor < 0:
            return False
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False
