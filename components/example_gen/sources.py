"""Finding, opening and reading the source files: local or remote, compressed or not, of any format."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from bitext.components.example_gen import Files, Parameters
from bitext.components.example_gen.rows import Rows, split_tsv
from bitext.components.shared import reading
from bitext.components.shared.errors import DataError

BLOCK_BYTES = 1 << 22
BLOCK_ROWS = 1 << 15


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """One file to read, or one pair of aligned files.

    Attributes:
      index: its place in the corpus's order.
      label: what example ids call it: after its span its name, or its whole path where two share a name.
      path: where it lies.
      target_path: the aligned target side, for format `parallel`.
      split: the split its rows are given to; None where the hash decides.
      columns: indices of source and target column.
    """

    index: int
    label: str
    path: str
    target_path: str | None
    split: str | None
    columns: tuple[int, int]


def find(parameters: Parameters, groups: Mapping[str | None, Files] | None = None) -> list[SourceFile]:
    """Resolves paths and globs and checks what can be checked before reading: columns, equal lengths.

    Args:
      parameters: ExampleGen's.
      groups: the files of each split, if not those of the corpus.

    Raises:
      DataError: nothing matches, a file is in two splits, a header lacks a column, aligned files differ in
      length.
    """
    found: list[tuple[str, str | None, str | None]] = []
    for split, files in (groups or parameters.groups()).items():
        found += [(path, target, split) for path, target in _pairs(files, parameters.format)]
    splits: dict[str, str | None] = {}
    for path, _, split in found:
        if path in splits:
            raise DataError(
                f"{path} is given twice: for {splits[path]} and {split}", "name it in one split only"
            )
        splits[path] = split
    names = [path.rpartition("/")[2] for path, _, _ in found]
    span, home = parameters.span, ""
    if span is not None and span.number is not None:
        home = f"span-{span.number}/" if span.version is None else f"span-{span.number}-v{span.version}/"
    files_found = []
    for index, (path, target, split) in enumerate(found):
        label = home + (names[index] if names.count(names[index]) == 1 else path)
        columns = _columns(path, parameters)
        files_found.append(SourceFile(index, label, path, target, split, columns))
    for file in files_found:
        if file.target_path is not None:
            _check_aligned(file.path, file.target_path)
    return files_found


def _pairs(files: Files, file_format: str) -> list[tuple[str, str | None]]:
    """Paths, or (source, target) paths, of one group of files."""
    if file_format != "parallel":
        return [(path, None) for path in _match(files.files)]
    source, target = _match(files.source_files), _match(files.target_files)
    if len(source) != len(target):
        raise DataError(
            f"source_files match {len(source)} files and target_files {len(target)}: "
            f"{', '.join(source)} against {', '.join(target)}",
            "name the same number of files on both sides, in the same order",
        )
    return list(zip(source, target, strict=True))


def _match(patterns: tuple[str, ...]) -> list[str]:
    """Files of paths and globs, in the order given, sorted within a glob, each once."""
    paths: dict[str, None] = {}
    for pattern in patterns:
        found = reading.find(pattern)
        if not found:
            raise DataError(
                f"no file matches {pattern}",
                "check example_gen's files; `bitext fetch tatoeba-es` obtains data/spa.tsv",
            )
        paths.update(dict.fromkeys(found))
    return list(paths)


def _columns(path: str, parameters: Parameters) -> tuple[int, int]:
    """Indices of the two columns, looked up in the header where one is named."""
    if parameters.format == "parallel":
        return (0, 1)
    wanted = (parameters.source_column, parameters.target_column)
    header: list[str] = []
    if any(isinstance(column, str) for column in wanted):
        header = _header(path, parameters)
    indices = []
    for field, column in zip(("source_column", "target_column"), wanted, strict=True):
        if isinstance(column, str):
            if column not in header:
                names = ", ".join(repr(name) for name in header)
                raise DataError(
                    f"{path} has no column {column!r}; its header names {names}", f"correct {field}"
                )
            column = header.index(column)
        indices.append(column)
    return (indices[0], indices[1])


def _header(path: str, parameters: Parameters) -> list[str]:
    line = next(_lines(path), b"").decode("utf-8", "backslashreplace").rstrip("\r")
    if parameters.format == "csv":
        return [name.strip() for name in next(csv.reader([line], delimiter=parameters.delimiter), [])]
    return [name.strip() for name in line.split("\t")]


def _check_aligned(source: str, target: str) -> None:
    counts = [_count_lines(path) for path in (source, target)]
    if counts[0] != counts[1]:
        raise DataError(
            f"aligned files differ in length: {source} has {counts[0]} lines, {target} has {counts[1]}",
            "every line needs its translation on the same line of the other file; find where they part",
        )


def _count_lines(path: str) -> int:
    lines, last = 0, b"\n"
    for chunk in reading.chunks(path, BLOCK_BYTES):
        lines += chunk.count(b"\n")
        last = chunk[-1:]
    return lines + (last != b"\n")


def _blocks(path: str) -> Iterator[bytes]:
    """The file's bytes cut at line ends, without a byte order mark; no block is empty."""
    for index, block in enumerate(reading.whole_lines(reading.chunks(path, BLOCK_BYTES))):
        if text := block if index else block.removeprefix(reading.BYTE_ORDER_MARK):
            yield text


