"""Keeps packed blocks of rows in files while Beam groups them: a runner would hold them in memory, twice."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import NamedTuple


class Stored(NamedTuple):
    """Where a block is."""

    path: str
    start: int
    size: int


class Storage:
    """Files in a folder, one for each copy of this object: workers do not write into the same file."""

    def __init__(self, folder: Path):
        self._folder, self._file, self._size = folder, "", 0

    def write(self, block: bytes) -> Stored:
        """Appends a block. The file is complete when this returns."""
        if not self._file:
            self._folder.mkdir(exist_ok=True)
            self._file = str(self._folder / uuid.uuid4().hex)
        stored = Stored(self._file, self._size, len(block))
        with open(self._file, "ab") as file:
            file.write(block)
        self._size += len(block)
        return stored


def read(stored: Stored) -> bytes:
    """Reads a block."""
    with open(stored.path, "rb") as file:
        file.seek(stored.start)
        return file.read(stored.size)
