"""Parquet and Arrow files (IPC file and stream, Feather): columns have paths, rows are numbered."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from bitext.components.example_gen.formats import fields
from bitext.components.example_gen.formats.base import BLOCK_ROWS, Format, FormatOptions, SourceFile
from bitext.components.shared import archives, reading, storage
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from bitext.components.example_gen.rows import Rows

_BUFFER_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 24
_LEAST_BATCH_ROWS = 64
_FILE, _FEATHER_1 = b"ARROW1", b"FEA1"


class _Columnar(Format):
    """A format with typed columns."""

    keys_of_layout = ("format", "source_column", "target_column")
    options_read = frozenset({"source_column", "target_column"})

    def numbered(self, path: str) -> str:
        """What the numbers of the rows of a file count."""
        return "row"

    def check_options(self, options: FormatOptions) -> None:
        """Checks that the columns differ."""
        super().check_options(options)
        if str(options.source_column) == str(options.target_column):
            raise ValueError(f"source_column and target_column are the same: {options.source_column!r}")

    def inspect(self, path: str, target_path: str | None, options: FormatOptions) -> tuple[int, int]:
        """Checks that the file has both columns, and that they are text."""
        with _opened(path) as file:
            schema = self.schema(file, path)
            for key in ("source_column", "target_column"):
                _path_of(schema, getattr(options, key), path, key)
        return (0, 1)

    def rows(self, file: SourceFile, options: FormatOptions) -> Iterator[Rows]:
        """The rows of a file, in order."""
        import numpy as np
        import pyarrow.compute as pc

        from bitext.components.example_gen.rows import Rows

        line = 1
        for source, target in self._columns(file.path, options):
            numbers = line + np.arange(len(source), dtype=np.int64)
            line += len(source)
            raw = (pc.fill_null(source, b""), pc.fill_null(target, b""))
            yield Rows(numbers, (source, target), raw, np.full(len(source), 2, np.int64))

    def _columns(self, path: str, options: FormatOptions) -> Iterator[tuple[pa.Array, pa.Array]]:
        with _opened(path) as file:
            schema = self.schema(file, path)
            keys = ("source_column", "target_column")
            names = [_path_of(schema, getattr(options, key), path, key) for key in keys]
            file.seek(0)
            for batch in self.batches(file, path, names):
                for start in range(0, batch.num_rows, BLOCK_ROWS):
                    part = batch.slice(start, BLOCK_ROWS)
                    yield from _in_pieces(*(_text(part, name) for name in names))

    @abc.abstractmethod
    def schema(self, file: BinaryIO, path: str) -> pa.Schema:
        """The columns of an open file."""

    @abc.abstractmethod
    def batches(self, file: BinaryIO, path: str, names: list[list[str]]) -> Iterator[pa.RecordBatch]:
        """The batches of an open file."""


class Parquet(_Columnar):
    """Parquet: only the two columns are read."""

    name = "parquet"

    def schema(self, file: BinaryIO, path: str) -> pa.Schema:
        """The columns of an open file."""
        return _parquet(file, path).schema_arrow

    def batches(self, file: BinaryIO, path: str, names: list[list[str]]) -> Iterator[pa.RecordBatch]:
        """The batches of an open file."""
        parquet = _parquet(file, path)
        rows, size = 1, 0
        for group in range(parquet.metadata.num_row_groups):
            metadata = parquet.metadata.row_group(group)
            rows, size = rows + metadata.num_rows, size + metadata.total_byte_size
        batch_rows = min(BLOCK_ROWS, max(_LEAST_BATCH_ROWS, _BLOCK_BYTES * rows // max(1, size)))
        yield from parquet.iter_batches(batch_size=batch_rows, columns=[".".join(name) for name in names])


class Arrow(_Columnar):
    """Arrow IPC files, IPC streams and Feather files."""

    name = "arrow"

    def schema(self, file: BinaryIO, path: str) -> pa.Schema:
        """The columns of an open file."""
        return _arrow(file, path).schema

    def batches(self, file: BinaryIO, path: str, names: list[list[str]]) -> Iterator[pa.RecordBatch]:
        """The batches of an open file."""
        reader = _arrow(file, path)
        if hasattr(reader, "num_record_batches"):
            yield from (reader.get_batch(index) for index in range(reader.num_record_batches))
        else:
            yield from reader


def text_columns(file_format: str, path: str, rows: int) -> dict[str, list[str]]:
    """The paths of the columns of text of a file, with their values in the first rows.

    Args:
      file_format: `parquet` or `arrow`.
      path: the file.
      rows: the most rows whose values are read.

    Raises:
      DataError: the file cannot be read.
    """
    reader = Parquet() if file_format == "parquet" else Arrow()
    with _opened(path) as file:
        schema = reader.schema(file, path)
        names = [names for names, kind in _leaves(schema) if _is_text(kind)]
        if not names:
            return {}
        file.seek(0)
        batch = next(reader.batches(file, path, names), None)
        if batch is None:
            return {".".join(name): [] for name in names}
        part = batch.slice(0, rows)
        return {
            ".".join(name): [
                (value or b"").decode("utf-8", "replace") for value in _text(part, name).to_pylist()
            ]
            for name in names
        }


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Opens a file at any position of which can be read.

    Raises:
      DataError: it cannot be opened, is compressed or is in an archive.
    """
    if archives.split_path(path) or path.endswith(reading.ENDINGS):
        raise DataError(
            f"cannot read {path_text(path)}: Parquet and Arrow files are not read from archives, nor"
            " decompressed",
            "unpack it, and name the file itself",
        )
    try:
        file = storage.open_file(path)
    except OSError as error:
        raise DataError(
            f"cannot read {path_text(path)}: {error}", "check that the file is whole and readable"
        ) from error
    import pyarrow as pa

    with file:
        try:
            yield file
        except (pa.ArrowException, OSError, OverflowError, UnicodeDecodeError, MemoryError) as error:
            # A name of a column may not be UTF-8, and a damaged size may be larger than the memory.
            raise _damaged(path, error) from error


