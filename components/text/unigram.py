"""Segmentation by a unigram language model (Kudo 2018, "Subword Regularization"), in core TensorFlow ops.

A text is cut into the pieces whose scores have the largest sum. The search is that of sentencepiece
(`EncodeOptimized` in `unigram_model.cc`): it adds the same float32 scores in the same order and keeps the
longest of equally good pieces, so its result is equal also where rounding decides.

The pieces are a trie in the merges file; see `trie`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bitext.components.text import KEY_FACTOR
from bitext.components.text.trie import ROOT, UNKNOWN_KEY

LONGEST_PART = 5000
"""Characters that are searched at once. A longer text is cut, which bounds the number of steps."""
_DEAD = 2**31 - 1
_NO_CODE = 0
_LARGEST_SUM = 100_000.0
"""`kScoreResetThreshold` of sentencepiece: at a larger sum, all sums begin at 0 again."""
Lookup = Callable[[tf.Tensor], tf.Tensor]


class Words(NamedTuple):
    """Distinct words as code points.

    Attributes:
      codes: int32[D, None].
      ids: int32[D], the id of a word that is one token and has one code point here; -1: another word.
      spelled: bool[D], whether each character is a token.
    """

    codes: tf.RaggedTensor
    ids: tf.Tensor
    spelled: tf.Tensor


class Lattice(NamedTuple):
    """The pieces that begin at each of M characters.

    Attributes:
      scores: float32[M, K], the score of the piece of 1 to K characters; minus infinity: no such piece.
      ids: int32[M, K], its id.
    """

    scores: tf.Tensor
    ids: tf.Tensor


class Tokens(NamedTuple):
    """The tokens of texts, one after the other.

    Attributes:
      ids: int32[S].
      starts: int32[S], the position of the first character of each among the N characters of all texts.
    """

    ids: tf.Tensor
    starts: tf.Tensor


class Positions(NamedTuple):
    """The N characters of several parts in the order of the search: the first of each part, then the second.

    Attributes:
      counts: int32[T], how many parts have a character at each step; the last is 0.
      bounds: int32[T], the first position of each step.
      parts: int32[P], the number of characters of the parts, which are sorted from long to short.
      positions: int32[N], the positions among the characters of all texts.
    """

    counts: tf.Tensor
    bounds: tf.Tensor
    parts: tf.Tensor
    positions: tf.Tensor


def lattice(words: Words, lookup: Lookup, missing: int) -> Lattice:
    """Finds the pieces that begin at each character of words.

    Args:
      words: the words; M is the number of their characters.
      lookup: the value of keys int64[M] in the merges file.
      missing: the value of a key that the file does not have.
    """
    lengths = tf.cast(words.codes.row_lengths(), tf.int32)
    codes, size = words.codes.values, tf.size(words.codes.values)
    ends = tf.repeat(tf.cumsum(lengths), lengths)
    alone = tf.repeat(words.spelled | (words.ids >= 0), lengths)
    ends = tf.where(alone, tf.range(1, size + 1), ends)

    def more(length: tf.Tensor, node: tf.Tensor, *_: tf.TensorArray) -> tf.Tensor:
        return tf.equal(length, 0) | tf.reduce_any(node < _DEAD)

    def extend(
        length: tf.Tensor, node: tf.Tensor, scores: tf.TensorArray, ids: tf.TensorArray
    ) -> tuple[tf.Tensor | tf.TensorArray, ...]:
        position = tf.range(size) + length
        code = tf.where(position < ends, tf.gather(codes, tf.minimum(position, size - 1)), _NO_CODE)
        value = lookup(tf.cast(node, tf.int64) * KEY_FACTOR + tf.cast(code, tf.int64))
        found = tf.not_equal(value, missing)
        score, node = _split(value)
        score, node = tf.where(found, score, -math.inf), tf.where(found, node, _DEAD)
        return length + 1, node, scores.write(length, score), ids.write(length, node)

    arrays = (
        tf.TensorArray(kind, 0, dynamic_size=True, element_shape=[None]) for kind in (tf.float32, tf.int32)
    )
    state = [tf.constant(0), tf.fill([size], ROOT), *arrays]
    *_, score_array, id_array = tf.while_loop(more, extend, state)
    found = Lattice(tf.transpose(score_array.stack()), tf.transpose(id_array.stack()))
    unknown_score, unknown_id = _split(lookup(tf.constant([UNKNOWN_KEY], tf.int64)))
    return _with_characters(found, tf.repeat(words.ids, lengths), unknown_score, unknown_id)


def _split(value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The score float32[N] and the node int32[N] of values int64[N]."""
    bits = tf.cast(tf.bitwise.right_shift(value, 32), tf.int32)
    return tf.bitcast(bits, tf.float32), tf.cast(tf.bitwise.bitwise_and(value, KEY_FACTOR - 1), tf.int32)


def _with_characters(
    found: Lattice, ids: tf.Tensor, unknown_score: tf.Tensor, unknown_id: tf.Tensor
) -> Lattice:
    """Makes each character a piece: an unknown one, or the given id int32[M] if that is not -1."""
    scores, given = found.scores[:, :1], ids[:, None]
    unknown = tf.equal(scores, -math.inf)
    first = tf.where(unknown, unknown_id, found.ids[:, :1])
    return Lattice(
        tf.concat([tf.where(unknown, unknown_score, scores), found.scores[:, 1:]], axis=1),
        tf.concat([tf.where(given >= 0, given, first), found.ids[:, 1:]], axis=1),
    )


