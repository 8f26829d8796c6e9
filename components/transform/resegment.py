"""Further tokenizations of the training split: subword regularization (Kudo 2018).

As in BPE-dropout (Provilkov et al. 2020), some words are split into smaller subwords than byte-pair encoding
gives, so that the model learns what subwords consist of. BPE-dropout skips merges while it encodes a word.
This module undoes merges in the encoded text, which works on arrays of ids. A piece of a given unigram model
is split in the same way into two pieces, without regard to their scores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bitext.components.text import KEY_FACTOR, UNK_ID
from bitext.components.transform.buckets import Ints
from bitext.components.transform.rows import Ids, Rows

SEED = 1
"""The random seed of a sample of a batch: this, the number of the batch's first row, that of the sample."""


@dataclasses.dataclass(frozen=True)
class Splits:
    """The pairs of subwords that each subword can be split into.

    Attributes:
      left: int64[M], ids of the first halves, sorted by the id of the subword that is split.
      right: int64[M], ids of the second halves.
      starts: int64[V + 1], the index in `left` and `right` of the first pair of each subword.
    """

    left: Ints
    right: Ints
    starts: Ints

    @classmethod
    def read(cls, merges: Path, size: int) -> Splits:
        """Reads a merges file (`bitext.components.text.learn`) of a vocabulary of `size` ids."""
        key, value = np.loadtxt(merges, np.int64, delimiter="\t", ndmin=2).T
        merged = value % KEY_FACTOR
        is_pair = key >= 0
        key, merged = key[is_pair], merged[is_pair]
        order = np.lexsort((key, merged))
        key, merged = key[order], merged[order]
        return cls(key // KEY_FACTOR, key % KEY_FACTOR, np.searchsorted(merged, np.arange(size + 1)))

    @classmethod
    def of_pieces(cls, vocabulary: Path, merges: Path) -> Splits:
        """Returns all pairs of pieces that make a piece, for the two files of a unigram model.

        Symbols and texts that stay whole are not split: only ordinary pieces have a negative score.
        """
        names = vocabulary.read_text(encoding="utf-8").split("\n")[:-1]
        value = np.loadtxt(merges, np.int64, delimiter="\t", ndmin=2, usecols=1)[:, 0]
        numbers = np.sort(value[value < 0] % KEY_FACTOR)
        ids = {names[number]: number for number in numbers[numbers < len(names)].tolist() if number != UNK_ID}
        left, right, ends = [], [], np.zeros(len(names) + 1, np.int64)
        for piece, number in ids.items():
            halves = ((ids.get(piece[:cut], -1), ids.get(piece[cut:], -1)) for cut in range(1, len(piece)))
            pairs = [pair for pair in halves if min(pair) >= 0]
            left += [first for first, _ in pairs]
            right += [second for _, second in pairs]
            ends[number + 1] = len(pairs)
        return cls(np.array(left, np.int64), np.array(right, np.int64), np.cumsum(ends))

    def apply(self, ids: Ints, rate: float, random: np.random.Generator) -> tuple[Ints, Ints]:
        """Splits subwords at random, and the halves again.

        Args:
          ids: int64[N].
          rate: the probability that a subword with a pair is split; its pairs are equally probable.
          random: the random generator.

        Returns:
          The new ids int64[N'], and for each the index of its subword in the input, int64[N'].
        """
        origin = np.arange(len(ids))
        is_new = np.ones(len(ids), bool)
        while is_new.any():
            first_pair, pairs = self.starts[ids], self.starts[ids + 1] - self.starts[ids]
            split = is_new & (pairs > 0) & (random.random(len(ids)) < rate)
            offset = (random.random(np.count_nonzero(split)) * pairs[split]).astype(np.int64)
            pair = first_pair[split] + offset
            sizes = 1 + split
            left_index = (np.cumsum(sizes) - sizes)[split]
            ids, origin, is_new = (np.repeat(array, sizes) for array in (ids, origin, split))
            ids[left_index], ids[left_index + 1] = self.left[pair], self.right[pair]
        return ids, origin


def further(
    rows: Rows,
    splits: Mapping[str, Splits],
    rate: float,
    max_lengths: Mapping[str, int],
    random: np.random.Generator,
) -> Rows:
    """Returns one further tokenization of rows.

    Args:
      rows: the rows as tokenized for serving.
      splits: the possible splits of the subwords of `source` and `target`.
      rate: see `Splits.apply`.
      max_lengths: by side, the maximum number of ids of a row. A row that would exceed it is not changed.
      random: the random generator.
    """
    source, target = (
        _split(ids, splits[side], rate, max_lengths[side], random)
        for side, ids in (("source", rows.source), ("target", rows.target))
    )
    return dataclasses.replace(rows, source=source, target=target)


def _split(ids: Ids, splits: Splits, rate: float, max_length: int, random: np.random.Generator) -> Ids:
    """Splits the subwords of each row at random."""
    values, lengths = ids.values.astype(np.int64), ids.lengths
    row_of = np.repeat(np.arange(len(lengths)), lengths)
    split, origin = splits.apply(values, rate, random)
    new_lengths = np.bincount(row_of[origin], minlength=len(lengths))
    fits = new_lengths <= max_length
    in_split_row, in_unsplit_row = fits[row_of[origin]], ~fits[row_of]
    origin = np.concatenate([origin[in_split_row], np.flatnonzero(in_unsplit_row)])
    joined = np.concatenate([split[in_split_row], values[in_unsplit_row]])[np.argsort(origin, kind="stable")]
    return Ids(joined.astype(ids.values.dtype), np.where(fits, new_lengths, lengths))
