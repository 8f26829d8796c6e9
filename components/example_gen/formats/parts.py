"""Divides a large file into parts that are read by themselves, and give the rows that the whole file gives.

First the lines of ranges of the file are counted, so that the number of the first line of each part is known.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from bitext.components.shared import archives, storage
from bitext.components.shared.chunk_ranges import Block, Chunks
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

LARGE_BYTES = 1 << 27
"""A larger file is divided, if its format allows it and workers share the reading."""
QuoteNumbers: TypeAlias = tuple[int, int, int, int]
"""The fields of `guards.QuoteCounts`."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a file, or of a pair of aligned files.

    Attributes:
      number: its number among the parts of the file, from 0.
      parts: number of parts of the file.
      line: number of its first line.
      chunks: the range of chunks to read of the file; of aligned files, of both.
      skipped: of aligned files, number of lines to leave out at the beginning of each range.
      lines: number of its lines.
      quotes: of a TSV file, the fields with quotation marks in the lines before.
    """

    number: int
    parts: int
    line: int
    chunks: tuple[Chunks, ...]
    skipped: tuple[int, int] = (0, 0)
    lines: int = 0
    quotes: QuoteNumbers = (0, 0, 0, 0)


def chunks_of(part: Part | None) -> Chunks | None:
    """The range of chunks to read of a file that is not aligned; None: all of it."""
    return None if part is None else part.chunks[0]


@dataclasses.dataclass
class Counted:
    """What was counted in a range of chunks.

    Attributes:
      chunks: the range.
      lines: number of lines in the blocks that end in each chunk.
      returns: number of lines that end with a carriage return alone.
      quotes: for each block of a TSV file, its fields with quotation marks.
      are_quotes_known: whether `quotes` has all blocks. If not, the first of them are prose by themselves.
    """

    chunks: Chunks
    lines: list[int]
    returns: int = 0
    quotes: list[QuoteNumbers] = dataclasses.field(default_factory=list)
    are_quotes_known: bool = True


def count(blocks: Iterable[Block], chunks: Chunks) -> Counted:
    """Counts the lines of a range, whose blocks have no carriage return before a line feed."""
    counted = Counted(chunks, [0] * (chunks.stop - chunks.first))
    for block in blocks:
        returns = block.text.count(b"\r")
        has_open_end = not block.text.endswith((b"\n", b"\r"))
        counted.lines[block.chunk - chunks.first] += block.text.count(b"\n") + returns + has_open_end
        counted.returns += returns
    return counted


def by_ranges(counted: Sequence[Counted]) -> list[Part]:
    """A part for each range, with the number of its first line."""
    before = itertools.accumulate((sum(each.lines) for each in counted), initial=1)
    return [
        Part(number, len(counted), line, (each.chunks,), lines=sum(each.lines))
        for number, (line, each) in enumerate(zip(before, counted, strict=False))
    ]


def by_lines(sides: Sequence[Sequence[Counted]], block_rows: int) -> list[Part]:
    """Parts of two files with the same number of lines, which begin at the same lines.

    Args:
      sides: what was counted in the ranges of both files.
      block_rows: a part begins after a multiple of so many lines.
    """
    import numpy as np

    before = [np.cumsum([0, *(n for each in side for n in each.lines)]) for side in sides]
    total = int(before[0][-1])
    most = max(map(len, sides))
    step = max(1, -(-total // (most * block_rows))) * block_rows
    parts: list[Part] = []
    for line in range(0, total, step):
        ranges, skipped = [], []
        for lines, side in zip(before, sides, strict=True):
            first = int(np.searchsorted(lines, line, side="right")) - 1
            stop = int(np.searchsorted(lines, min(line + step, total)))
            ranges.append(_range(side, first, len(lines) - 1 if line + step >= total else stop))
            skipped.append(line - int(lines[first]))
        lines_of_part = min(step, total - line)
        parts.append(Part(len(parts), 0, 1 + line, tuple(ranges), (skipped[0], skipped[1]), lines_of_part))
    return [dataclasses.replace(part, parts=len(parts)) for part in parts]


def check_lines(part: Part | None, line: int, *paths: str | None) -> None:
    """Checks that a part has as many lines as were counted.

    Args:
      part: the part; None: the whole file, which is not checked.
      line: number of the line after the last one that was read.
      *paths: the files.

    Raises:
      DataError: it has more or fewer.
    """
    if part is not None and line != part.line + part.lines:
        names = " or ".join(path_text(path) for path in paths if path is not None)
        raise DataError(
            f"{names} changed while it was read: lines {part.line:,} to {part.line + part.lines - 1:,} are no"
            " longer there",
            "run it again when no program writes into this file, or give a copy of it",
        )


def sizes(paths: Sequence[str]) -> dict[str, int]:
    """The bytes of files, by path. Remote files are looked up at the same time. See `size_of`."""
    distinct = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(storage.CONCURRENT_FILES) as pool:
        return dict(zip(distinct, pool.map(size_of, distinct), strict=True))


def size_of(path: str) -> int:
    """The bytes of a file as it is stored; 0 for a file in an archive, or a file that does not exist."""
    with contextlib.suppress(FileNotFoundError):
        return 0 if archives.split_path(path) else storage.size(path)
    return 0


def _range(counted: Sequence[Counted], first: int, stop: int) -> Chunks:
    """A range of the chunks of a file whose ranges were counted."""
    near = next(each.chunks for each in counted if each.chunks.first <= first < each.chunks.stop)
    return Chunks(first, stop, stop == counted[-1].chunks.stop, near.checkpoints)
