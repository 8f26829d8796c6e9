"""Required phrases: lexical constraints, with the beam divided by the number of tokens that are met.

Hokamp and Liu 2017 keep a beam for every number of constraint tokens that a hypothesis has (a bank); Post and
Vilar 2018 divide one beam among the banks, so that the cost does not grow with the constraints. Here each
bank gives its best hypothesis in turn, the bank with the most tokens first, until the beam is full. A bank
without hypotheses thus leaves its share to the others.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bitext.components.seq2seq.decoding.phrases import Phrases, suffix_hashes
from bitext.components.seq2seq.decoding.scoring import NEG_INF
from bitext.components.text.surfaces import JOINS

_LAST = 1 << 30
"""The place of continuations that are not allowed, after all others."""


class Required(NamedTuple):
    """The required phrases of B sentences, M or fewer each. Their texts decide whether a hypothesis has them;
    their tokens are what the search tries to write.

    Attributes:
      tokens: int32[B, M, L], padded with 0; a phrase without tokens is none.
      length: int32[B, M], number of tokens.
      size: int32[B, M], number of bytes.
      hash: int64[B, M], hash of the text.
      begins, ends: bool[B, M], whether the phrase begins, or ends, a word.
    """

    tokens: tf.Tensor
    length: tf.Tensor
    size: tf.Tensor
    hash: tf.Tensor
    begins: tf.Tensor
    ends: tf.Tensor

    @classmethod
    def of(cls, required: Phrases, tokens: tf.Tensor) -> Required:
        """Returns phrases with their tokens int32[B, M, L]."""
        whole = tf.gather(required.hashes, required.length, batch_dims=1)
        fields = (required.length, whole, required.begins, required.ends)
        length = tf.math.count_nonzero(tokens, 2, dtype=tf.int32)
        return cls(tokens, length, *(tf.gather(field, required.index) for field in fields))

    def rows(self, sentence: tf.Tensor) -> Required:
        """Returns the phrases of some sentences, by their indices."""
        return Required(*(tf.gather(tensor, sentence) for tensor in self))

    def at_end(self, last: tf.Tensor) -> tf.Tensor:
        """Whether the last symbols int32[B, N, W] of hypotheses are each phrase, from its first word on."""
        sentences, count = tf.unstack(tf.shape(last))[:2]
        size = tf.broadcast_to(self.size[:, tf.newaxis], [sentences, count, tf.shape(self.size)[1]])
        is_equal = tf.equal(tf.gather(suffix_hashes(last), size, batch_dims=2), self.hash[:, tf.newaxis])
        before = tf.gather(tf.reverse(last, [-1]), size, batch_dims=2)
        is_inner = tf.logical_and(before >= JOINS, self.begins[:, tf.newaxis])
        return is_equal & ~is_inner & (size > 0)


class Progress(NamedTuple):
    """What hypotheses have of the phrases of their sentence, for N hypotheses each.

    Attributes:
      count: int32[B, N, M], number of tokens of each phrase that the last tokens are.
      is_met: bool[B, N, M], whether the hypothesis has the phrase.
      is_open: bool[B, N, M], whether the last token ends the first phrase, so that its last word may go on.
    """

    count: tf.Tensor
    is_met: tf.Tensor
    is_open: tf.Tensor

    @classmethod
    def start(cls, required: Required) -> Progress:
        """Returns the progress before the first token, of one hypothesis for each sentence."""
        zeros = tf.zeros_like(required.length)[:, tf.newaxis]
        return cls(zeros, tf.equal(required.length, 0)[:, tf.newaxis], tf.zeros_like(zeros, tf.bool))

    def next_tokens(self, required: Required) -> tf.Tensor:
        """Returns the token int32[B, N, M] that continues each phrase; 0 for phrases that are met."""
        batch, phrases, columns = tf.unstack(tf.shape(required.tokens))
        first = tf.reshape(tf.range(batch * phrases) * columns, [batch, 1, phrases])
        token = tf.gather(tf.reshape(required.tokens, [-1]), first + self.count)
        return tf.where(self.is_met, 0, token)

    def extended(self, required: Required, token: tf.Tensor, last: tf.Tensor, joins: tf.Tensor) -> Progress:
        """Returns the progress after one more token each.

        If the tokens of a phrase repeat its first tokens, a start of it that overlaps another start is not
        counted. The phrase is recognized nevertheless.

        Args:
          required: the phrases.
          token: int32[B, N].
          last: int32[B, N, W], the last symbols, with those of the token.
          joins: bool[V], whether a token continues the word before it.
        """
        token = token[:, :, tf.newaxis]
        was_met = self.is_met & ~(self.is_open & tf.gather(joins, token))
        is_next = tf.equal(token, self.next_tokens(required)) & (token > 0)
        is_first = tf.equal(token, required.tokens[:, tf.newaxis, :, 0]) & (token > 0)
        count = tf.where(is_next, self.count + 1, tf.cast(is_first, tf.int32))
        now_met = required.at_end(last) & ~was_met
        is_met = was_met | now_met
        is_whole = count >= required.length[:, tf.newaxis]
        return Progress(tf.where(is_met | is_whole, 0, count), is_met, now_met & required.ends[:, tf.newaxis])

    def must_end(self, length: tf.Tensor, room: tf.Tensor) -> tf.Tensor:
        """Whether there is no room to write the open phrases again if their last word goes on: bool[R].

        Args:
          length: int32[R, M], numbers of tokens of the phrases of R hypotheses.
          room: int32[R], number of tokens that may follow the next one.
        """
        lacking = tf.reduce_sum(tf.where(self.is_met & ~self.is_open, 0, length), 1)
        return tf.reduce_any(self.is_open, 1) & (lacking > room)

    def missing(self, required: Required) -> tf.Tensor:
        """Returns the number of tokens int32[B, N] that a hypothesis lacks, in the best case."""
        unmet = tf.where(self.is_met, 0, required.length[:, tf.newaxis])
        return tf.reduce_sum(unmet, -1) - tf.reduce_max(self.count, -1)


def in_turn(log_prob: tf.Tensor, missing: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    """Orders continuations: the best of each bank, fewest missing tokens first; then the second best.

    Args:
      log_prob: float32[B, N]; -1e9 where a continuation is not allowed.
      missing: int32[B, N], number of tokens that each lacks: its bank.
      most: int32[], the largest number.

    Returns:
      int32[B, N], indices of the continuations. Those that are not allowed are last.
    """
    is_allowed = log_prob > NEG_INF / 2
    bank = tf.where(is_allowed, missing, most + 1)
    by_log_prob = tf.argsort(log_prob, direction="DESCENDING", stable=True)
    by_bank = tf.argsort(tf.gather(bank, by_log_prob, batch_dims=1), stable=True)
    order = tf.gather(by_log_prob, by_bank, batch_dims=1)
    bank = tf.gather(bank, order, batch_dims=1)
    sizes = tf.reduce_sum(tf.one_hot(bank, most + 2, dtype=tf.int32), 1)
    starts = tf.gather(tf.cumsum(sizes, 1, exclusive=True), bank, batch_dims=1)
    rank = tf.range(tf.shape(order)[1]) - starts
    place = tf.where(bank > most, _LAST, rank * (most + 1) + bank)
    return tf.gather(order, tf.argsort(place, stable=True), batch_dims=1)
