"""Beam search in the graph: batched, the memory never repeated for the hypotheses.

Unfinished hypotheses and finished ones are kept apart (as in Tensor2Tensor, Vaswani et al. 2018), since they
are ranked differently: the unfinished by log probability, the finished by log probability over the length
penalty.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from components.seq2seq.cells import State
from components.seq2seq.model import BOS, EOS, PAD, Seq2Seq, Start

NEVER = -1.0e9
LEAST_COVERAGE = 1e-4


@dataclasses.dataclass(frozen=True)
class Hypotheses:
    """N translations of each sentence: of a search the best, best first; of sampling in the order drawn.

    Where a search finds fewer than N of at most the maximum length, the rest have length 0 and a score of
    -1e9.

    Attributes:
      tokens: int32[B, N, T], without `<s>`, with `</s>` (unless cut at the maximum length), padded with 0.
      length: int32[B, N], tokens, `</s>` included.
      log_prob: float32[B, N], sum over the tokens.
      score: float32[B, N], log_prob / length_penalty(length) + the coverage penalty; of samples, log_prob.
    """

    tokens: tf.Tensor
    length: tf.Tensor
    log_prob: tf.Tensor
    score: tf.Tensor


def length_penalty(length: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """((5 + length) / 6) ** alpha (Wu et al. 2016, equation 14); float32 like `length`'s shape."""
    return ((5.0 + tf.cast(length, tf.float32)) / 6.0) ** alpha


def coverage_penalty(covered: tf.Tensor, mask: tf.Tensor, beta: float) -> tf.Tensor:
    """beta * the sum over source tokens of log(min(covered, 1)) (Wu et al. 2016, equation 14), never above 0.

    Args:
      covered: float32[B, K, S], the sum of each source token's alignments over the hypothesis. What is below
        1e-4 counts as 1e-4.
      mask: bool[B, S], true on real tokens.

    Returns:
      float32[B, K].
    """
    logs = tf.math.log(tf.clip_by_value(covered, LEAST_COVERAGE, 1.0))
    return beta * tf.reduce_sum(logs * tf.cast(mask, tf.float32)[:, tf.newaxis], -1)


def beam_search(
    model: Seq2Seq,
    start: Start,
    beam_size: tf.Tensor,
    alpha: tf.Tensor,
    max_length: tf.Tensor,
    min_length: tf.Tensor | int = 1,
    beta: float = 0.0,
) -> Hypotheses:
    """Finds the translations of best score.

    A sentence is done when no unfinished hypothesis can beat its worst finished one, whatever its final
    length: log probabilities only fall, the length penalty is largest at `max_length`, and the coverage
    penalty is at best 0. A hypothesis that reaches `max_length` without `</s>` counts as finished there.

    Args:
      beam_size: int32[], hypotheses kept; 1 is greedy search.
      alpha: float32[], the length penalty's exponent, 0 or more.
      max_length: int32[], tokens at most, `</s>` included.
      min_length: int32[], tokens at least, `</s>` included.
      beta: weight of the coverage penalty, which finished hypotheses are ranked by; 0 or more.
    """
    search = _Search(model, start, beam_size, alpha, max_length, min_length, beta)
    (final,) = tf.while_loop(
        search.unfinished,
        search.advance,
        (search.first(),),
        shape_invariants=(search.shapes(),),
        parallel_iterations=1,
    )
    return search.results(final)


class _Beams(NamedTuple):
    """What the search carries from token to token, for B sentences and K hypotheses of each.

    Attributes:
      t: int32[], tokens taken.
      state: the decoder's, float32[B * K, U] each.
      tokens: int32[B, K], the last taken.
      alive, alive_log_prob: int32[B, K, T], float32[B, K], the unfinished hypotheses.
      covered: float32[B, K, S], the sums of their alignments; of no width without a coverage penalty.
      done, done_score, done_log_prob, done_length: int32[B, K, T], float32[B, K] twice and int32[B, K], the
        finished hypotheses.
    """

    t: tf.Tensor
    state: State
    tokens: tf.Tensor
    alive: tf.Tensor
    alive_log_prob: tf.Tensor
    covered: tf.Tensor
    done: tf.Tensor
    done_score: tf.Tensor
    done_log_prob: tf.Tensor
    done_length: tf.Tensor


