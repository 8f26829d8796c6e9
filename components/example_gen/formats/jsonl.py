"""JSON Lines: one JSON value a line, whose fields are named by paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from bitext.components.example_gen.formats import content, decoding, fields
from bitext.components.example_gen.formats.base import (
    Format,
    FormatOptions,
    SourceFile,
    in_blocks,
    split_block,
    text_head,
    text_lines,
)
from bitext.components.shared import reading
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    from bitext.components.example_gen.rows import Rows

_KINDS = {int: "a number", float: "a number", bool: "true or false", dict: "an object", list: "an array"}
_SAMPLE_LINES = 100


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

    def rows(self, file: SourceFile, options: FormatOptions) -> Iterator[Rows]:
        """The rows of a file, in order."""
        import numpy as np
        import pyarrow as pa

        from bitext.components.example_gen.rows import Rows

        columns = (str(options.source_column), str(options.target_column))
        numbered = enumerate(text_lines(file.path, options.encoding), 1)
        for block in in_blocks(numbered, lambda row: len(row[1])):
            sides: tuple[list[bytes | None], list[bytes | None]] = ([], [])
            counts: list[int] = []
            rejected: dict[int, tuple[str, str]] = {}
            for row, (_, line) in enumerate(block):
                values, count, fault = _values(line, columns)
                counts.append(count)
                if fault is not None:
                    rejected[row] = fault
                for side, value in zip(sides, values, strict=True):
                    side.append(value)
            yield Rows(
                np.array([number for number, _ in block], np.int64),
                (pa.array(sides[0], pa.binary()), pa.array(sides[1], pa.binary())),
                (pa.array([line for _, line in block], pa.binary()),),
                np.array(counts, np.int64),
                rejected,
            )


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
