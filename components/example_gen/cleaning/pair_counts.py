"""The rules that compare pairs with each other: near-duplicates, and sources with many targets.

Rows are seen in the order of the corpus; the first rows stay. Transform compares spans and corpora likewise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from bitext.components.example_gen.cleaning import Cleaning
from bitext.components.example_gen.cleaning.row_rules import Violations
from bitext.components.shared.hash_counts import HashCounts
from bitext.components.text.hashing import joined, near_hashes


class PairCounts:
    """Counts the pairs of a shard. It holds a hash of each distinct pair and of each source, and no text."""

    def __init__(self, cleaning: Cleaning):
        self._cleaning = cleaning
        self._pairs, self._sources = HashCounts(), HashCounts()

    def check(self, source: pa.Array, target: pa.Array) -> Iterator[tuple[str, Violations]]:
        """Checks the next rows by the rules that are on, which see only rows that the rules before accept.

        Args:
          source: string[N] without nulls.
          target: string[N], likewise.
        """
        cleaning = self._cleaning
        if not (cleaning.limit("near_duplicates") or cleaning.limit("max_targets")):
            return
        kept = np.ones(len(source), bool)
        sources = near_hashes(source)
        if cleaning.limit("near_duplicates"):
            kept = self._pairs.first(joined(sources, near_hashes(target)))
            yield (
                "near_duplicate",
                Violations(~kept, lambda _: "equals an earlier row (near_duplicates: true)"),
            )
        if limit := cleaning.limit("max_targets"):
            rows = np.flatnonzero(kept)
            is_over = self._sources.count_before(sources[rows]) >= limit
            self._sources.add(sources[rows[~is_over]])
            over = np.zeros(len(source), bool)
            over[rows] = is_over
            detail = f"the source already has {limit} targets, max_targets {limit}"
            yield "too_many_targets", Violations(over, lambda _: detail)
