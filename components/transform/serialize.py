"""Arrays to serialised tf.Examples, all rows at once, the same bytes each time.

A protocol buffer's own serialiser writes a map (the features by name) in an order that differs between
processes, and caching by content would then see new data in every run.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.shared import tfrecord

Ints = npt.NDArray[np.int64]

# Field numbers of tensorflow/core/example/{example,feature}.proto; all are length-delimited.
_FEATURES = _FEATURE_ENTRY = _KEY = _BYTES_LIST = _VALUE = b"\x0a"  # field 1
_FEATURE = b"\x12"  # field 2
_INT64_LIST = b"\x1a"  # field 3
_LONGEST_VARINT = 5


def examples(columns: Mapping[str, pa.Array | Ints]) -> pa.Array:
    """Serialised tf.Examples, features in the order of their names.

    Args:
      columns: feature name to binary[N] (one byte string a row) or int64[N, W] (W integers a row, each at
        least 0 and below 2**35).

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


def varints(values: Ints) -> pa.Array:
    """The base-128 forms of each row of int64[N, W], one after the other: binary[N]."""
    rows, width = values.shape
    flat = values.ravel()
    sizes = np.ones(len(flat), np.int64)
    for k in range(1, _LONGEST_VARINT):
        sizes += flat >= 1 << 7 * k
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    data = np.empty(offsets[-1], np.uint8)
    for k in range(_LONGEST_VARINT):
        has = sizes > k
        more = np.where(sizes[has] > k + 1, 0x80, 0)
        data[offsets[:-1][has] + k] = (flat[has] >> 7 * k & 0x7F) | more
    row_offsets = np.ascontiguousarray(offsets[::width], np.int32)
    return pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(row_offsets), pa.py_buffer(data)])


def _field(tag: bytes, *values: pa.Array) -> pa.Array:
    """Tag, length, and the values' bytes one after the other: binary[N]."""
    size = np.stack([tfrecord.lengths(array) for array in values]).sum(axis=0, keepdims=True).T
    separator = pa.scalar(b"", pa.binary())
    return pc.binary_join_element_wise(pa.scalar(tag, pa.binary()), varints(size), *values, separator)
