"""Counts of hashes in sorted arrays equal those of a dictionary."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared.hash_counts import HashCounts, ranks
from bitext.components.text.hashing import joined, near_hashes, pair_hashes
from bitext.components.text.normalization import split_key

NEAR = "6a057a1ef111c824"
PAIRS = ["4b8306dbced8b131", "142091353b911c3b"]
BLOCKS = st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=12)


def hashes(numbers: list[int]) -> np.ndarray:
    """Hashes over all of uint64, also 0 and the largest."""
    return np.array(numbers, np.uint64) * np.uint64((2**64 - 1) // 40)


@given(BLOCKS)
def test_counts_equal_those_of_a_dictionary(blocks: list[list[int]]) -> None:
    counts, expected = HashCounts(), Counter[int]()
    for block in blocks:
        assert counts.count(hashes(block)).tolist() == [expected[number] for number in block]
        before = [expected[number] + block[:i].count(number) for i, number in enumerate(block)]
        assert counts.count_before(hashes(block)).tolist() == before
        counts.add(hashes(block))
        expected.update(block)
    assert len(counts) == expected.total()


@given(BLOCKS)
def test_the_first_rows_are_those_that_were_not_seen(blocks: list[list[int]]) -> None:
    counts, seen = HashCounts(), set()
    for block in blocks:
        expected = []
        for number in block:
            expected.append(number not in seen)
            seen.add(number)
        assert counts.first(hashes(block)).tolist() == expected
    assert len(counts) == len(seen)


def test_ranks() -> None:
    assert ranks(np.array([7, 7, 1, 7, 1], np.uint64)).tolist() == [0, 1, 0, 2, 1]
    assert ranks(np.zeros(0, np.uint64)).tolist() == []


def test_the_arrays_are_few() -> None:
    counts = HashCounts()
    for block in np.array_split(np.random.default_rng(1).permutation(100_000).astype(np.uint64), 1000):
        counts.add(block)
    assert len(counts._arrays) <= 12


def test_the_order_of_a_pair_counts() -> None:
    one, two = np.array([5], np.uint64), np.array([9], np.uint64)
    assert joined(one, two) != joined(two, one)
    assert joined(one, one) != joined(two, two)


@given(st.lists(st.text("aA ß.!ﬁ1\u0301é", max_size=5), min_size=1, max_size=10))
def test_texts_of_one_split_key_are_nearly_equal(texts: list[str]) -> None:
    found = near_hashes(pa.array(texts, pa.string())).tolist()
    by_key: dict[str, int] = {}
    for text, number in zip(texts, found, strict=True):
        assert by_key.setdefault(split_key(text), number) == number


def test_hashes_never_change() -> None:
    """They choose the shard of a row, and the pairs of a weight."""
    sources, targets = pa.array(["Go on!", "go on"]), pa.array(["¡Sigue!", "Sigue."])
    assert [f"{number:016x}" for number in near_hashes(sources).tolist()] == [NEAR] * 2
    assert [f"{number:016x}" for number in pair_hashes(sources, targets).tolist()] == PAIRS
