"""Judges the training pairs of several spans and corpora in their order: the first of equal pairs stays.

In memory are hashes: 8 bytes of each pair, and 8 more for each of `near_duplicates` and `max_targets`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bitext.components.shared.hash_counts import HashCounts
from bitext.components.shared.strings import without_tag
from bitext.components.text.hashing import Hashes, joined, mixed, near_hashes, pair_hashes, source_hashes
from bitext.components.transform import CorpusUse

Codes: TypeAlias = npt.NDArray[np.int8]
"""int8[N], index in `REASONS`."""
REASONS = ("kept", "held out elsewhere", "exact duplicate", "near_duplicate", "too_many_targets")
"""Why a pair is left out. The last two are rules of `example_gen.cleaning`."""
KEPT, HELD_OUT, DUPLICATE, NEAR_DUPLICATE, TOO_MANY_TARGETS = range(len(REASONS))


def detail(code: int, use: CorpusUse) -> str:
    """What is wrong with a pair that a rule of cleaning leaves out, with the limit."""
    if code == NEAR_DUPLICATE:
        return "equals a row of an earlier span or corpus (near_duplicates: true)"
    limit = use.max_targets
    return f"the source already has {limit} targets, with earlier spans and corpora; max_targets {limit}"


class Judge:
    """Says of each pair why it is left out."""

    def __init__(self, uses: Iterable[CorpusUse]):
        uses = tuple(uses)
        self._compares_near = any(use.near_duplicates for use in uses)
        self._counts_targets = any(use.max_targets for use in uses)
        self._pairs, self._near, self._sources = HashCounts(), HashCounts(), HashCounts()

    def sources(self, source: pa.Array, use: CorpusUse) -> Hashes:
        """The hashes of sources without the tag of their corpus: uint64[N]."""
        return source_hashes(without_tag(source, use.tag))

    def codes(
        self, source: pa.Array, target: pa.Array, use: CorpusUse, held_out: Hashes
    ) -> tuple[Codes, Hashes]:
        """Judges the next pairs.

        A rule leaves pairs out only in the corpora for which it is on, but compares them with all earlier
        pairs. Pairs with different tags are different.

        Args:
          source, target: string[N].
          use: the corpus of the pairs.
          held_out: the sorted hashes of the sources that other parts hold out.

        Returns:
          int8[N], and the hash of each pair: uint64[N].
        """
        pairs = pair_hashes(source, target)
        codes = np.where(_are_in(self.sources(source, use), held_out), HELD_OUT, KEPT).astype(np.int8)
        rows = np.flatnonzero(codes == KEPT)
        is_first = self._pairs.first(pairs[rows])
        codes[rows[~is_first]] = DUPLICATE
        if self._compares_near or self._counts_targets:
            rows = rows[is_first]
            left = pa.array(rows)
            codes[rows] = self._near_codes(source.take(left), target.take(left), use)
        return codes, pairs

    def _near_codes(self, source: pa.Array, target: pa.Array, use: CorpusUse) -> Codes:
        """Judges pairs that equal no earlier ones exactly."""
        codes = np.full(len(source), KEPT, np.int8)
        sources = mixed(near_hashes(without_tag(source, use.tag)), zlib.crc32(use.tag.encode()))
        rows = np.arange(len(source))
        if self._compares_near:
            is_first = self._near.first(joined(sources, near_hashes(target)))
            if use.near_duplicates:
                codes[~is_first] = NEAR_DUPLICATE
                rows = rows[is_first]
        if self._counts_targets:
            if use.max_targets:
                is_over = self._sources.count_before(sources[rows]) >= use.max_targets
                codes[rows[is_over]] = TOO_MANY_TARGETS
                rows = rows[~is_over]
            self._sources.add(sources[rows])
        return codes


def _are_in(hashes: Hashes, in_order: Hashes) -> npt.NDArray[np.bool_]:
    """Which hashes are in a sorted array: bool[N]."""
    if not len(in_order):
        return np.zeros(len(hashes), bool)
    places = np.minimum(np.searchsorted(in_order, hashes), len(in_order) - 1)
    return cast(npt.NDArray[np.bool_], in_order[places] == hashes)
