"""Comma-separated values as RFC 4180 defines them: quoting, and line breaks inside quotes.

The lines before the rows that Excel and Anki write (`sep=;`) are left out.

If a quotation mark is not closed, the line that opens it is rejected, and reading takes up again at the next
line.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import re
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bitext.components.example_gen.formats import content, guards, preamble
from bitext.components.example_gen.formats.base import (
    FormatOptions,
    SourceFile,
    in_blocks,
    text_blocks,
    text_head,
)
from bitext.components.example_gen.formats.returns import cut_by_carriage_returns
from bitext.components.example_gen.formats.table import Table
from bitext.components.shared import reading
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from bitext.components.example_gen.rows import Rows

_LINE = re.compile("([^\r\n]*)([\r\n])")
MAX_RECORD_BYTES = 1 << 20
"""A record over several lines is at most this long. Over that, its quotation mark counts as not closed."""
_BACKSLASH = "a backslash is before a quotation mark, which CSV doubles"
_NOT_CLOSED = "the quotation mark is not closed"


class Csv(Table):
    """CSV with any delimiter of one character. A row has the number of its first line."""

    name = "csv"
    keys_of_layout = (*Table.keys_of_layout, "delimiter")
    options_read = Table.options_read | {"delimiter"}

    def delimiter(self, options: FormatOptions) -> str:
        """The character between columns."""
        return options.delimiter

    def header(self, path: str, options: FormatOptions) -> list[str]:
        """The column names in the first record of a file."""
        record = next(_Records(path, options), None)
        if record is None:
            return []
        if record.rejected is not None:
            raise DataError(
                f"{path_text(path)}: the quoting of the header is broken: {record.rejected[1]}",
                "correct the first line of the file",
            )
        return [name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for name in record.fields]

    def sample(self, path: str, options: FormatOptions) -> list[list[str]]:
        """The first rows, if they are no other format."""
        head = text_head(path, options.encoding)
        content.check_rows(head, path)
        before = preamble.of(head[: 1 << 12].decode("utf-8", "replace").splitlines())
        if before.delimiter and before.delimiter != options.delimiter:
            raise DataError(
                f"{path_text(path)}: its delimiter is {guards.in_words(before.delimiter)}, as"
                f" {before.program} wrote in its first lines, not {guards.in_words(options.delimiter)}",
                f'set example_gen.delimiter to "{guards.escaped(before.delimiter)}"',
            )
        records = itertools.islice(_Records(path, options), guards.SAMPLE_ROWS)
        return [record.fields for record in records if record.rejected is None]

    def rows(self, file: SourceFile, options: FormatOptions) -> Iterator[Rows]:
        """The rows of a file, without its header, in order."""
        import numpy as np
        import pyarrow as pa

        from bitext.components.example_gen.rows import Rows

        records: Iterator[_Record] = _Records(file.path, options)
        if options.header:
            next(records, None)
        for block in in_blocks(records, lambda record: len(record.raw)):
            column_counts = np.array([len(record.fields) for record in block], np.int64)
            after_return = np.array([record.after_return for record in block], bool)
            rejected = cut_by_carriage_returns(after_return, column_counts)
            rejected |= {row: r.rejected for row, r in enumerate(block) if r.rejected is not None}
            yield Rows(
                np.array([record.line for record in block], np.int64),
                (_column(block, file.columns[0]), _column(block, file.columns[1])),
                (pa.array([_encoded(record.raw.removesuffix("\n")) for record in block], pa.binary()),),
                column_counts,
                rejected,
            )


@dataclasses.dataclass
class _Record:
    """A record, or the first line of a record that cannot be parsed.

    Attributes:
      line: number of its first line.
      fields: its columns.
      raw: its text.
      after_return: whether the line end before it is a carriage return alone.
      rejected: reason and detail if it cannot be parsed.
    """

    line: int
    fields: list[str]
    raw: str
    after_return: bool
    rejected: tuple[str, str] | None = None


class _NotClosedError(Exception):
    """The quotation mark of the current record is known not to be closed."""


class _LineTooLongError(Exception):
    """The line is longer than a row may be."""


class _Records:
    """Iterator over the records of a file, in linear time.

    The lines of a record that cannot be parsed are read again, except the first. Whether the parser can go on
    from the beginning of a line, inside quotes, does not depend on what was before. So a record that is still
    open at the beginning of a line at which an earlier record was open, and which could not be parsed to its
    end, cannot be parsed either: each line is read at most three times.
    """

    def __init__(self, path: str, options: FormatOptions):
        self._delimiter = options.delimiter
        lines = _lines(path, options.encoding)
        head = list(itertools.islice(lines, preamble.MOST_LINES))
        before = preamble.of(text for text, _ in head).lines
        self._lines = itertools.chain(head[before:], lines)
        self._again: deque[tuple[str, bool]] = deque()
        self._record: list[tuple[str, bool]] = []
        self._size = 0
        self._line = 1 + before
        self._open_until = 0
        csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))
        self._reader = csv.reader(self._texts(), delimiter=self._delimiter, strict=True)

    def __iter__(self) -> _Records:
        return self

    def _texts(self) -> Iterator[str]:
        """The lines for `csv.reader`, which asks for a second line of a record only inside quotes."""
        while True:
            if self._record and self._line + len(self._record) <= self._open_until:
                raise _NotClosedError
            entry = self._again.popleft() if self._again else next(self._lines, None)
            if entry is None:
                return
            self._record.append(entry)
            self._size += _size(entry[0])
            if len(self._record) > 1 and self._size > MAX_RECORD_BYTES:
                raise _NotClosedError
            if self._size > reading.MAX_LINE_BYTES + 1:
                raise _LineTooLongError
            yield entry[0]

    def __next__(self) -> _Record:
        self._record, self._size = [], 0
        fields: list[str] = []
        rejected = None
        try:
            fields = next(self._reader)
        except StopIteration:
            if not self._record:
                raise
            rejected = _NOT_CLOSED
        except _NotClosedError:
            rejected = _NOT_CLOSED
        except _LineTooLongError:
            rejected = "the line is too long"
        except csv.Error as error:
            rejected = str(error) if len(self._record) == 1 else _NOT_CLOSED
            if '\\"' in self._record[0][0]:
                rejected = _BACKSLASH
        lines = self._record
        if rejected is not None:
            self._open_until = max(self._open_until, self._line + len(lines) - 1)
            self._again.extendleft(reversed(lines[1:]))
            del lines[1:]
            self._reader = csv.reader(self._texts(), delimiter=self._delimiter, strict=True)
        raw = lines[0][0] if len(lines) == 1 else "".join(text for text, _ in lines)
        record = _Record(
            self._line,
            fields,
            raw,
            lines[0][1],
            None if rejected is None else ("bad_quoting", f"{rejected}, in the row of line {self._line}"),
        )
        self._line += len(lines)
        return record


def _lines(path: str, encoding: str) -> Iterator[tuple[str, bool]]:
    """The lines of a file, each ended by a line feed; and whether a carriage return alone is before it."""
    after_return = False
    for block in text_blocks(path, encoding):
        # Bytes that are not UTF-8 become surrogates here, and the same bytes again in `_column`.
        text = block.decode("utf-8", "surrogateescape")
        if "\r" not in text:
            for line in text.removesuffix("\n").split("\n"):
                yield line + "\n", after_return
                after_return = False
            continue
        for match in _LINE.finditer(text if text.endswith(("\r", "\n")) else text + "\n"):
            yield match[1] + "\n", after_return
            after_return = match[2] == "\r"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _size(text: str) -> int:
    """The bytes of a text that was decoded by `_lines`."""
    return len(text) if text.isascii() else len(_encoded(text))


def _column(block: list[_Record], column: int) -> pa.Array:
    """One column of the records: binary[N], null where a record lacks it."""
    import pyarrow as pa

    values = [_encoded(record.fields[column]) if column < len(record.fields) else None for record in block]
    return pa.array(values, pa.binary())
