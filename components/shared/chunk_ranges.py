"""Reads a range of the chunks of a text file: the same blocks of lines as in the whole file.

A block ends in the chunk in which its last line ends. So what a range gives does not depend on where the
file is divided.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from bitext.components.shared import decompression, file_kinds, members, reading, storage
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

_MOST_CHUNKS_BEFORE = 256
"""A line over more chunks is not looked for from a range in it."""


@dataclasses.dataclass(frozen=True)
class Chunks:
    """A range of the chunks of a file. All its chunks have the same number of decompressed bytes.

    Attributes:
      first: index of the first chunk.
      stop: index after the last chunk.
      is_last: whether the range ends with the file.
      checkpoints: of a block-compressed file, checkpoints of `members.Members` at or before the range.
    """

    first: int
    stop: int
    is_last: bool
    checkpoints: tuple[tuple[int, int], ...] = ()


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of whole lines, as of `reading.line_blocks`.

    Attributes:
      text: its lines.
      chunk: index of the chunk in which it ends.
      is_first: whether it is the first of the file.
    """

    text: bytes
    chunk: int
    is_first: bool


class LineTooLongError(Exception):
    """No line ends in many chunks before a range."""


def line_blocks(
    path: str, chunks: Chunks, size: int, check: reading.Check = file_kinds.check_text
) -> Iterator[Block]:
    """Yields the blocks that end in a range.

    Args:
      path: the file.
      chunks: the range.
      size: bytes in a chunk.
      check: as for `reading.read_chunks`.

    Raises:
      DataError: the file cannot be read.
      LineTooLongError: no line ends in many chunks before the range.
    """
    start = _first_needed(path, chunks, size)
    splitter, has_block = reading.LineSplitter(), start > 0
    numbered = enumerate(_read(path, chunks, start, size, check), start)
    for number, chunk in itertools.islice(numbered, chunks.stop - start):
        for block in splitter.push(chunk):
            if number >= chunks.first:
                yield Block(block.text, number, not has_block)
            has_block = True
    if chunks.is_last:
        for block in splitter.finish():
            yield Block(block.text, chunks.stop - 1, not has_block)


def _first_needed(path: str, chunks: Chunks, size: int) -> int:
    """The chunk to begin with: what a splitter holds after one in which a line ends depends on it alone."""
    for number in range(chunks.first - 1, -1, -1):
        if chunks.first - number > _MOST_CHUNKS_BEFORE:
            raise LineTooLongError
        if reading.last_line_end(next(_read(path, chunks, number, size, _no_check), b"")):
            return number
    return 0


def _no_check(head: bytes, path: str) -> None:
    """Checks nothing: the bytes are not those at the beginning of the file."""


def _read(path: str, chunks: Chunks, start: int, size: int, check: reading.Check) -> Iterator[bytes]:
    """Yields the chunks of a file from one of them on."""
    if not start:
        yield from reading.read_chunks(path, size, check)
        return
    try:
        with storage.open_file(path) as file, storage.reporting_faults(path):
            if path.endswith(reading.ENDINGS):
                before = [each for each in chunks.checkpoints if each[0] <= start * size]
                pieces = members.decompressed_from(file, path, max(before, default=(0, 0)), start * size)
                yield from reading.of_size(pieces, size)
            else:
                file.seek(start * size)
                yield from iter(lambda: file.read(size), b"")
    except (OSError, *decompression.ERRORS) as error:
        raise DataError(
            f"cannot read {path_text(path)}: {error}", "check that the file is whole and readable"
        ) from error
