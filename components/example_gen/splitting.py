"""Assigns rows to splits, and finds duplicates.

The split of a row depends on the key of its source alone: all translations of a source are in one split, and
a source stays in its split when the corpus grows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bitext.components.example_gen.rows import Ints
from bitext.components.shared.hash_counts import HashCounts
from bitext.components.text import normalization
from bitext.components.text.hashing import joined


def assign_splits(
    hashes: npt.NDArray[np.uint64], eval_share: float, test_share: float
) -> npt.NDArray[np.int8]:
    """The split of each row.

    The lowest hashes are test and the highest are eval, so that a change of one share moves no sentence
    between the other two splits.

    Args:
      hashes: uint64[N], from `text.hashing.source_hashes`.
      eval_share: share of sources in the eval split.
      test_share: share of sources in the test split.

    Returns:
      int8[N], index in (train, eval, test).
    """
    unit = hashes.astype(np.float64) / 2.0**64
    return np.where(unit < test_share, 2, np.where(unit >= 1.0 - eval_share, 1, 0)).astype(np.int8)


class SeenPairs:
    """Finds the first row of each pair of normalized source and target, over consecutive blocks of rows.

    It holds a hash of 64 bits for each distinct pair and no text. Two of ten million pairs collide with a
    probability of 3e-6.
    """

    def __init__(self) -> None:
        self._seen = HashCounts()

    def first_rows(self, source: pa.Array, target: pa.Array) -> Ints:
        """Indices, ascending, of the rows of a block whose pairs are in no earlier row: int64[M].

        Args:
          source: string[N].
          target: string[N].
        """
        sides = [
            np.fromiter(map(hash, texts.to_numpy(zero_copy_only=False)), np.int64, len(texts)).view(np.uint64)
            for texts in map(normalization.normalize_array, (source, target))
        ]
        return np.flatnonzero(self._seen.first(joined(*sides)))
