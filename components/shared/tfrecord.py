"""Reads and writes gzipped TFRecords of tf.Example in blocks, without TensorFlow.

A record is `uint64 length, uint32 masked CRC-32C of it, payload, uint32 masked CRC-32C of the payload`,
little endian: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.artifacts.examples import Examples
from bitext.components.shared.errors import DataError
from bitext.components.shared.files import gzip_writer
from bitext.components.shared.tf_example import Ints, byte_lengths, serialize

Bytes = npt.NDArray[np.uint8]

BLOCK_ROWS = 16384
"""Rows in a block. An Arrow array of so many rows is far smaller than Arrow's limit of 2 GiB."""
BLOCK_BYTES = 1 << 26
"""A block that is read ends after so many bytes, even if it has fewer rows."""
MAX_RECORD_BYTES = 1 << 30
"""A record that is longer is damaged."""
COMPRESSION_LEVEL = 3
_HEADER = struct.Struct("<Q4x")
_FOOTER_BYTES = 4
_READ_BYTES = 1 << 22


def write_examples(path: Path, columns: Mapping[str, pa.Array | Ints]) -> None:
    """Writes one tf.Example for each row.

    Args:
      path: the `.gz` file, replaced if present.
      columns: feature name to values without nulls, all of equal length; see `tf_example.serialize`.
    """
    with example_writer(path) as write:
        write(columns)


@contextlib.contextmanager
def example_writer(path: Path) -> Iterator[Callable[[Mapping[str, pa.Array | Ints]], None]]:
    """Context manager: yields a function that writes one tf.Example for each row of columns.

    Args:
      path: the `.gz` file, replaced if present.
    """

    def write(columns: Mapping[str, pa.Array | Ints]) -> None:
        rows = len(next(iter(columns.values())))
        for start in range(0, rows, BLOCK_ROWS):
            block = {name: values[start : start + BLOCK_ROWS] for name, values in columns.items()}
            file.write(frame(serialize(block)))

    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip_writer(path, COMPRESSION_LEVEL) as file:
        yield write


def frame(payloads: pa.Array) -> bytes:
    """Returns the TFRecord bytes of serialized examples binary[N]."""
    header = byte_lengths(payloads).astype("<u8").view(np.uint8)
    starts = np.arange(len(payloads) + 1, dtype=np.int64) * 8
    joined = pc.binary_join_element_wise(
        _fixed_width(header, 8),
        _fixed_width(masked_crc32c(header, starts).astype("<u4").view(np.uint8), 4),
        payloads,
        _fixed_width(masked_crc32c(*_flat(payloads)).astype("<u4").view(np.uint8), 4),
        pa.scalar(b"", pa.binary()),
    )
    data, offsets = _flat(joined)
    return data[offsets[0] : offsets[-1]].tobytes()


def _fixed_width(data: Bytes, width: int) -> pa.Array:
    """Returns bytes uint8[N * width] as binary[N]."""
    offsets = np.arange(0, len(data) + 1, width, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def _flat(array: pa.Array) -> tuple[Bytes, Ints]:
    """Returns the data buffer of a binary array, and the offsets int64[N + 1] of its values in the buffer."""
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    return data, offsets.astype(np.int64)


def masked_crc32c(data: Bytes, offsets: Ints) -> npt.NDArray[np.uint32]:
    """Computes TFRecord's masked CRC-32C of consecutive slices of one buffer.

    Args:
      data: uint8[M].
      offsets: int64[N + 1], the begin of each slice, and the end of the last.

    Returns:
      uint32[N].
    """
    content = data.tobytes()
    slices = (content[start:end] for start, end in itertools.pairwise(offsets.tolist()))
    crc = np.fromiter(map(google_crc32c.value, slices), np.uint32, len(offsets) - 1)
    rotated = (crc >> np.uint32(15)) | (crc << np.uint32(17))
    return (rotated + np.uint32(0xA282EAD8)).astype(np.uint32)


def read_records(path: Path, block_rows: int = BLOCK_ROWS) -> Iterator[list[bytes]]:
    """Yields the records of a gzipped TFRecord file, in order, in lists of at most `block_rows`.

    A list of long records ends after about `BLOCK_BYTES`.

    The checksums of the records are not checked, because gzip has its own checksum.

    Raises:
      DataError: the file is missing, damaged or truncated.
    """
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as file:
            if not raw.read(1):  # without records, gzip still writes a header
                raise _damaged(path, "is damaged: it is empty")
            raw.seek(0)
            yield from _records(cast(BinaryIO, file), path, block_rows)
    except FileNotFoundError as error:
        raise _damaged(path, "is missing") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, f"is damaged: {error}") from error


def _records(file: BinaryIO, path: Path, block_rows: int) -> Iterator[list[bytes]]:
    """Yields the records of a decompressed stream. `path` is for messages."""
    incomplete, records, total = b"", list[bytes](), 0
    while chunk := file.read(_READ_BYTES):
        buffer, position = incomplete + chunk, 0
        while position + _HEADER.size <= len(buffer):
            (size,) = _HEADER.unpack_from(buffer, position)
            if size > MAX_RECORD_BYTES:
                raise _damaged(path, f"is damaged: a record of {size:,} bytes")
            begin = position + _HEADER.size
            if begin + size + _FOOTER_BYTES > len(buffer):
                break
            records.append(buffer[begin : begin + size])
            position = begin + size + _FOOTER_BYTES
            total += size
            if len(records) == block_rows or total >= BLOCK_BYTES:
                yield records
                records, total = [], 0
        incomplete = buffer[position:]
    if incomplete:
        raise _damaged(path, "is damaged: it ends inside a record")
    if records:
        yield records


def _damaged(path: Path, problem: str) -> DataError:
    """Returns the error for a file of a split of an Examples artifact."""
    return Examples(path.parents[1]).damaged(path, problem)


def read_record_batches(path: Path, block_rows: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
    """Yields the tf.Examples of a file as record batches, with a column large_list<item> for each feature.

    Raises:
      DataError: the file is missing, damaged or truncated.
    """
    from tfx_bsl.coders import example_coder

    decoder = example_coder.ExamplesToRecordBatchDecoder(None)
    for records in read_records(path, block_rows):
        yield decoder.DecodeBatch(records)


def string_column(batch: pa.RecordBatch, name: str, path: Path) -> pa.Array:
    """Returns the values of a feature that has one UTF-8 string in every example.

    Args:
      batch: examples, as `read_record_batches` returns them.
      name: the feature.
      path: the file of the examples, for the message.

    Returns:
      string[N].

    Raises:
      DataError: an example has no value of the feature, or more than one.
    """
    column = batch.column(batch.schema.names.index(name)) if name in batch.schema.names else None
    if column is None or len(column.flatten()) != len(column):
        raise DataError(
            f"{path}: some examples have no single value of feature {name!r}",
            "make them again: `bitext run CONFIG --force ExampleGen`",
        )
    return column.flatten().cast(pa.large_string()).cast(pa.string())
