"""Byte-pair encoding (Sennrich et al. 2016) of many words at once, in core TensorFlow ops on integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bitext.components.text import KEY_FACTOR

NO_MERGE = 2**63 - 1
"""The value of a pair that does not merge."""
Lookup = Callable[[tf.Tensor], tf.Tensor]


class Dropout(NamedTuple):
    """BPE-dropout (Provilkov et al. 2020, section 3.1).

    Attributes:
      rate: the probability that a possible merge is left out at a step. A word ends at a step at which all
        are left out.
      seed: int32[2], the seed of the draws.
    """

    rate: float
    seed: tf.Tensor

    def apply(self, joins: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Returns the values of pairs int64[A, W] without those that are left out at step int32[]."""
        seed = tf.random.experimental.stateless_fold_in(self.seed, step)
        draws = tf.random.stateless_uniform(tf.shape(joins), seed)
        return tf.where(draws < self.rate, NO_MERGE, joins)


def merge(
    symbols: tf.RaggedTensor, lookup: Lookup, *, all_occurrences: bool, dropout: Dropout | None = None
) -> tf.RaggedTensor:
    """Applies byte-pair encoding to the symbols of words: int32[N, None] to int32[N, None].

    In each word, the pair that was learned first is merged (of equal pairs, the leftmost), until no pair
    can be merged. This is the pair with the smallest value in the merges file (`text.learn`).

    Args:
      symbols: the ids of the characters of each word.
      lookup: the value of keys int64[...] in the merges file; `NO_MERGE` for others.
      all_occurrences: whether all occurrences of a pair are merged before the next pair is chosen.
      dropout: which merges are left out; None: none.
    """
    words = symbols.to_tensor(default_value=-1)
    # A padding column on the right, so that every position has a right neighbor.
    words = tf.pad(words, [[0, 0], [0, 1]], constant_values=-1)
    joins = _joins(words[:, :-1], words[:, 1:], lookup)
    joins = tf.pad(joins, [[0, 0], [0, 1]], constant_values=NO_MERGE)
    rows = tf.range(tf.shape(words)[0])

    def more(number: tf.Tensor, rows: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return tf.size(rows) > 0

    def step(
        number: tf.Tensor,
        rows: tf.Tensor,
        words: tf.Tensor,
        joins: tf.Tensor,
        last: tf.Tensor,
        done: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        possible = joins if dropout is None else dropout.apply(joins, number)
        best = tf.reduce_min(possible, axis=1)
        if all_occurrences:
            best = tf.where(tf.reduce_any(tf.equal(possible, last[:, None]), axis=1), last, best)
        active = best < NO_MERGE
        finished = tf.where(~active)[:, 0]
        done = tf.tensor_scatter_nd_update(
            done, tf.gather(rows, finished)[:, None], tf.gather(words, finished)
        )
        keep = tf.where(active)[:, 0]
        last, words, joins = (tf.gather(each, keep) for each in (best, words, joins))
        possible = joins if dropout is None else tf.gather(possible, keep)
        words, joins = _join_one(words, joins, possible, last, lookup)
        return number + 1, tf.gather(rows, keep), words, joins, last, done

    row, matrix = tf.TensorShape([None]), tf.TensorShape([None, None])
    shapes = [tf.TensorShape([]), row, matrix, matrix, row, matrix]
    state = [0, rows, words, joins, tf.fill([tf.size(rows)], tf.constant(-1, tf.int64)), words]
    *_, done = tf.while_loop(more, step, state, shape_invariants=shapes)
    lengths = tf.reduce_sum(tf.cast(done >= 0, tf.int64), axis=1)
    return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(done, done >= 0), lengths, validate=False)


def _join_one(
    words: tf.Tensor, joins: tf.Tensor, possible: tf.Tensor, best: tf.Tensor, lookup: Lookup
) -> tuple[tf.Tensor, tf.Tensor]:
    """Merges in each word the leftmost possible pair whose value in the merges file is `best`.

    Args:
      words: int32[A, W], -1 after the end.
      joins: int64[A, W], the value of each symbol and its right neighbor; `NO_MERGE` if they do not merge.
      possible: int64[A, W], `joins`, or those of them that are not left out (`Dropout`).
      best: int64[A], a value in each row of `possible`.
      lookup: see `merge`.

    Returns:
      `words` and `joins` after the merge: all symbols right of the pair have moved left by one.
    """
    position = tf.argmax(tf.equal(possible, best[:, None]), axis=1, output_type=tf.int32)[:, None]
    column = tf.range(tf.shape(words)[1])[None, :]
    merged = tf.cast(best % KEY_FACTOR, tf.int32)
    words = tf.where(column <= position, words, tf.pad(words[:, 1:], [[0, 0], [0, 1]], constant_values=-1))
    words = tf.where(tf.equal(column, position), merged[:, None], words)
    joins = tf.where(
        column <= position, joins, tf.pad(joins[:, 1:], [[0, 0], [0, 1]], constant_values=NO_MERGE)
    )
    before = tf.gather(words, tf.maximum(position - 1, 0), batch_dims=1)[:, 0]
    after = tf.gather(words, position + 1, batch_dims=1)[:, 0]
    left, right = _joins(before, merged, lookup), _joins(merged, after, lookup)
    joins = tf.where(tf.equal(column, position), right[:, None], joins)
    return words, tf.where(tf.equal(column, position - 1), left[:, None], joins)


def _joins(left: tf.Tensor, right: tf.Tensor, lookup: Lookup) -> tf.Tensor:
    """The value of each pair, int64 of their shape; `NO_MERGE` if a pair does not merge."""
    return lookup(tf.cast(left, tf.int64) * KEY_FACTOR + tf.cast(right, tf.int64))
