"""Serializes tf.Examples from columns, without one Python object for each row, and reads the texts of one.

Equal rows give equal bytes, because artifacts are cached by content. The protocol buffer library gives the
same bytes with `SerializeToString(deterministic=True)`, but takes 4 times as long (see docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]

# Field numbers of tensorflow/core/example/{example,feature}.proto; all are length-delimited.
_FEATURES = _FEATURE_ENTRY = _KEY = _BYTES_LIST = _VALUE = b"\x0a"  # field 1
_FEATURE = b"\x12"  # field 2
_INT64_LIST = b"\x1a"  # field 3
_MAX_VARINT_BYTES = 5


def serialize(columns: Mapping[str, pa.Array | Ints]) -> pa.Array:
    """Serializes one tf.Example for each row, its features in the order of their names.

    Args:
      columns: feature name to string[N] or binary[N] (one byte string a row), or int64[N, W] (W integers a
        row, each at least 0 and below 2**35).

    Returns:
      binary[N].
    """
    entries = []
    for name in sorted(columns):
        column = columns[name]
        if isinstance(column, np.ndarray):
            feature = _field(_INT64_LIST, _field(_VALUE, varints(column)))
        else:
            feature = _field(_BYTES_LIST, _field(_VALUE, column.cast(pa.binary())))
        key = pa.array([name.encode()] * len(feature), pa.binary())
        entries.append(_field(_FEATURE_ENTRY, _field(_KEY, key), _field(_FEATURE, feature)))
    return _field(_FEATURES, *entries)


def byte_lengths(array: pa.Array) -> Ints:
    """Returns the number of bytes of each value of a binary or string array, int64[N]."""
    return cast(Ints, pc.binary_length(array).to_numpy(zero_copy_only=False).astype(np.int64))


def varints(values: Ints) -> pa.Array:
    """Encodes each row of int64[N, W] as consecutive varints of its numbers: binary[N]."""
    rows, width = values.shape
    flat = values.ravel()
    sizes = np.ones(len(flat), np.int64)
    for k in range(1, _MAX_VARINT_BYTES):
        sizes += flat >= 1 << 7 * k
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    data = np.empty(offsets[-1], np.uint8)
    for k in range(_MAX_VARINT_BYTES):
        has_byte = sizes > k
        continues = np.where(sizes[has_byte] > k + 1, 0x80, 0)
        data[offsets[:-1][has_byte] + k] = (flat[has_byte] >> 7 * k & 0x7F) | continues
    row_offsets = np.ascontiguousarray(offsets[::width], np.int32)
    return pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(row_offsets), pa.py_buffer(data)])


def _field(tag: bytes, *values: pa.Array) -> pa.Array:
    """Returns the tag, the length in bytes, and the concatenated values: binary[N]."""
    size = np.stack([byte_lengths(array) for array in values]).sum(axis=0, keepdims=True).T
    separator = pa.scalar(b"", pa.binary())
    return pc.binary_join_element_wise(pa.scalar(tag, pa.binary()), varints(size), *values, separator)


def texts(example: bytes) -> dict[str, str]:
    """Returns the first string of each feature of a serialized tf.Example that has strings.

    For the few examples that are shown to a person. Bytes that are not UTF-8 become U+FFFD.

    Raises:
      ValueError: the message is malformed.
    """
    values: dict[str, str] = {}
    for features in _fields_of(example, _FEATURES):
        for entry in _fields_of(features, _FEATURE_ENTRY):
            name = next(_fields_of(entry, _KEY), b"")
            for feature in _fields_of(entry, _FEATURE):
                for strings in _fields_of(feature, _BYTES_LIST):
                    for value in _fields_of(strings, _VALUE):
                        values.setdefault(name.decode("utf-8", "replace"), value.decode("utf-8", "replace"))
    return values


def _fields_of(message: bytes, tag: bytes) -> Iterator[bytes]:
    """Yields the values of the length-delimited fields with a tag. All fields must be length-delimited."""
    position = 0
    while position < len(message):
        found = message[position : position + 1]
        size, position = _varint(message, position + 1)
        end = position + size
        if end > len(message):
            raise ValueError("a field of the tf.Example ends after it")
        if found == tag:
            yield message[position:end]
        position = end


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Returns the number that begins at a position, and the position after it."""
    number = shift = 0
    while position < len(message):
        byte = message[position]
        number |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return number, position
        shift += 7
    raise ValueError("a number of the tf.Example has no end")