def best(found: Lattice, index: tf.Tensor, text_lengths: tf.Tensor) -> Tokens:
    """Finds the best pieces of texts.

    Args:
      found: the pieces that begin at each character of the distinct words.
      index: int32[N], where the lattice has each character of the texts.
      text_lengths: int32[B], the number of characters of each text.
    """
    size = tf.size(index)
    order = _positions(text_lengths)
    lengths = _last_lengths(found, tf.gather(index, order.positions), order)
    is_end = _ends(lengths, order)
    lengths = tf.scatter_nd(order.positions[:, None], tf.where(is_end, lengths, 0), [size])
    last = tf.cast(tf.where(lengths > 0)[:, 0], tf.int32)
    lengths = tf.gather(lengths, last)
    starts = last + 1 - lengths
    ids = tf.gather_nd(found.ids, tf.stack([tf.gather(index, starts), lengths - 1], axis=1))
    return Tokens(ids, starts)


def _positions(text_lengths: tf.Tensor) -> Positions:
    """Cuts texts of int32[B] characters into parts, and orders their characters by step."""
    part_counts = (text_lengths + LONGEST_PART - 1) // LONGEST_PART
    number = tf.ragged.range(part_counts).values
    lengths = tf.minimum(tf.repeat(text_lengths, part_counts) - number * LONGEST_PART, LONGEST_PART)
    starts = tf.cumsum(lengths, exclusive=True)
    longest_first = tf.argsort(lengths, direction="DESCENDING", stable=True)
    lengths, starts = tf.gather(lengths, longest_first), tf.gather(starts, longest_first)
    steps = tf.reduce_max(tf.concat([[0], lengths], 0))
    # From long to short, the parts with more than t characters are the first ones.
    counts = tf.searchsorted(-lengths, -tf.range(steps + 1), side="left")
    step = tf.repeat(tf.range(steps + 1), counts)
    bounds = tf.cumsum(counts, exclusive=True)
    part = tf.range(tf.size(step)) - tf.gather(bounds, step)
    return Positions(counts, bounds, lengths, tf.gather(starts, part) + step)


def _last_lengths(found: Lattice, index: tf.Tensor, order: Positions) -> tf.Tensor:
    """The number of characters of the last piece of the best path to the end of each character: int32[N].

    `sums` has the sums of the best paths to the current position and to the K positions after it; `lengths`
    has the last pieces of these paths.

    Args:
      found: the lattice.
      index: int32[N], where the lattice has each character, in the order of the search.
      order: the order of the search.
    """
    longest = tf.shape(found.scores)[1]

    def more(step: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return step < steps

    def advance(
        step: tf.Tensor, sums: tf.Tensor, lengths: tf.Tensor, array: tf.TensorArray
    ) -> tuple[tf.Tensor | tf.TensorArray, ...]:
        count, bound = order.counts[step], order.bounds[step]
        sums, lengths = sums[:count], lengths[:count, 1:]
        here = sums[:, :1]
        excess = tf.where(tf.abs(here) > _LARGEST_SUM, here, 0.0)
        ahead = sums[:, 1:] - excess
        new = tf.gather(found.scores, index[bound : bound + count]) + (here - excess)
        better = new > ahead
        ahead = tf.where(better, new, ahead)
        lengths = tf.where(better, tf.range(1, longest + 1), lengths)
        array = array.write(step, lengths[:, 0])
        right = [[0, 0], [0, 1]]
        return (
            step + 1,
            tf.pad(ahead, right, constant_values=-math.inf),
            tf.pad(lengths, right),
            array,
        )

    parts, steps = tf.size(order.parts), tf.size(order.counts)
    sums = tf.concat([tf.zeros([parts, 1]), tf.fill([parts, longest], -math.inf)], axis=1)
    array = tf.TensorArray(tf.int32, steps, infer_shape=False, element_shape=[None])
    state = [tf.constant(0), sums, tf.zeros_like(sums, tf.int32), array]
    shapes = [tf.TensorShape([]), *[tf.TensorShape([None, None])] * 2, tf.TensorShape(None)]
    *_, array = tf.while_loop(more, advance, state, shape_invariants=shapes)
    return array.concat()


def _ends(lengths: tf.Tensor, order: Positions) -> tf.Tensor:
    """Follows the best paths from the end of each part to its start.

    Args:
      lengths: int32[N], see `_last_lengths`.
      order: the order of the search.

    Returns:
      bool[N], whether a piece of the best path ends with a character.
    """

    def more(step: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return step >= 0

    def retreat(
        step: tf.Tensor, end: tf.Tensor, array: tf.TensorArray
    ) -> tuple[tf.Tensor | tf.TensorArray, ...]:
        count, bound = order.counts[step], order.bounds[step]
        active, rest = end[:count], end[count:]
        is_end = tf.equal(active, step + 1)
        active = tf.where(is_end, active - lengths[bound : bound + count], active)
        return step - 1, tf.concat([active, rest], 0), array.write(step, is_end)

    steps = tf.size(order.counts)
    array = tf.TensorArray(tf.bool, steps, infer_shape=False, element_shape=[None])
    *_, array = tf.while_loop(more, retreat, [steps - 1, order.parts, array])
    return array.concat()
