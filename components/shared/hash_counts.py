"""Counts hashes in little memory: a multiset of uint64 in 8 bytes each, and 8 more while it is rearranged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]


class HashCounts:
    """Hashes in sorted arrays, each more than twice as long as the next: a log-structured merge tree.

    So adding N hashes, block by block, sorts each about log2(N) times, and a look-up searches few arrays.
    """

    def __init__(self) -> None:
        self._arrays: list[Hashes] = []

    def __len__(self) -> int:
        return sum(map(len, self._arrays))

    def add(self, hashes: Hashes) -> None:
        """Adds hashes: uint64[N], in any order, also repeated ones."""
        if not len(hashes):
            return
        self._arrays.append(np.sort(hashes))
        while len(self._arrays) > 1 and len(self._arrays[-2]) <= 2 * len(self._arrays[-1]):
            merged = np.concatenate([self._arrays.pop(), self._arrays.pop()])
            merged.sort(kind="stable")  # merges sorted parts in linear time
            self._arrays.append(merged)

    def count(self, hashes: Hashes) -> Counts:
        """How often each hash was added: int64[N]."""
        counts = np.zeros(len(hashes), np.int64)
        order = np.argsort(hashes)
        in_order = hashes[order]  # neighbors in the arrays are searched after each other
        for array in self._arrays:
            first = np.searchsorted(array, in_order)
            equal = array[np.minimum(first, len(array) - 1)] == in_order
            found = in_order[equal]
            counts[order[equal]] += np.searchsorted(array, found, side="right") - first[equal]
        return counts

    def count_before(self, hashes: Hashes) -> Counts:
        """How often each hash was added or is earlier in the block: int64[N]. Adds nothing."""
        return self.count(hashes) + ranks(hashes)

    def first(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Which hashes were not added before and are not earlier in the block: bool[N]. Adds these."""
        is_first = self.count_before(hashes) == 0
        self.add(hashes[is_first])
        return is_first


def ranks(hashes: Hashes) -> Counts:
    """The number of earlier elements that equal each element: int64[N]."""
    order = np.argsort(hashes, kind="stable")
    in_order = hashes[order]
    starts = np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]])[: len(hashes)])
    sizes = np.diff(np.append(starts, len(hashes)))
    result = np.empty(len(hashes), np.int64)
    result[order] = np.arange(len(hashes)) - np.repeat(starts, sizes)
    return result
