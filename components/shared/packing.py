"""Packs the columns of rows into bytes: a runner holds several copies of all rows when it groups them.

A block of equal rows, or of consecutive line numbers, takes a few hundred bytes, however many they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard

from bitext.components.shared.strings import bytes_of

Columns: TypeAlias = dict[str, Any]
"""Columns by name: string[N] without nulls, int64[N], or another array of numbers of any shape."""
TEXT = "text"


class _Column(msgspec.Struct, array_like=True):
    """A packed column.

    Attributes:
      dtype: the type of the numbers in NumPy's notation, or `TEXT`.
      shape: the shape of the numbers, or of the text.
      numbers: the numbers, of int64 the differences; of text, the number of bytes of each row.
      data: the bytes of all texts.
    """

    dtype: str
    shape: tuple[int, ...]
    numbers: bytes
    data: bytes = b""


_DECODER = msgspec.msgpack.Decoder(dict[str, _Column])


def pack(columns: Mapping[str, Any]) -> bytes:
    """Compresses columns, as in `Columns`."""
    packed = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            numbers = _differences(values) if values.dtype == np.int64 else values.tobytes()
            packed[name] = _Column(values.dtype.str, values.shape, numbers)
        else:
            data, offsets = bytes_of(values)
            lengths = np.diff(offsets).astype(np.int32)
            packed[name] = _Column(TEXT, (len(values),), lengths.tobytes(), data.tobytes())
    return zstandard.ZstdCompressor(level=1).compress(msgspec.msgpack.encode(packed))


def unpack(data: bytes) -> Columns:
    """Returns the columns that `pack` compressed."""
    columns: Columns = {}
    for name, column in _DECODER.decode(zstandard.ZstdDecompressor().decompress(data)).items():
        if column.dtype == TEXT:
            offsets = np.zeros(column.shape[0] + 1, np.int32)
            np.cumsum(np.frombuffer(column.numbers, np.int32), out=offsets[1:])
            buffers = [None, pa.py_buffer(offsets), pa.py_buffer(column.data)]
            columns[name] = pa.Array.from_buffers(pa.string(), column.shape[0], buffers)
        elif column.dtype == np.dtype(np.int64).str:
            columns[name] = _sums(column.numbers)
        else:
            columns[name] = np.frombuffer(column.numbers, column.dtype).reshape(column.shape)
    return columns


def _differences(values: npt.NDArray[np.int64]) -> bytes:
    """The differences of consecutive values of int64[N]: the first bytes of all, then the second..."""
    return np.diff(values, prepend=np.int64(0)).view(np.uint8).reshape(-1, 8).T.tobytes()


def _sums(data: bytes) -> npt.NDArray[np.int64]:
    """The values of which `_differences` has given the differences."""
    by_value = np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(8, -1).T)
    return np.cumsum(by_value.reshape(-1).view(np.int64))
