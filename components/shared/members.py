"""Finds the members of block-compressed files: parts that can be decompressed by themselves.

These are the blocks of BGZF (`bgzip`: gzip members with their size in the header), the streams of bzip2 and
xz, and the frames of Zstandard. What looks like a beginning in the middle of a file may be other data with
the same bytes. So several ranges of a file are searched, and the members of all ranges must follow each other
without a gap from the first byte to the last.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from bitext.components.shared import decompression, storage
from bitext.components.shared.errors import BitextError

_BEGINNINGS = {
    ".gz": re.compile(rb"\x1f\x8b\x08\x04.{6}\x06\x00BC\x02\x00", re.DOTALL),
    ".bz2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)"),
    ".xz": re.compile(rb"\xfd7zXZ\x00"),
    ".zst": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
}
_BEGINNING_BYTES = 16
"""The longest of these beginnings."""
_READ_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class Members:
    """The members that begin in a range of the compressed bytes of a file.

    Attributes:
      first: where the first one begins; None: none begins in the range.
      end: where the last one ends.
      size: number of decompressed bytes of all.
      checkpoints: for some members, with the first: number of decompressed bytes before it in the range, and
        where it begins.
    """

    first: int | None
    end: int
    size: int
    checkpoints: tuple[tuple[int, int], ...]


def may_have_members(path: str) -> bool:
    """Whether the beginning of a compressed file is that of a member."""
    with storage.open_file(path) as file:
        return _beginning(path).match(file.read(_BEGINNING_BYTES)) is not None


def _beginning(path: str) -> re.Pattern[bytes]:
    return next(pattern for ending, pattern in _BEGINNINGS.items() if path.endswith(ending))


def find(path: str, start: int, stop: int, spacing: int) -> Members | None:
    """Finds the members that begin in a range, and decompresses them to learn their sizes.

    Args:
      path: the file. Its ending names the compression.
      start: where the range begins.
      stop: where it ends.
      spacing: least number of decompressed bytes between checkpoints.

    Returns:
      None: the members cannot be found, because one is damaged or longer than the range.
    """
    with storage.open_file(path) as file:
        file.seek(start)
        data = file.read(stop - start + _BEGINNING_BYTES - 1)
        for match in _beginning(path).finditer(data):
            if match.start() >= stop - start:
                break
            found = _follow(file, path, start + match.start(), (start, stop), spacing)
            if found is None or found.end > start + match.start():
                return found
            if not start:
                return None  # the file does not begin with a member
    return Members(None, start, 0, ())


def _follow(file: BinaryIO, path: str, first: int, limits: tuple[int, int], spacing: int) -> Members | None:
    """Decompresses the members from `first` on that begin before the end of a range.

    Returns:
      Those found; none if the first is no member. None: another is damaged or longer than the range.
    """
    position, size, checkpoints = first, 0, [(0, first)]
    start, stop = limits
    while position < stop:
        if size - checkpoints[-1][0] >= spacing:
            checkpoints.append((size, position))
        file.seek(position)
        if not (head := file.read(_BEGINNING_BYTES)):
            break
        is_member = _beginning(path).match(head) is not None
        file.seek(position)
        member = _member_sizes(file, path, stop - start) if is_member else None
        if member is None:
            return None if position > first else Members(first, first, 0, ())
        position, size = position + member[0], size + member[1]
    return Members(first, position, size, tuple(checkpoints))


def _member_sizes(file: BinaryIO, path: str, most: int) -> tuple[int, int] | None:
    """The compressed and the decompressed size of a member; None: it is none, or longer than `most`."""
    decompressor, fed, size = decompression.new_decompressor(path), 0, 0
    try:
        while not decompressor.eof and fed <= most and (chunk := file.read(_READ_BYTES)):
            fed += len(chunk)
            size += sum(map(len, decompressor.pieces(chunk)))
    except (OSError, BitextError, *decompression.ERRORS):
        return None
    return (fed - len(decompressor.unused_data), size) if decompressor.eof else None


def join(ranges: Sequence[Members | None], size: int) -> Members | None:
    """Joins what was found in all ranges of a file, in their order.

    Args:
      ranges: what `find` returned for each.
      size: the bytes of the compressed file.

    Returns:
      The members of the file; None: they do not follow each other, or cannot be found.
    """
    position, total = 0, 0
    checkpoints: list[tuple[int, int]] = []
    for members in ranges:
        if members is None:
            return None
        if members.first is None:
            continue
        if members.first != position:
            return None
        checkpoints += [(total + before, begin) for before, begin in members.checkpoints]
        position, total = members.end, total + members.size
    return Members(0, position, total, tuple(checkpoints)) if position == size else None


def decompressed_from(file: BinaryIO, path: str, checkpoint: tuple[int, int], start: int) -> Iterator[bytes]:
    """Yields the decompressed bytes of a file from `start` on.

    Args:
      file: the compressed file.
      path: its path.
      checkpoint: a checkpoint of its members at or before `start`.
      start: index of the first decompressed byte.
    """
    before, position = checkpoint
    file.seek(position)
    chunks = decompression.decompressed(iter(lambda: file.read(_READ_BYTES), b""), path)
    skipped = start - before
    for chunk in chunks:
        if skipped < len(chunk):
            yield from itertools.chain([chunk[skipped:]], chunks)
            return
        skipped -= len(chunk)
