"""Keeps packed blocks of rows out of memory while Beam groups them.

In this process, they are in files: the runner would hold them in memory, twice. On an engine, whose workers
may share no disk, they go through the engine's shuffle, which writes to disk what is large.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import NamedTuple, TypeAlias


class Place(NamedTuple):
    """Where a block is in a file."""

    path: str
    start: int
    size: int


Stored: TypeAlias = Place | bytes
"""Where a block is, or the block itself."""


class Storage:
    """Files in a folder, one for each copy of this object: workers do not write into the same file.

    Args:
      folder: the folder, `Context.spill_dir`; None: `write` returns the block itself.
    """

    def __init__(self, folder: Path | None):
        self._folder, self._file, self._size = folder, "", 0

    def write(self, block: bytes) -> Stored:
        """Appends a block. The file is complete when this returns."""
        if self._folder is None:
            return block
        if not self._file:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = str(self._folder / uuid.uuid4().hex)
        place = Place(self._file, self._size, len(block))
        with open(self._file, "ab") as file:
            file.write(block)
        self._size += len(block)
        return place


def read(stored: Stored) -> bytes:
    """Reads a block."""
    if isinstance(stored, bytes):
        return stored
    with open(stored.path, "rb") as file:
        file.seek(stored.start)
        return file.read(stored.size)
