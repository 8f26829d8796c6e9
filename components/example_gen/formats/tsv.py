"""Tab-separated values without quoting."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bitext.components.example_gen.formats import content, decoding, guards, parts, preamble
from bitext.components.example_gen.formats.base import (
    FormatOptions,
    SourceFile,
    blocks_to_count,
    split_block,
    text_blocks,
    text_head,
    text_lines,
)
from bitext.components.example_gen.formats.parts import Counted, Part, QuoteNumbers, check_lines
from bitext.components.example_gen.formats.returns import cut_by_carriage_returns
from bitext.components.example_gen.formats.table import Table
from bitext.components.shared.chunk_ranges import Block, Chunks
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    from bitext.components.example_gen.rows import Ints, Rows

MOST_BLOCK_LINES = 1 << 17
"""Maximum number of lines in a block: a row needs memory even if it is empty."""


class Tsv(Table):
    """One row a line, columns separated by tabs. Nothing is quoted."""

    name = "tsv"

    def header(self, path: str, options: FormatOptions) -> list[str]:
        """The column names in the first line of a file."""
        return next(text_lines(path, options.encoding), b"").decode("utf-8", "backslashreplace").split("\t")

    def sample(self, path: str, options: FormatOptions) -> list[list[str]]:
        """The first rows, if they are no other format and not quoted."""
        block = text_head(path, options.encoding)
        content.check_rows(block, path)
        lines = split_block(block)[: guards.SAMPLE_ROWS]
        before = preamble.of(line.decode("utf-8", "replace") for line in lines)
        if before.lines:
            delimiter = guards.escaped(before.delimiter or "\t")
            raise DataError(
                f"{path_text(path)}: {before.in_words()}, not rows; format tsv would read them as rows",
                f'set example_gen.format to csv and example_gen.delimiter to "{delimiter}"',
            )
        quotes = guards.QuoteCounts()
        quotes.add(b"\n".join(lines))
        if quotes.are_by_csv(len(lines) + sum(line.count(b"\t") for line in lines)):
            raise guards.quoting_error(path, quotes)
        return [line.decode("utf-8", "backslashreplace").split("\t") for line in lines]

    def is_divisible(self, file: SourceFile, options: FormatOptions) -> bool:
        """Whether the file is UTF-8."""
        return decoding.is_utf8(options.encoding)

    def count(self, path: str, chunks: Chunks) -> Counted:
        """Counts the lines, and the fields with quotation marks until they are prose."""
        quotes, numbers = guards.QuoteCounts(), list[QuoteNumbers]()

        def blocks() -> Iterator[Block]:
            for block in blocks_to_count(path, chunks):
                if not quotes.is_prose and b'"' in block.text:
                    of_block = guards.QuoteCounts()
                    of_block.add(block.text)
                    numbers.append(dataclasses.astuple(of_block))
                    quotes.add_counts(of_block)
                yield block

        counted = parts.count(blocks(), chunks)
        counted.quotes, counted.are_quotes_known = numbers, not quotes.is_prose
        return counted

    def divide(self, counted: Sequence[Sequence[Counted]]) -> list[Part]:
        """A part for each range, with the quotation marks before it."""
        divided, quotes = [], guards.QuoteCounts()
        [ranges] = counted
        for part, of_range in zip(parts.by_ranges(ranges), ranges, strict=True):
            divided.append(dataclasses.replace(part, quotes=dataclasses.astuple(quotes)))
            for numbers in of_range.quotes:
                if not quotes.is_prose and not quotes.are_by_csv():
                    quotes.add_counts(guards.QuoteCounts(*numbers))
            if not (of_range.are_quotes_known or quotes.is_prose or quotes.are_by_csv()):
                return []  # how many quotation marks the range has is not known
        return divided

    def rows(self, file: SourceFile, options: FormatOptions) -> Iterator[Rows]:
        """The rows of a file, without its header, in order."""
        part = file.part
        line = 1 if part is None else part.line
        quotes = guards.QuoteCounts(*(() if part is None else part.quotes))
        for block in text_blocks(file.path, options.encoding, chunks=parts.chunks_of(part)):
            if not quotes.is_prose and b'"' in block:
                quotes.add(block)
                if quotes.are_by_csv():
                    raise guards.quoting_error(file.path, quotes)
            if options.header and line == 1:
                block = block[len(split_block(block)[0]) + 1 :]
                line = 2
            ends, begin = _line_ends(block), 0
            for first in range(0, len(ends), MOST_BLOCK_LINES):
                part_ends = ends[first : first + MOST_BLOCK_LINES]
                stop = int(part_ends[-1]) + 1
                yield split_tsv(block[begin:stop], line + first, file.columns, part_ends - begin)
                begin = stop
            line += len(ends)
        check_lines(part, line, file.path)


def _line_ends(block: bytes) -> Ints:
    """Indices of the line ends, which are one byte each; of a last line without one, the length."""
    import numpy as np

    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero((data == 0x0A) | (data == 0x0D) if b"\r" in block else data == 0x0A)
    if len(data) and (not len(ends) or ends[-1] != len(data) - 1):
        ends = np.append(ends, len(data))
    return ends


def split_tsv(block: bytes, first_line: int, columns: tuple[int, int], line_ends: Ints | None = None) -> Rows:
    """Splits whole lines into rows and reads two of their columns, without a loop over rows.

    Args:
      block: lines that end in a line feed or a carriage return, which the last one may lack; not empty.
      first_line: line number of the first line of the block.
      columns: indices of the source and the target column.
      line_ends: what `_line_ends` returns for the block, if it is known.
    """
    import numpy as np

    from bitext.components.example_gen.rows import Rows, slices

    data = np.frombuffer(block, np.uint8)
    ends = _line_ends(block) if line_ends is None else line_ends
    starts = np.concatenate([[0], ends[:-1] + 1])
    tabs = np.flatnonzero(data == 0x09)
    first_tab, next_line_tab = np.searchsorted(tabs, starts), np.searchsorted(tabs, ends)
    column_counts = next_line_tab - first_tab + 1
    # One more tab at the end keeps every index below within bounds; `where` discards the values read from it.
    tabs = np.append(tabs, len(data))
    last_tab = len(tabs) - 1
    sides = []
    for column in columns:
        present = column < column_counts
        begin = starts if column == 0 else tabs[np.minimum(first_tab + column - 1, last_tab)] + 1
        end = np.where(column < column_counts - 1, tabs[np.minimum(first_tab + column, last_tab)], ends)
        sides.append(slices(block, np.where(present, begin, ends), np.where(present, end, ends), present))
    lines = slices(block, starts, ends, np.ones(len(ends), bool))
    numbers = first_line + np.arange(len(ends), dtype=np.int64)
    column_counts = column_counts.astype(np.int64)
    rejected = {}
    if b"\r" in block:
        rejected = cut_by_carriage_returns(
            np.append(False, data[ends[:-1]] == 0x0D), np.where(starts == ends, 0, column_counts)
        )
    return Rows(numbers, (sides[0], sides[1]), (lines,), column_counts, rejected)
