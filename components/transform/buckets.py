"""Length buckets: which padded lengths a pair gets, so that there are few shapes and little padding."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

SMALLEST_BOUND = 4
# A bucket with fewer training examples is merged into a larger one.
FEWEST_EXAMPLES = 64


def bounds(longest: int, growth: float) -> Ints:
    """Rising padded lengths int64[K], each about `growth` times the one before, the last `longest`."""
    result = [min(SMALLEST_BOUND, longest)]
    while result[-1] < longest:
        result.append(min(longest, max(result[-1] + 1, math.ceil(result[-1] * growth))))
    return np.array(result, np.int64)


def merge_rare(counts: Ints, source_bounds: Ints, target_bounds: Ints, fewest: int = FEWEST_EXAMPLES) -> Ints:
    """Where each bucket's examples go: rare buckets into the cheapest larger one in use.

    Args:
      counts: int64[K, L], training examples by source and target bound.
      source_bounds: int64[K], target_bounds: int64[L].
      fewest: a bucket with fewer examples than this is merged, if a larger one is in use.

    Returns:
      int64[K, L]: `k * L + l` of the bucket each bucket's examples go to; both lengths are at least its own.
    """
    counts = counts.copy()
    rows, columns = counts.shape
    cost = source_bounds[:, None] + target_bounds[None, :]
    destination = np.arange(rows * columns).reshape(rows, columns)
    # Smaller first, so that what is merged upward counts when the larger bucket's turn comes.
    for flat in np.argsort(cost, axis=None, kind="stable"):
        k, column = divmod(int(flat), columns)
        if counts[k, column] >= fewest:
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
    """Follows chains of merges to their ends."""
    flat = destination.ravel()
    while not np.array_equal(flat[flat], flat):
        flat = flat[flat]
    return flat.reshape(destination.shape)


def pad(values: Ints, starts: Ints, lengths: Ints, width: int, last: int) -> Ints:
    """Rows of ragged data as a rectangle, padded with 0 on the right.

    Args:
      values: int64[V], all rows one after another.
      starts: int64[N], where in `values` each row begins.
      lengths: int64[N], how much of each row to keep, at least 1 and at most `width`.
      width: columns of the result.
      last: the id every row ends with (`</s>`); it is put back where a row was cut.

    Returns:
      int64[N, width].
    """
    columns = np.arange(width)
    inside = columns[None, :] < lengths[:, None]
    at = np.minimum(starts[:, None] + columns[None, :], len(values) - 1)
    result = np.where(inside, values[at], 0)
    result[np.arange(len(lengths)), lengths - 1] = last
    return result