def _lines(path: str) -> Iterator[bytes]:
    """The file's lines without their line feeds."""
    for block in _blocks(path):
        yield from reading.split_lines(block)


def read(file: SourceFile, parameters: Parameters) -> Iterator[Rows]:
    """The file's rows, in blocks, in order; a header is left out."""
    if parameters.format == "tsv":
        yield from _read_tsv(file, parameters.header)
    elif parameters.format == "csv":
        yield from _read_csv(file, parameters)
    else:
        yield from _read_parallel(file)


def _read_tsv(file: SourceFile, header: bool) -> Iterator[Rows]:
    line = 1
    for block in _blocks(file.path):
        if header and line == 1:
            block = block.partition(b"\n")[2]
            line = 2
        if block:
            rows = split_tsv(block, line, file.columns)
            line += len(rows.line)
            yield rows


def _read_parallel(file: SourceFile) -> Iterator[Rows]:
    if file.target_path is None:
        raise ValueError(f"{file.path} has no target side")
    line = 1
    pairs = zip(_lines(file.path), _lines(file.target_path), strict=True)
    while block := list(itertools.islice(pairs, BLOCK_ROWS)):
        sides = tuple(pa.array(side, pa.binary()) for side in zip(*block, strict=True))
        number = line + np.arange(len(block), dtype=np.int64)
        line += len(block)
        yield Rows(number, (sides[0], sides[1]), sides, np.full(len(block), 2, np.int64))


class _Taken:
    """Lines as csv.reader wants them (text, line feed kept), remembering those of the record under way."""

    def __init__(self, path: str):
        self._lines = _lines(path)
        self.number = 0
        self.record: list[str] = []

    def __iter__(self) -> _Taken:
        return self

    def __next__(self) -> str:
        # Bytes that are no UTF-8 travel as surrogates, and come out of `encode` below as they went in.
        line = next(self._lines).decode("utf-8", "surrogateescape") + "\n"
        self.number += 1
        self.record.append(line)
        return line


@dataclasses.dataclass
class _Record:
    line: int
    fields: list[str]
    raw: str
    note: tuple[str, str] | None = None


def _csv_records(path: str, delimiter: str) -> Iterator[_Record]:
    """RFC 4180 records; where quoting is broken, every line it took is a record of its own, with a note."""
    lines = _Taken(path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.record, start = [], lines.number + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            note = ("bad_quoting", f"{error}, in the record that begins on line {start}")
            for offset, raw in enumerate(lines.record):
                yield _Record(start + offset, [], raw, note)
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        yield _Record(start, fields, "".join(lines.record))


def _read_csv(file: SourceFile, parameters: Parameters) -> Iterator[Rows]:
    records = _csv_records(file.path, parameters.delimiter)
    if parameters.header:
        next(records, None)
    while block := list(itertools.islice(records, BLOCK_ROWS)):
        yield Rows(
            np.array([record.line for record in block], np.int64),
            (_field(block, file.columns[0]), _field(block, file.columns[1])),
            (pa.array([record.raw.encode("utf-8", "surrogateescape") for record in block], pa.binary()),),
            np.array([len(record.fields) for record in block], np.int64),
            {row: record.note for row, record in enumerate(block) if record.note is not None},
        )


def _field(block: list[_Record], column: int) -> pa.Array:
    """One column of CSV records: binary[N], null where missing."""
    values = [
        record.fields[column].encode("utf-8", "surrogateescape") if column < len(record.fields) else None
        for record in block
    ]
    return pa.array(values, pa.binary())
