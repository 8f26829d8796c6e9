"""Assigns rows to splits, and finds duplicates.

The split of a row depends on the key of its source alone: all translations of a source are in one split, and
a source stays in its split when the corpus grows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bitext.components.example_gen.rows import Ints
from bitext.components.text import normalization


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

    It holds a hash of 128 bits for each distinct pair, in about 100 bytes of memory, and no text.
    """

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def first_rows(self, source: pa.Array, target: pa.Array) -> Ints:
        """Indices, ascending, of the rows of a block whose pairs are in no earlier row: int64[M].

        Args:
          source: string[N].
          target: string[N].
        """
        hashes = np.empty((len(source), 2), np.int64)
        for side, texts in enumerate((source, target)):
            normalized = normalization.normalize_array(texts).to_numpy(zero_copy_only=False)
            hashes[:, side] = np.fromiter(map(hash, normalized), np.int64, len(texts))
        pairs: list[bytes] = hashes.view("V16").ravel().tolist()
        distinct = set(pairs)
        if len(distinct) == len(pairs) and self._seen.isdisjoint(distinct):
            self._seen |= distinct
            return np.arange(len(pairs))
        first = []
        for row, pair in enumerate(pairs):
            if pair not in self._seen:
                self._seen.add(pair)
                first.append(row)
        return np.array(first, np.int64)