class _Search:
    """One search's constants, and the parts of its loop."""

    def __init__(
        self,
        model: Seq2Seq,
        start: Start,
        beam: tf.Tensor,
        alpha: tf.Tensor,
        max_length: tf.Tensor,
        min_length: tf.Tensor | int,
        beta: float,
    ):
        self.model, self.start, self.beam, self.alpha, self.beta = model, start, beam, alpha, beta
        self.max_length, self.min_length = max_length, min_length
        self.batch = tf.shape(start.memory.mask)[0]

    def first(self) -> _Beams:
        state = tuple(tf.repeat(s, self.beam, axis=0) for s in self.start.state)
        width = [self.batch, self.beam]
        # All hypotheses are the same at first: only one of each sentence may go on.
        alive = tf.where(tf.range(self.beam) > 0, NEVER, 0.0) + tf.zeros(width)
        empty = tf.fill([*width, self.max_length], PAD)
        never = tf.fill(width, NEVER)
        tokens = tf.fill(width, BOS)
        nothing = tf.zeros(width, tf.int32)
        positions = tf.shape(self.start.memory.mask)[1] if self.beta else 0
        covered = tf.zeros([*width, positions])
        return _Beams(tf.constant(0), state, tokens, empty, alive, covered, empty, never, never, nothing)

    def shapes(self) -> _Beams:
        state = tuple(tf.TensorShape([None, s.shape[-1]]) for s in self.start.state)
        width, sequence = tf.TensorShape([None, None]), tf.TensorShape([None, None, None])
        scalar = tf.TensorShape([])
        return _Beams(scalar, state, width, sequence, width, sequence, sequence, width, width, width)

    def unfinished(self, beams: _Beams) -> tf.Tensor:
        """Whether any sentence may still improve."""
        reachable = tf.reduce_max(beams.alive_log_prob, 1) / length_penalty(self.max_length, self.alpha)
        may_improve = reachable > tf.reduce_min(beams.done_score, 1)
        return tf.logical_and(beams.t < self.max_length, tf.reduce_any(may_improve))

    def advance(self, beams: _Beams) -> tuple[_Beams]:
        """Every unfinished hypothesis by one token."""
        state, log_probs, alignment = self.model.step(beams.tokens, beams.state, self.start.memory)
        vocabulary = self.model.target_size
        log_probs += allowed(vocabulary, beams.t + 1, self.min_length)
        totals = beams.alive_log_prob[:, :, tf.newaxis] + log_probs

        # 2 K candidates leave K unfinished ones even if K of them end here.
        wanted = 2 * self.beam
        each = tf.minimum(wanted, vocabulary)
        best, words = tf.math.top_k(totals, each)
        best, picked = tf.math.top_k(tf.reshape(best, [self.batch, -1]), tf.minimum(wanted, self.beam * each))
        parents = picked // each
        words = tf.gather(tf.reshape(words, [self.batch, -1]), picked, batch_dims=1)
        sequences = tf.gather(beams.alive, parents, batch_dims=1)
        covered = beams.covered
        if self.beta:
            covered = tf.gather(covered + alignment, parents, batch_dims=1)
        here = tf.one_hot(beams.t, self.max_length, dtype=tf.int32)
        sequences += words[:, :, tf.newaxis] * here

        ends = tf.equal(words, EOS)
        taken = beams.t + 1
        last = tf.equal(taken, self.max_length)
        # Only the K best may finish, or a beam of one would not be greedy search; and none that is no
        # candidate at all, of a sentence with fewer than K.
        eligible = tf.logical_and(tf.range(tf.shape(words)[1]) < self.beam, best > NEVER / 2)
        finishing = tf.logical_and(tf.logical_or(ends, last), eligible)
        score = best / length_penalty(taken, self.alpha)
        if self.beta:
            score += coverage_penalty(covered, self.start.memory.mask, self.beta)
        score = tf.where(finishing, score, NEVER)
        done_score, chosen = tf.math.top_k(tf.concat([beams.done_score, score], 1), self.beam)

        def merge(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
            return tf.gather(tf.concat([old, new], 1), chosen, batch_dims=1)

        done = merge(beams.done, sequences)
        done_log_prob = merge(beams.done_log_prob, best)
        done_length = merge(beams.done_length, tf.fill(tf.shape(words), taken))

        # Greedy search, a beam of one, ends at its first </s>.
        over = tf.logical_or(ends, tf.logical_and(tf.equal(self.beam, 1), ends[:, :1]))
        alive_log_prob, kept = tf.math.top_k(tf.where(over, NEVER, best), self.beam)
        alive = tf.gather(sequences, kept, batch_dims=1)
        if self.beta:
            covered = tf.gather(covered, kept, batch_dims=1)
        tokens = tf.gather(words, kept, batch_dims=1)
        rows = tf.gather(parents, kept, batch_dims=1) + (tf.range(self.batch) * self.beam)[:, tf.newaxis]
        state = tuple(tf.gather(s, tf.reshape(rows, [-1])) for s in state)
        finished = done, done_score, done_log_prob, done_length
        return (_Beams(taken, state, tokens, alive, alive_log_prob, covered, *finished),)

    def results(self, beams: _Beams) -> Hypotheses:
        """The finished ones, cut to the longest."""
        longest = tf.maximum(tf.reduce_max(beams.done_length), 1)
        return Hypotheses(
            beams.done[:, :, :longest], beams.done_length, beams.done_log_prob, beams.done_score
        )


def allowed(vocabulary: int, length: tf.Tensor, min_length: tf.Tensor | int) -> tf.Tensor:
    """What is added to the scores float32[V] of the token that makes a hypothesis so long: padding and `<s>`
    are never words of a translation, and `</s>` does not end one that is too short."""
    return words_only(vocabulary, tf.where(length < min_length, NEVER, 0.0))


def words_only(vocabulary: int, ending: tf.Tensor | float = NEVER) -> tf.Tensor:
    """float32[V] to add to scores: nothing for words, -1e9 for padding and `<s>`, and `ending` for `</s>`."""
    return tf.concat([[NEVER, NEVER, ending], tf.zeros([vocabulary - 3])], 0)
