"""Gzipped TFRecords of tf.Example, written and read a block at a time without TensorFlow.

Writing is vectorised over Arrow columns and deterministic: the same rows give the same bytes, which caching
by content needs (a protocol buffer's map is otherwise serialised in arbitrary order).

A record is `uint64 length, uint32 masked CRC-32C of it, payload, uint32 masked CRC-32C of the payload`,
little endian: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.shared.errors import DataError

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

ROWS_AT_ONCE = 16384  # keeps a block far below Arrow's 2 GiB of bytes an array
COMPRESSION_LEVEL = 3
_HEADER = struct.Struct("<Q4x")
_FOOTER_BYTES = 4


def write_examples(path: Path, columns: Mapping[str, pa.Array]) -> None:
    """Writes one tf.Example a row, each feature holding one byte string.

    Args:
      path: the `.gz` file, replaced if present.
      columns: feature name to array of string or binary, all of one length, without nulls.
    """
    rows = len(next(iter(columns.values())))
    with path.open("wb") as raw, gzip.GzipFile("", "wb", COMPRESSION_LEVEL, raw, mtime=0) as file:
        for start in range(0, rows, ROWS_AT_ONCE):
            block = {name: array.slice(start, ROWS_AT_ONCE) for name, array in columns.items()}
            file.write(frame(serialise(block)))


def serialise(columns: Mapping[str, pa.Array]) -> pa.Array:
    """tf.Examples, serialised, features in the order of their names.

    Args:
      columns: feature name to array string[N] or binary[N].

    Returns:
      binary[N].
    """
    entries = [_entry(name.encode(), _binary(columns[name])) for name in sorted(columns)]
    return _prefixed(b"\n", _prefixed(b"\n", *entries))


def _entry(name: bytes, values: pa.Array) -> pa.Array:
    """What follows the tag and length of one entry of the map `Features.feature`: binary[N].

    The entry is {1: name, 2: Feature {1: BytesList {1: value}}}.
    """
    feature = _prefixed(b"\n", _prefixed(b"\n", values))
    return _prefixed(b"\n" + _varint(len(name)) + name + b"\x12", feature)


def _prefixed(tag: bytes, *values: pa.Array) -> pa.Array:
    """Tag, length and bytes of each value, one after the other: binary[N]."""
    pieces: list[Any] = []
    for array in values:
        pieces += [pa.scalar(tag, pa.binary()), _varints(lengths(array)), array]
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.binary()))


def _binary(array: pa.Array) -> pa.Array:
    return array if pa.types.is_binary(array.type) else array.cast(pa.binary())


def lengths(array: pa.Array) -> Ints:
    """Bytes of each value of a binary or string array: int64[N]."""
    return cast(Ints, pc.binary_length(array).to_numpy(zero_copy_only=False).astype(np.int64))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varints(values: Ints) -> pa.Array:
    """The base-128 form of each value: binary[N]."""
    distinct, index = np.unique(values, return_inverse=True)
    table = pa.array([_varint(int(value)) for value in distinct], pa.binary())
    return table.take(pa.array(index.reshape(-1)))


def frame(payloads: pa.Array) -> bytes:
    """TFRecord bytes of serialised examples binary[N]."""
    header = lengths(payloads).astype("<u8").view(np.uint8)
    starts = np.arange(len(payloads), dtype=np.int64) * 8
    header_crc = masked_crc32c(header, starts, np.full(len(payloads), 8, np.int64))
    data, offsets = _flat(payloads)
    payload_crc = masked_crc32c(data, offsets[:-1], np.diff(offsets))
    joined = pc.binary_join_element_wise(
        _fixed(header, 8),
        _fixed(header_crc.astype("<u4").view(np.uint8), 4),
        payloads,
        _fixed(payload_crc.astype("<u4").view(np.uint8), 4),
        pa.scalar(b"", pa.binary()),
    )
    data, offsets = _flat(joined)
    return data[offsets[0] : offsets[-1]].tobytes()


def _fixed(data: Bytes, width: int) -> pa.Array:
    """Bytes uint8[N * width] as binary[N]."""
    offsets = np.arange(0, len(data) + 1, width, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def _flat(array: pa.Array) -> tuple[Bytes, Ints]:
    """The bytes below a binary array and its offsets int64[N + 1] into them."""
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    return data, offsets.astype(np.int64)


def _crc_table() -> npt.NDArray[np.uint32]:
    """The 256 remainders of CRC-32C (Castagnoli, reflected polynomial 0x82F63B78)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


_TABLE = _crc_table()


def masked_crc32c(data: Bytes, starts: Ints, sizes: Ints) -> npt.NDArray[np.uint32]:
    """TFRecord's masked CRC-32C of many slices of one buffer at once.

    One pass over byte positions rather than over rows: longest rows first, so that the rows still
    unfinished at a position are a prefix.

    Args:
      data: uint8[M].
      starts: int64[N], where each slice begins.
      sizes: int64[N], bytes of each slice.

    Returns:
      uint32[N].
    """
    order = np.argsort(-sizes, kind="stable")
    begin, size = starts[order], sizes[order]
    crc = np.full(len(order), 0xFFFFFFFF, np.uint32)
    longest = int(size[0]) if len(size) else 0
    # active[p]: how many slices have more than p bytes.
    active = len(size) - np.searchsorted(size[::-1], np.arange(longest), side="right")
    for position in range(longest):
        count = active[position]
        head = crc[:count]
        byte = data[begin[:count] + position]
        crc[:count] = _TABLE[(head ^ byte) & 0xFF] ^ (head >> 8)
    crc ^= np.uint32(0xFFFFFFFF)
    masked = ((crc >> 15) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
    out = np.empty_like(masked)
    out[order] = masked
    return out


def read_records(path: Path, records_at_once: int = ROWS_AT_ONCE) -> Iterator[list[bytes]]:
    """The records of a gzipped TFRecord file, in order, in lists of at most `records_at_once`.

    Integrity rests on gzip's own checksum.

    Raises:
      DataError: the file is damaged or cut short.
    """
    try:
        with gzip.open(path, "rb") as file:
            yield from _records(cast(BinaryIO, file), path, records_at_once)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}", "delete it and run again") from error


def _records(file: BinaryIO, path: Path, records_at_once: int) -> Iterator[list[bytes]]:
    rest, found = b"", list[bytes]()
    while chunk := file.read(1 << 22):
        buffer, position = rest + chunk, 0
        while position + _HEADER.size <= len(buffer):
            (size,) = _HEADER.unpack_from(buffer, position)
            begin = position + _HEADER.size
            if begin + size + _FOOTER_BYTES > len(buffer):
                break
            found.append(buffer[begin : begin + size])
            position = begin + size + _FOOTER_BYTES
            if len(found) == records_at_once:
                yield found
                found = []
        rest = buffer[position:]
    if rest:
        raise DataError(f"{path} ends inside a record", "delete it and run again")
    if found:
        yield found


def read_record_batches(path: Path, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[pa.RecordBatch]:
    """The tf.Examples of a file as record batches, a column large_list<item> for every feature."""
    from tfx_bsl.coders import example_coder

    decoder = example_coder.ExamplesToRecordBatchDecoder(None)
    for records in read_records(path, rows_at_once):
        yield decoder.DecodeBatch(records)


def string_column(batch: pa.RecordBatch, name: str, path: Path) -> pa.Array:
    """The texts of a feature that has one UTF-8 string in every example.

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
