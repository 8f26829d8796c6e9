"""Length buckets: chooses the padded lengths of each pair, for few shapes and little padding."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

SMALLEST_BOUND = 4
MIN_EXAMPLES = 64
"""A bucket with fewer training examples is merged into a larger one."""


def bounds(max_length: int, growth: float) -> Ints:
    """Returns increasing padded lengths int64[K].

    Args:
      max_length: the last of them.
      growth: about the ratio of each to the one before.
    """
    result = [min(SMALLEST_BOUND, max_length)]
    while result[-1] < max_length:
        result.append(min(max_length, max(result[-1] + 1, math.ceil(result[-1] * growth))))
    return np.array(result, np.int64)


def merge_rare(
    counts: Ints, source_bounds: Ints, target_bounds: Ints, min_examples: int = MIN_EXAMPLES
) -> Ints:
    """Merges each rare bucket into the cheapest larger bucket in use.

    Args:
      counts: int64[K, L], training examples by source and target bound.
      source_bounds: int64[K], target_bounds: int64[L].
      min_examples: a bucket with fewer examples is merged, if a larger one is in use.

    Returns:
      int64[K, L]: `k * L + l` of the bucket that each bucket is merged into. Neither length is smaller.
    """
    counts = counts.copy()
    rows, columns = counts.shape
    cost = source_bounds[:, None] + target_bounds[None, :]
    destination = np.arange(rows * columns).reshape(rows, columns)
    # Smaller buckets come first, so that a larger bucket counts the examples merged into it.
    for flat in np.argsort(cost, axis=None, kind="stable"):
        k, column = divmod(int(flat), columns)
        if counts[k, column] >= min_examples:
            continue
        used = counts[k:, column:] > 0
        used[0, 0] = False
        if not used.any():
            continue
        best = int(np.argmin(np.where(used, cost[k:, column:], np.iinfo(np.int64).max)))
        to_k, to_column = k + best // used.shape[1], column + best % used.shape[1]
        counts[to_k, to_column] += counts[k, column]
        counts[k, column] = 0
        destination[k, column] = to_k * columns + to_column
    return _follow(destination)


def _follow(destination: Ints) -> Ints:
    """Returns the ends of chains of merges."""
    flat = destination.ravel()
    while not np.array_equal(flat[flat], flat):
        flat = flat[flat]
    return flat.reshape(destination.shape)


def pad(values: Ints, starts: Ints, lengths: Ints, width: int, last: int) -> Ints:
    """Pads rows of ragged data with 0 on the right.

    Args:
      values: int64[V], all rows one after another.
      starts: int64[N], where in `values` each row begins.
      lengths: int64[N], values of each row to keep, at least 1 and at most `width`.
      width: columns of the result.
      last: the id that every row ends with (`</s>`), also where the row is cut.

    Returns:
      int64[N, width].
    """
    columns = np.arange(width)
    inside = columns[None, :] < lengths[:, None]
    at = np.minimum(starts[:, None] + columns[None, :], len(values) - 1)
    result = np.where(inside, values[at], 0)
    result[np.arange(len(lengths)), lengths - 1] = last
    return result
