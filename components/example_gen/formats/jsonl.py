"""JSON Lines: one JSON value a line, whose fields are named by paths."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from bitext.components.example_gen.formats import content, decoding, fields
from bitext.components.example_gen.formats.base import (
    BLOCK_ROWS,
    Format,
    FormatOptions,
    SourceFile,
    split_block,
    text_blocks,
    text_head,
)
from bitext.components.example_gen.formats.parts import check_lines, chunks_of
from bitext.components.shared import reading
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from bitext.components.example_gen.rows import Rows

_KINDS = {int: "a number", float: "a number", bool: "true or false", dict: "an object", list: "an array"}
_SAMPLE_LINES = 100
_LINES_AT_ONCE = 1000


class JsonLines(Format):
    """One JSON object, or array, a line. A row has the number of its line."""

    name = "jsonl"
    keys_of_layout = ("format", "source_column", "target_column")
    options_read = frozenset({"encoding", "source_column", "target_column"})

    def check_options(self, options: FormatOptions) -> None:
        """Checks that the paths differ."""
        super().check_options(options)
        if str(options.source_column) == str(options.target_column):
            raise ValueError(f"source_column and target_column are the same: {options.source_column!r}")

    def inspect(self, path: str, target_path: str | None, options: FormatOptions) -> tuple[int, int]:
        """Checks that one of the first lines has both fields."""
        head = text_head(path, options.encoding)
        if content.format_of(head) == "json":
            raise content.json_error(head, path)
        records = list(_records(split_block(head)[:_SAMPLE_LINES]))
        columns = (str(options.source_column), str(options.target_column))
        if records and all(fields.value_at(r, c) is fields.MISSING for r in records for c in columns):
            paths = list(dict.fromkeys(p for record in records for p in fields.text_paths(record)))
            raise DataError(
                f"{path_text(path)} has no fields {columns[0]!r} and {columns[1]!r}; its texts are in"
                f" the fields {fields.shown(paths)}",
                "set example_gen.source_column and example_gen.target_column to two of these",
            )
        return (0, 1)

    def is_divisible(self, file: SourceFile, options: FormatOptions) -> bool:
        """Whether the file is UTF-8."""
        return decoding.is_utf8(options.encoding)

    def rows(self, file: SourceFile, options: FormatOptions) -> Iterator[Rows]:
        """The rows of a file, in order."""
        import numpy as np
        import pyarrow as pa

        from bitext.components.example_gen.rows import Rows

        columns = (str(options.source_column), str(options.target_column))
        reader, first = _Reader(columns), 1 if file.part is None else file.part.line
        for block in text_blocks(file.path, options.encoding, chunks=chunks_of(file.part)):
            lines = split_block(block)
            for start in range(0, len(lines), BLOCK_ROWS):
                part = lines[start : start + BLOCK_ROWS]
                sides, counts, rejected = reader.read(part)
                yield Rows(
                    first + start + np.arange(len(part), dtype=np.int64),
                    sides,
                    (pa.array(part, pa.binary()),),
                    np.array(counts, np.int64),
                    rejected,
                )
            first += len(lines)
        check_lines(file.part, first, file.path)


class _Reader:
    """Reads the texts of lines: those of records that have both fields at once, the others line by line.

    Args:
      columns: the paths of source and target.
    """

    def __init__(self, columns: tuple[str, str]) -> None:
        self._columns = columns
        self._decoder = _decoder_of(columns)
        self._texts = [operator.attrgetter(".".join(_names_of(column))) for column in columns]

    def read(
        self, lines: list[bytes]
    ) -> tuple[tuple[pa.Array, pa.Array], list[int], dict[int, tuple[str, str]]]:
        """The sides of the lines, the numbers of their fields, and the reasons why some are no pairs."""
        import pyarrow as pa

        sides: tuple[list[pa.Array], list[pa.Array]] = ([], [])
        counts: list[int] = []
        rejected: dict[int, tuple[str, str]] = {}
        for start in range(0, len(lines), _LINES_AT_ONCE):
            part = lines[start : start + _LINES_AT_ONCE]
            records = self._records(part)
            if records is not None:
                counts += [2] * len(part)
                for side, text in zip(sides, self._texts, strict=True):
                    side.append(pa.array(map(text, records), pa.string()).cast(pa.binary()))
                continue
            values: tuple[list[bytes | None], list[bytes | None]] = ([], [])
            for row, line in enumerate(part, start):
                pair, count, fault = _values(line, self._columns)
                counts.append(count)
                if fault is not None:
                    rejected[row] = fault
                for texts, value in zip(values, pair, strict=True):
                    texts.append(value)
            for side, texts in zip(sides, values, strict=True):
                side.append(pa.array(texts, pa.binary()))
        source, target = (pa.concat_arrays(side) for side in sides)
        return (source, target), counts, rejected

    def _records(self, lines: list[bytes]) -> list[Any] | None:
        """The records of lines that all have both texts; None: some have not."""
        if self._decoder is None:
            return None
        try:
            records = self._decoder.decode_lines(b"\n".join(lines))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return records if len(records) == len(lines) else None  # a blank line is no record


def _names_of(column: str) -> list[str]:
    """Names of the attributes of the decoded records that lead to a column."""
    return [f"field_{part.encode().hex()}" for part in column.split(".")]


def _decoder_of(columns: tuple[str, str]) -> msgspec.json.Decoder[Any] | None:
    """Decodes only the two fields, if they are texts; None: the paths are not those of objects in objects."""
    paths = [column.split(".") for column in columns]
    shorter, longer = sorted(paths, key=len)
    if longer[: len(shorter)] == shorter or any(
        not part or part.isdecimal() for path in paths for part in path
    ):
        return None
    return msgspec.json.Decoder(_record_of(paths))


def _record_of(paths: list[list[str]]) -> Any:
    """The type of records with texts at paths. No field is named by the rest of a path: it would be meant."""
    fields_of: dict[str, list[list[str]]] = {}
    for head, *rest in paths:
        fields_of.setdefault(head, []).append(rest)
    types: list[Any] = [
        (_names_of(head)[0], _record_of(rests) if rests[0] else str) for head, rests in fields_of.items()
    ]
    whole = [".".join(path) for path in paths if len(path) > 1]
    types += [(f"whole_{name.encode().hex()}", Literal["\0"], "\0") for name in whole]
    names = {_names_of(head)[0]: head for head in fields_of}
    names |= {f"whole_{name.encode().hex()}": name for name in whole}
    return msgspec.defstruct("Record", types, rename=names, gc=False)


_NO_PAIR: tuple[bytes | None, bytes | None] = (b"", b"")


def _values(
    line: bytes, columns: tuple[str, str]
) -> tuple[tuple[bytes | None, ...], int, tuple[str, str] | None]:
    """The texts of a line, the number of its fields, and the reason and detail if it is no pair."""
    if not line.strip():
        return (None, None), 0, None
    if reading.is_cut(line):
        return _NO_PAIR, 0, None  # its length is a reason of its own
    try:
        record = msgspec.json.decode(line)
    except UnicodeDecodeError:
        return (line, line), 0, None  # rejected, because it cannot be decoded
    except (msgspec.DecodeError, RecursionError) as error:
        if not _is_text(line):
            return (line, line), 0, None
        record = _with_nan(line)
        if record is None:
            return _NO_PAIR, 0, ("bad_json", str(error))
    count = len(record) if isinstance(record, dict | list) else 1
    texts: list[bytes | None] = []
    for name, column in zip(("source", "target"), columns, strict=True):
        value = fields.value_at(record, column)
        if isinstance(value, str):
            texts.append(value.encode("utf-8", "surrogatepass"))
        elif value is None or value is fields.MISSING:
            texts.append(None)
        else:
            return _NO_PAIR, count, ("not_text", f"{name} {column}: {_KINDS[type(value)]}, not text")
    return tuple(texts), count, None


def _with_nan(line: bytes) -> Any:
    """The value of a line with `NaN` or `Infinity`, as Python's json writes it; None: it is no such value."""
    if b"NaN" not in line and b"Infinity" not in line:
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_text(line: bytes) -> bool:
    try:
        line.decode(decoding.UTF_8)
    except UnicodeDecodeError:
        return False
    return True


def _records(lines: list[bytes]) -> Iterator[Any]:
    for line in lines:
        try:
            yield msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
