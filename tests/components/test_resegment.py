"""Subword regularization: other tokenizations of the same text, at the given rates."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.text.learn import Vocabulary
from bitext.components.transform import resegment
from bitext.components.transform.rows import Ids, Rows

TEXT = ("a", "b", "c", "d", "e", "ab", "abc", "abcab")
VOCABULARY = Vocabulary(TEXT, ((0, 1, 5), (5, 2, 6), (6, 5, 7)))


@pytest.fixture(scope="module")
def splits(tmp_path_factory) -> resegment.Splits:
    path = tmp_path_factory.mktemp("merges") / "merges.txt"
    path.write_bytes(VOCABULARY.merges_file())
    return resegment.Splits.read(path, len(TEXT))


@given(ids=st.lists(st.integers(0, 7), max_size=30), rate=st.floats(0, 0.99), seed=st.integers(0, 2**32))
def test_splitting_keeps_the_text(splits, ids, rate, seed):
    parts, origin = splits.apply(np.array(ids, np.int64), rate, np.random.default_rng(seed))
    assert np.all(np.diff(origin) >= 0)
    for index, subword in enumerate(ids):
        assert "".join(TEXT[part] for part in parts[origin == index].tolist()) == TEXT[subword]


def test_rate_one_splits_into_characters_and_rate_zero_splits_nothing(splits):
    ids = np.array([7, 3, 6, 0])
    all_split, _ = splits.apply(ids, 1.0, np.random.default_rng(0))
    assert "".join(TEXT[i] for i in all_split.tolist()) == "abcabdabca"
    assert all_split.max() < 5
    unsplit, _ = splits.apply(ids, 0.0, np.random.default_rng(0))
    assert unsplit.tolist() == ids.tolist()


def test_subwords_and_their_halves_are_split_at_the_given_rate(splits):
    count = 40_000
    parts, origin = splits.apply(np.full(count, 6), 0.3, np.random.default_rng(1))
    sizes = np.bincount(origin)
    # Probabilities: abc 0.7; ab c 0.3 * 0.7; a b c 0.3 * 0.3.
    for size, share in ((1, 0.7), (2, 0.21), (3, 0.09)):
        assert abs(np.mean(sizes == size) - share) < 0.01
    assert len(parts) == sizes.sum()


def test_every_pair_of_a_subword_occurs(tmp_path):
    path = tmp_path / "merges.txt"
    path.write_bytes(Vocabulary(tuple("abcd"), ((0, 1, 3), (2, 1, 3))).merges_file())
    splits = resegment.Splits.read(path, 4)
    parts, _ = splits.apply(np.full(10_000, 3), 1.0 - 1e-9, np.random.default_rng(2))
    first = parts.reshape(-1, 2)[:, 0]
    assert set(first.tolist()) == {0, 2}
    assert abs(np.mean(first == 0) - 0.5) < 0.03


def test_a_vocabulary_without_merges_has_nothing_to_split(tmp_path):
    path = tmp_path / "merges.txt"
    path.write_bytes(Vocabulary(tuple("ab")).merges_file())
    parts, _ = resegment.Splits.read(path, 2).apply(np.array([0, 1]), 0.9, np.random.default_rng(0))
    assert parts.tolist() == [0, 1]


def test_rows_that_would_be_too_long_stay(splits):
    rows = [[7, 7], [3], [6], [7, 3, 7, 4]]
    ids = Ids(np.concatenate(rows).astype(np.uint16), np.array([len(row) for row in rows]))
    examples = Rows(np.arange(4), pa.array(["a", "b", "c", "d"]), ids, ids)
    further = resegment.further(
        examples,
        {"source": splits, "target": splits},
        0.999,
        {"source": 5, "target": 99},
        np.random.default_rng(1),
    )
    assert further.id.to_pylist() == ["a", "b", "c", "d"]
    values = np.split(further.source.values, np.cumsum(further.source.lengths)[:-1])
    assert [row.tolist() for row in values] == [[7, 7], [3], [0, 1, 2], [7, 3, 7, 4]]
    assert further.target.lengths.tolist()[::3] == [10, 12]
    assert further.source.values.dtype == np.uint16
