"""Comma-separated values as RFC 4180 defines them: quoting, and line breaks inside quotes."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bitext.components.example_gen.formats.base import (
    BLOCK_ROWS,
    FormatOptions,
    SourceFile,
    Table,
    text_lines,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from bitext.components.example_gen.rows import Rows


class Csv(Table):
    """CSV with any delimiter of one character. A row has the number of its first line."""

    name = "csv"
    keys_of_layout = (*Table.keys_of_layout, "delimiter")

    def header(self, line: str, options: FormatOptions) -> list[str]:
        """The column names in the first line of a file."""
        return next(csv.reader([line], delimiter=options.delimiter), [])

    def rows(self, file: SourceFile, options: FormatOptions) -> Iterator[Rows]:
        """The rows of a file, without its header, in order."""
        import numpy as np
        import pyarrow as pa

        from bitext.components.example_gen.rows import Rows

        records = _records(file.path, options.delimiter)
        if options.header:
            next(records, None)
        while block := list(itertools.islice(records, BLOCK_ROWS)):
            yield Rows(
                np.array([record.line for record in block], np.int64),
                (_column(block, file.columns[0]), _column(block, file.columns[1])),
                (pa.array([record.raw.encode("utf-8", "surrogateescape") for record in block], pa.binary()),),
                np.array([len(record.fields) for record in block], np.int64),
                {row: record.rejected for row, record in enumerate(block) if record.rejected is not None},
            )


@dataclasses.dataclass
class _Record:
    """A record, or a line of a record that cannot be parsed.

    Attributes:
      line: number of its first line.
      fields: its columns.
      raw: its text, line feeds included.
      rejected: (reason, detail) if it cannot be parsed.
    """

    line: int
    fields: list[str]
    raw: str
    rejected: tuple[str, str] | None = None


class _Lines:
    """Iterator of a file's lines for `csv.reader`: text with line feeds.

    Attributes:
      count: how many lines have been read.
      record: the lines read since the caller last emptied it: those of the current record.
    """

    def __init__(self, path: str):
        self._lines = text_lines(path)
        self.count = 0
        self.record: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        # Bytes that are not UTF-8 become surrogates here, and the same bytes again in `_column`.
        line = next(self._lines).decode("utf-8", "surrogateescape") + "\n"
        self.count += 1
        self.record.append(line)
        return line


def _records(path: str, delimiter: str) -> Iterator[_Record]:
    """The records of a file. If the quoting of one is broken, each of its lines is a rejected record."""
    lines = _Lines(path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.record, start = [], lines.count + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            rejected = ("bad_quoting", f"{error}, in the record that begins on line {start}")
            for offset, raw in enumerate(lines.record):
                yield _Record(start + offset, [], raw, rejected)
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        yield _Record(start, fields, "".join(lines.record))


def _column(block: list[_Record], column: int) -> pa.Array:
    """One column of the records: binary[N], null where a record lacks it."""
    import pyarrow as pa

    values = [
        record.fields[column].encode("utf-8", "surrogateescape") if column < len(record.fields) else None
        for record in block
    ]
    return pa.array(values, pa.binary())