def _damaged(path: str, error: object) -> DataError:
    is_encrypted = "decrypt" in str(error).lower()
    remedy = (
        "write it again without encryption"
        if is_encrypted
        else "check that the file is whole, or write it again"
    )
    return DataError(f"cannot read {path_text(path)}: {error}", remedy)


def _parquet(file: BinaryIO, path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, f"it is no Parquet file ({error})") from error


def _arrow(file: BinaryIO, path: str) -> Any:
    import pyarrow as pa

    head = file.read(len(_FILE))
    file.seek(0)
    if head.startswith(_FEATHER_1):
        raise DataError(
            f"cannot read {path_text(path)}: it is a Feather file of version 1",
            "write it as version 2: pyarrow.feather.write_feather(pyarrow.feather.read_table(FILE), NEW)",
        )
    try:
        return pa.ipc.open_file(file) if head == _FILE else pa.ipc.open_stream(file)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, f"it is no Arrow file ({error})") from error


def _path_of(schema: pa.Schema, column: int | str, path: str, key: str) -> list[str]:
    """The names of the fields that lead to a column of text.

    Raises:
      DataError: the file has no such column, or it is not text.
    """
    import pyarrow as pa

    found = _find(schema, column)
    texts = [".".join(names) for names, kind in _leaves(schema) if _is_text(kind)]
    remedy = f"set example_gen.{key} to one of the columns of text: {fields.shown(texts)}"
    if not found:
        raise DataError(f"{path_text(path)} has no column {column!r}", remedy)
    names, kind = found
    if not _is_text(kind) and not pa.types.is_null(kind):
        raise DataError(f"{path_text(path)}: the column {'.'.join(names)!r} is {kind}, not text", remedy)
    return names


def _find(schema: pa.Schema, column: int | str) -> tuple[list[str], pa.DataType] | None:
    if isinstance(column, int):
        return ([schema.names[column]], schema.types[column]) if column < len(schema.names) else None
    return next(((names, kind) for names, kind in _leaves(schema) if ".".join(names) == column), None)


def _leaves(parent: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[list[str], pa.DataType]]:
    """The columns of a schema or struct, and those inside its structs."""
    import pyarrow as pa

    for field in parent:
        names = (*prefix, field.name)
        if pa.types.is_struct(field.type):
            yield from _leaves([field.type[i] for i in range(field.type.num_fields)], names)
        else:
            yield list(names), field.type


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _text(batch: pa.RecordBatch, names: list[str]) -> pa.Array:
    """A column of a batch: binary[N], null where a row, or a struct around the value, is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = batch.column(batch.schema.get_field_index(names[0]))
    array.validate(full=False)
    for name in names[1:]:
        array = pc.struct_field(array, [array.type.get_field_index(name)])
    if pa.types.is_dictionary(array.type):
        array.validate(full=True)
        array = array.dictionary_decode()
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), pa.binary())
    if pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type):
        array = array.cast(pa.large_binary())
    array = array.cast(pa.binary())
    array.validate(full=True)
    return array


def _in_pieces(source: pa.Array, target: pa.Array) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Divides a block of rows if its text is too large."""
    if len(source) > 1 and source.nbytes + target.nbytes > _BLOCK_BYTES:
        half = len(source) // 2
        yield from _in_pieces(source[:half], target[:half])
        yield from _in_pieces(source[half:], target[half:])
    elif len(source):
        yield source, target
