"""The rules that compare pairs with each other: near-duplicates, and sources with many targets.

Rows are seen in the order of the corpus; the first rows stay.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.example_gen.cleaning import Cleaning
from bitext.components.example_gen.cleaning.row_rules import Violations
from bitext.components.text import normalization


def near_keys(texts: pa.Array) -> list[bytes]:
    """A hash of 8 bytes of each text without case, punctuation and blanks.

    Texts with equal split keys have equal hashes. A text of punctuation only keeps it.

    Args:
      texts: string[N] without nulls.
    """
    folded = pa.array(normalization.split_keys(texts), pa.string())
    letters = pc.replace_substring_regex(folded, pattern=r"[^\pL\pM\pN]+", replacement="")
    keys = pc.if_else(pc.equal(letters, ""), folded, letters)
    return [_digest(key) for key in keys.to_pylist()]


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def shard_hashes(sources: pa.Array) -> npt.NDArray[np.uint64]:
    """A hash that is equal for sources that are nearly equal, so that near-duplicates meet in one shard."""
    return np.frombuffer(b"".join(near_keys(sources)), ">u8").astype(np.uint64)


class PairCounts:
    """Counts the pairs of a shard. It holds hashes (16 bytes a distinct pair, 8 a source) and no text."""

    def __init__(self, cleaning: Cleaning):
        self._cleaning = cleaning
        self._pairs: set[bytes] = set()
        self._targets: Counter[bytes] = Counter()

    def check(self, source: pa.Array, target: pa.Array) -> Iterator[tuple[str, Violations]]:
        """Checks the next rows by the rules that are on, which see only rows that the rules before accept.

        Args:
          source: string[N] without nulls.
          target: string[N], likewise.
        """
        cleaning = self._cleaning
        if not (cleaning.limit("near_duplicates") or cleaning.limit("max_targets")):
            return
        rejected = np.zeros(len(source), bool)
        sources = near_keys(source)
        if cleaning.limit("near_duplicates"):
            for row, pair in enumerate(map(bytes.__add__, sources, near_keys(target))):
                rejected[row] = pair in self._pairs
                self._pairs.add(pair)
            yield (
                "near_duplicate",
                Violations(rejected, lambda _: "equals an earlier row (near_duplicates: true)"),
            )
        if limit := cleaning.limit("max_targets"):
            over = np.zeros(len(source), bool)
            for row in np.flatnonzero(~rejected).tolist():
                self._targets[sources[row]] += 1
                over[row] = self._targets[sources[row]] > limit
            detail = functools.partial("the source already has {0} targets, max_targets {0}".format, limit)
            yield "too_many_targets", Violations(over, lambda _: detail())
