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
      max_length: the last padded length.
      growth: smallest ratio of each length to the one before; the last ratio may be smaller.
    """
    lengths = [min(SMALLEST_BOUND, max_length)]
    while lengths[-1] < max_length:
        lengths.append(min(max_length, max(lengths[-1] + 1, math.ceil(lengths[-1] * growth))))
    return np.array(lengths, np.int64)


def merge_rare(
    counts: Ints, source_bounds: Ints, target_bounds: Ints, min_examples: int = MIN_EXAMPLES
) -> Ints:
    """Merges each rare bucket into the larger bucket with examples that has the fewest positions.

    Args:
      counts: int64[R, C], training examples by source bound (row) and target bound (column).
      source_bounds: int64[R], the padded lengths of sources.
      target_bounds: int64[C], the padded lengths of targets.
      min_examples: a bucket with fewer examples is merged, if a larger one has examples.

    Returns:
      int64[R, C]: `row * C + column` of the bucket that each bucket is merged into. Neither of its padded
      lengths is smaller.
    """
    counts = counts.copy()
    rows, columns = counts.shape
    positions = source_bounds[:, None] + target_bounds[None, :]
    destination = np.arange(rows * columns).reshape(rows, columns)
    # Smaller buckets come first, so that a larger bucket counts the examples merged into it.
    for index in np.argsort(positions, axis=None, kind="stable"):
        row, column = divmod(int(index), columns)
        if counts[row, column] >= min_examples:
            continue
        candidates = counts[row:, column:] > 0
        candidates[0, 0] = False
        if not candidates.any():
            continue
        smallest = int(np.argmin(np.where(candidates, positions[row:, column:], np.iinfo(np.int64).max)))
        to_row, to_column = row + smallest // candidates.shape[1], column + smallest % candidates.shape[1]
        counts[to_row, to_column] += counts[row, column]
        counts[row, column] = 0
        destination[row, column] = to_row * columns + to_column
    return _last_destinations(destination)


def _last_destinations(destination: Ints) -> Ints:
    """Returns the last bucket of each chain of merges."""
    flat = destination.ravel()
    while not np.array_equal(flat[flat], flat):
        flat = flat[flat]
    return flat.reshape(destination.shape)
