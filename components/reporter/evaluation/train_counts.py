"""What the training split has of the words and n-grams of the held-out sentences.

One pass over the TFRecords in batches. Only what occurs in the held-out set is counted, so the memory does
not grow with the training split, and n-grams are compared exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components import artifacts
from bitext.components.artifacts import TRAIN_SPLIT
from bitext.components.reporter.evaluation.words import word_lists
from bitext.components.shared import tfrecord

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ORDER = 3
"""Words of the n-grams whose overlap with the training split is measured."""
_ABSENT = -1


@dataclasses.dataclass(frozen=True)
class TrainCounts:
    """The words and n-grams of the held-out sentences in the training split.

    Attributes:
      pairs: sentence pairs of the training split.
      source: how often the sources of the training split have each word.
      target: how often its targets have each word.
      overlap: for each held-out source, the share of its n-grams of `ORDER` words that a source of the
        training split has; of a shorter source, whether its words occur in that order; None: no words.
    """

    pairs: int
    source: Mapping[str, int]
    target: Mapping[str, int]
    overlap: Sequence[float | None]


def count(
    examples: Sequence[artifacts.Examples],
    sources: Sequence[Sequence[str]],
    targets: Iterable[Sequence[str]],
) -> TrainCounts:
    """Counts the words and n-grams of held-out sentences in the training splits.

    Args:
      examples: the examples of each span.
      sources: the words of each held-out source.
      targets: the words of references and translations. The words of the sources are counted as well.

    Raises:
      DataError: a file is missing or damaged.
    """
    source_words = _distinct(sources)
    target_words = _distinct([source_words, *targets])
    known = _Ngrams(source_words, sources)
    source_set, target_set = (pa.array(words, pa.string()) for words in (source_words, target_words))
    source_counts, target_counts = (np.zeros(len(words), np.int64) for words in (source_words, target_words))
    pairs = 0
    for source, target in _batches(examples):
        pairs += len(source)
        ids, rows = _ids(source, source_set)
        source_counts += np.bincount(ids[ids >= 0], minlength=len(source_words))
        known.see(ids, rows)
        ids, _ = _ids(target, target_set)
        target_counts += np.bincount(ids[ids >= 0], minlength=len(target_words))
    return TrainCounts(
        pairs,
        dict(zip(source_words, source_counts.tolist(), strict=True)),
        dict(zip(target_words, target_counts.tolist(), strict=True)),
        known.overlap(source_counts > 0),
    )


def _distinct(lists: Iterable[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(word for words in lists for word in words))


def _batches(examples: Sequence[artifacts.Examples]) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yields the sources and targets of the training split, string[N] each."""
    for span in examples:
        for file in span.files(TRAIN_SPLIT):
            for batch in tfrecord.read_record_batches(file):
                yield (
                    tfrecord.string_column(batch, "source", file),
                    tfrecord.string_column(batch, "target", file),
                )


def _ids(texts: pa.Array, words: pa.Array) -> tuple[Ints, Ints]:
    """Returns the id of each word of texts string[N], and the row of each: int64[W] both."""
    lists = word_lists(texts)
    ids = pc.fill_null(pc.index_in(lists.flatten(), value_set=words), _ABSENT)
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(lists), dtype=np.int64), lengths)
    return ids.to_numpy(zero_copy_only=False).astype(np.int64), rows


class _Ngrams:
    """The n-grams of up to `ORDER` words of the held-out sources, and which of them were seen.

    An n-gram is a pair: the number of its first words among the distinct shorter n-grams, and its last word.

    Args:
      words: the distinct words; a word's position is its id.
      sources: the words of each held-out source.
    """

    def __init__(self, words: Sequence[str], sources: Sequence[Sequence[str]]):
        ids = {word: number for number, word in enumerate(words)}
        self._words = max(1, len(words))
        self._lengths = np.array([len(source) for source in sources], np.int64)
        self._ids = np.array([ids[word] for source in sources for word in source], np.int64)
        self._rows = np.repeat(np.arange(len(sources), dtype=np.int64), self._lengths)
        self._keys: list[Ints] = []
        numbers = self._ids
        for order in range(2, ORDER + 1):
            keys = self._extended(numbers, self._ids, self._rows, order)
            self._keys.append(np.unique(keys[keys >= 0]))
            numbers = _find(self._keys[-1], keys)
        self._seen = [np.zeros(len(keys), np.bool_) for keys in self._keys]

    def _extended(self, numbers: Ints, ids: Ints, rows: Ints, order: int) -> Ints:
        """Returns the key of the n-gram of `order` words that begins at each word; absent ones are -1.

        Args:
          numbers: the number of the n-gram of `order - 1` words that begins at each word, or -1.
          ids: the id of each word, or -1.
          rows: the row of each word.
        """
        keys = np.full(len(ids), _ABSENT, np.int64)
        count = len(ids) - order + 1
        if count <= 0:
            return keys
        last = ids[order - 1 :]
        valid = (numbers[:count] >= 0) & (last >= 0) & (rows[:count] == rows[order - 1 :])
        keys[:count][valid] = numbers[:count][valid] * self._words + last[valid]
        return keys

    def see(self, ids: Ints, rows: Ints) -> None:
        """Marks the n-grams of a batch as seen: ids and rows int64[W] of its words."""
        numbers = ids
        for order, (known, seen) in enumerate(zip(self._keys, self._seen, strict=True), 2):
            numbers = _find(known, self._extended(numbers, ids, rows, order))
            seen[numbers[numbers >= 0]] = True

    def overlap(self, seen_words: Bools) -> list[float | None]:
        """Returns `TrainCounts.overlap`, from which words were seen: bool[V]."""
        by_order = [seen_words[self._ids]]
        numbers = self._ids
        for order, (known, seen) in enumerate(zip(self._keys, self._seen, strict=True), 2):
            numbers = _find(known, self._extended(numbers, self._ids, self._rows, order))
            is_seen = np.zeros(len(numbers), np.bool_)
            is_seen[numbers >= 0] = seen[numbers[numbers >= 0]]
            by_order.append(is_seen)
        ends = np.cumsum(self._lengths)
        shares: list[float | None] = []
        for start, end in zip((ends - self._lengths).tolist(), ends.tolist(), strict=True):
            order = min(ORDER, end - start)
            shares.append(float(by_order[order - 1][start : end - order + 1].mean()) if order else None)
        return shares


def _find(known: Ints, keys: Ints) -> Ints:
    """Returns the position of each key in sorted distinct keys; -1 where it is absent: int64[N]."""
    if not len(known):
        return np.full(len(keys), _ABSENT, np.int64)
    positions = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[positions] == keys, positions, _ABSENT)
