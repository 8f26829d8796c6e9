"""Beam search for a whole batch, in the TensorFlow graph. The memory is not repeated for the hypotheses.

Unfinished and finished hypotheses are separate (as in Tensor2Tensor, Vaswani et al. 2018), because they are
ranked differently: unfinished hypotheses by log probability, finished hypotheses by score.
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from bitext.components.seq2seq.decoding.beams import Beams, Candidates
from bitext.components.seq2seq.decoding.hypotheses import BackPointers, Finished, Hypotheses
from bitext.components.seq2seq.decoding.scoring import (
    NEG_INF,
    coverage_penalty,
    forbidden_tokens,
    length_penalty,
    log_probability,
)
from bitext.components.seq2seq.memory import Memory
from bitext.components.seq2seq.model import BOS, EOS, PAD, Seq2Seq, Start

GROUP_SIZE = 64
"""Number of neighboring words of the vocabulary in a group. `top_k` first reads one maximum per group."""


def beam_search(
    model: Seq2Seq,
    start: Start,
    beam_size: tf.Tensor,
    alpha: tf.Tensor,
    max_length: tf.Tensor,
    min_length: tf.Tensor | int = 1,
    beta: float = 0.0,
    nbest: tf.Tensor | int | None = None,
) -> Hypotheses:
    """Finds the translations with the best scores.

    An unfinished hypothesis is pruned when it cannot beat the worst of the `nbest` finished hypotheses of its
    sentence, whatever its final length: log probabilities only fall, the length penalty is largest at
    `max_length`, and the coverage penalty is at most 0. A hypothesis that reaches `max_length` without `</s>`
    counts as finished. A sentence is done when it has no unfinished hypothesis. Done sentences are removed
    from the batch as soon as they are a quarter of it.

    Args:
      model: the model.
      start: the encoded sources.
      beam_size: int32[], hypotheses kept at every step; 1 is greedy search.
      alpha: float32[], exponent of the length penalty, 0 or more.
      max_length: int32[] or int32[B], maximum number of tokens, `</s>` included.
      min_length: int32[], minimum number of tokens, `</s>` included.
      beta: weight of the coverage penalty in the ranking of finished hypotheses, 0 or more.
      nbest: int32[], number of translations of each sentence, at most `beam_size`; None: `beam_size`. With
        a smaller number, the search ends sooner.
    """
    search = BeamSearch(model, beam_size, alpha, min_length, beta)
    return search.run(start, max_length, beam_size if nbest is None else nbest)


class BeamSearch:
    """The constants of one search, and the bodies of its loops.

    `constrained.ConstrainedSearch` overrides `initial_beams`, `candidates`, `survivors` and `extended`.
    """

    reports_tokens = False
    """Whether the log probability of every token is reported."""

    def __init__(
        self,
        model: Seq2Seq,
        beam_size: tf.Tensor,
        alpha: tf.Tensor,
        min_length: tf.Tensor | int,
        beta: float,
    ):
        self.model, self.beam_size, self.alpha, self.beta = model, beam_size, alpha, beta
        self.min_length = min_length
        self.output_layer = model.output_layer(GROUP_SIZE)

    def run(self, start: Start, max_length: tf.Tensor, nbest: tf.Tensor | int) -> Hypotheses:
        """Returns the `nbest` best hypotheses; arguments as of `beam_search`."""
        beams = self.initial_beams(start, max_length, nbest)
        scalar, shapes = tf.TensorShape([]), self.shape_invariants(beams)
        finished_shapes = tf.nest.map_structure(lambda tensor: tensor.shape, beams.finished)
        step, pointers = tf.constant(0), BackPointers.empty(self.reports_tokens)
        _, _, pointers, finished = tf.while_loop(
            lambda t, beams, pointers, finished: tf.size(beams.sentence) > 0,
            functools.partial(self.search_and_shrink, shapes),
            (step, beams, pointers, beams.finished),
            (scalar, shapes, _shapes(pointers), finished_shapes),
            parallel_iterations=1,
        )
        return pointers.backtrace(finished, tf.shape(start.memory.mask)[1])

    def initial_beams(self, start: Start, max_length: tf.Tensor, nbest: tf.Tensor | int) -> Beams:
        """Returns the beams before the first token."""
        batch, source_length = tf.unstack(tf.shape(start.memory.mask))
        zeros, neg_inf = tf.zeros([batch, nbest], tf.int32), tf.fill([batch, nbest], NEG_INF)
        max_length = tf.broadcast_to(max_length, [batch])
        return Beams(
            sentence=tf.range(batch),
            max_length=max_length,
            memory=self.model.decoder.split_heads(start.memory),
            state=tf.nest.map_structure(lambda tensor: tensor[:, tf.newaxis], start.state),
            token=tf.fill([batch, 1], BOS),
            log_prob=tf.where(max_length > 0, 0.0, NEG_INF)[:, tf.newaxis],
            coverage=tf.zeros([batch, 1, source_length if self.beta else 0]),
            finished=Finished(zeros, zeros, zeros, neg_inf, neg_inf, neg_inf if self.reports_tokens else ()),
        )

    def shape_invariants(self, beams: Beams) -> Beams:
        """Returns the shape invariants of the loop: the ranks, and the widths of memory and state."""

        def rank(tensor: tf.Tensor) -> tf.TensorShape:
            return tf.TensorShape([None] * tensor.shape.rank)

        def rank_and_width(tensor: tf.Tensor) -> tf.TensorShape:
            return tf.TensorShape([*[None] * (tensor.shape.rank - 1), tensor.shape[-1]])

        def by_hypothesis(spec: tf.TensorSpec) -> tf.TensorShape:
            return tf.TensorShape([None, None, *spec.shape[1:]])

        memory = Memory(
            rank_and_width(beams.memory.values), rank_and_width(beams.memory.keys), rank(beams.memory.mask)
        )
        state = tf.nest.map_structure(by_hypothesis, self.model.decoder.state_spec)
        with_widths = {"memory": memory, "state": state}
        others = {
            name: tf.nest.map_structure(rank, getattr(beams, name))
            for name in Beams._fields
            if name not in with_widths
        }
        return Beams(**others, **with_widths)

    def search_and_shrink(
        self, shapes: Beams, t: tf.Tensor, beams: Beams, pointers: BackPointers, finished: Finished
    ) -> tuple[tf.Tensor, Beams, BackPointers, Finished]:
        """Searches until a quarter of the sentences are done, and removes the done sentences from the beams.

        Args:
          shapes: from `shape_invariants`.
          t: int32[], number of tokens so far.
          beams: the beams of the sentences that are not done.
          pointers: the back-pointers of all steps so far.
          finished: the finished hypotheses of all sentences of the batch.

        Returns:
          The arguments after the search, without `shapes`.
        """
        t, beams, pointers = tf.while_loop(
            self.most_are_searching,
            self.advance,
            (t, beams, pointers),
            (tf.TensorShape([]), shapes, _shapes(pointers)),
            parallel_iterations=1,
        )
        finished = tf.nest.map_structure(
            lambda all_, new: tf.tensor_scatter_nd_update(all_, beams.sentence[:, tf.newaxis], new),
            finished,
            beams.finished,
        )
        remaining = tf.where(self.is_searching(beams))[:, 0]
        beams = tf.nest.map_structure(lambda tensor: tf.gather(tensor, remaining), beams)
        return t, beams, pointers, finished

    def is_searching(self, beams: Beams) -> tf.Tensor:
        """Whether each sentence is not done: bool[B]."""
        return tf.reduce_any(beams.log_prob > NEG_INF / 2, 1)

    def most_are_searching(self, t: tf.Tensor, beams: Beams, pointers: BackPointers) -> tf.Tensor:
        """Whether more than three quarters of the sentences are not done."""
        searching = tf.math.count_nonzero(self.is_searching(beams), dtype=tf.int32)
        return 4 * searching > 3 * tf.size(beams.sentence)

    def advance(
        self, t: tf.Tensor, beams: Beams, pointers: BackPointers
    ) -> tuple[tf.Tensor, Beams, BackPointers]:
        """Extends every unfinished hypothesis by one token."""
        sentences, width = tf.unstack(tf.shape(beams.token))
        state = tf.nest.map_structure(
            lambda tensor: _reshape_leading(tensor, 2, [sentences * width]), beams.state
        )
        vectors, alignment, state = self.model.step_vectors(beams.token, t, state, beams.memory)
        length = t + 1
        candidates = self.candidates(length, beams, vectors)
        log_prob, token, parent = candidates[:3]
        coverage = beams.coverage
        if self.beta:
            coverage = tf.gather(coverage + alignment, parent, batch_dims=1)

        is_eos, is_last = tf.equal(token, EOS), tf.equal(length, beams.max_length)[:, tf.newaxis]
        finished = self._finish(beams, length, candidates, coverage, is_eos | is_last)

        # Greedy search (a beam of one) ends at its first </s>.
        is_ended = is_eos | is_last | (tf.equal(self.beam_size, 1) & is_eos[:, :1])
        log_prob, chosen = self.survivors(tf.where(is_ended, NEG_INF, log_prob))
        best_score = log_prob / length_penalty(beams.max_length, self.alpha)[:, tf.newaxis]
        can_win = best_score > tf.reduce_min(finished.score, 1, keepdims=True)
        kept = tf.nest.map_structure(
            lambda tensor: tf.gather(tensor, chosen, batch_dims=1), candidates._replace(log_prob=())
        )
        token, parent = kept.token, kept.parent
        if self.beta:
            coverage = tf.gather(coverage, chosen, batch_dims=1)
        rows = tf.reshape(parent + (tf.range(sentences) * width)[:, tf.newaxis], [-1])
        shape = tf.unstack(tf.shape(chosen))
        beams = beams._replace(
            state=tf.nest.map_structure(
                lambda tensor: _reshape_leading(tf.gather(tensor, rows), 1, shape), state
            ),
            token=token,
            log_prob=tf.where(can_win, log_prob, NEG_INF),
            coverage=coverage,
            finished=finished,
            constraints=self.extended(beams, token, parent),
        )
        step = BackPointers(beams.sentence, alignment, token, parent, kept.token_log_prob)
        return length, beams, pointers.write(t, step)

    def candidates(self, length: tf.Tensor, beams: Beams, vectors: tf.Tensor) -> Candidates:
        """Finds the best continuations; arguments as of `continuations`."""
        return Candidates(*self.continuations(length, beams.log_prob, vectors))

    def survivors(self, log_prob: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Chooses the continuations that stay in the beam.

        Args:
          log_prob: float32[B, N], of the continuations in the order of `candidates`; -1e9 where one ends.

        Returns:
          Their log probabilities float32[B, K] and indices int32[B, K].
        """
        return tf.math.top_k(log_prob, tf.minimum(self.beam_size, tf.shape(log_prob)[1]))

    def extended(self, beams: Beams, token: tf.Tensor, parent: tf.Tensor) -> Any:
        """Returns `Beams.constraints` after a step that chose these tokens int32[B, K] and parents."""
        return ()

    def _finish(
        self,
        beams: Beams,
        length: tf.Tensor,
        candidates: Candidates,
        coverage: tf.Tensor,
        ends: tf.Tensor,
    ) -> Finished:
        """Adds the continuations [B, N] that end to the finished hypotheses, and returns the best of both."""
        log_prob, token, parent, token_log_prob = candidates
        # Only the beam_size best continuations may finish, so that a beam of one is greedy search. In a
        # sentence with fewer than K hypotheses, some continuations extend none; their log_prob is -1e9.
        may_finish = (tf.range(tf.shape(token)[1]) < self.beam_size) & (log_prob > NEG_INF / 2)
        score = log_prob / length_penalty(length, self.alpha)
        if self.beta:
            score += coverage_penalty(coverage, beams.memory.mask, self.beta)
        score = tf.where(ends & may_finish, score, NEG_INF)
        new = Finished(token, parent, tf.fill(tf.shape(token), length), log_prob, score, token_log_prob)
        both = tf.nest.map_structure(lambda *pair: tf.concat(pair, 1), beams.finished, new)
        _, chosen = tf.math.top_k(both.score, tf.shape(beams.finished.score)[1])
        return tf.nest.map_structure(lambda tensor: tf.gather(tensor, chosen, batch_dims=1), both)

    def continuations(
        self, length: tf.Tensor, log_prob: tf.Tensor, vectors: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Finds the best continuations of all hypotheses of a sentence by one token.

        N = 2 * beam_size are enough: each hypothesis has one continuation that ends, by `</s>`, so at least
        beam_size of the N do not end. The N best are in the N groups of neighboring words with the largest
        maxima. Computing maxima is vectorized, `top_k` is not, so `top_k` reads the maxima and then only
        these groups.

        Args:
          length: int32[], number of tokens of the continuations.
          log_prob: float32[B, K], log probabilities of the hypotheses. Hypotheses of -1e9 are not scored.
          vectors: float32[B * K, D], from the decoder.

        Returns:
          Log probabilities float32[B, N], best first; the tokens int32[B, N]; and the indices int32[B, N] of
          the hypotheses that they extend. If there are fewer than N continuations, the rest are padding with
          a log probability of -1e9.
        """
        sentences, width = tf.unstack(tf.shape(log_prob))
        candidates = 2 * self.beam_size
        flat = tf.reshape(log_prob, [-1])
        scored = tf.where(flat > NEG_INF / 2)
        p = tf.nn.softmax(self.output_layer(tf.gather(vectors, scored[:, 0])))
        groups = p.shape[-1] // GROUP_SIZE
        p = tf.reshape(p, [-1, groups, GROUP_SIZE])
        first_group = tf.where(self._forbidden(tf.range(GROUP_SIZE), length), 0.0, p[:, 0])
        maxima = tf.concat([tf.reduce_max(first_group, 1)[:, tf.newaxis], tf.reduce_max(p, 2)[:, 1:]], 1)
        maxima = tf.gather(flat, scored) + log_probability(maxima)
        maxima = tf.tensor_scatter_nd_update(tf.fill([tf.size(flat), groups], NEG_INF), scored, maxima)
        maxima = tf.reshape(maxima, [sentences, width * groups])
        _, best_groups = tf.math.top_k(maxima, tf.minimum(candidates, width * groups))

        parents, group = best_groups // groups, best_groups % groups
        rows = parents + (tf.range(sentences) * width)[:, tf.newaxis]
        scored_index = tf.scatter_nd(scored, tf.range(tf.shape(scored)[0]), [tf.size(flat)])
        p_in_groups = tf.gather_nd(p, tf.stack([tf.gather(scored_index, rows), group], -1))
        tokens = group[:, :, tf.newaxis] * GROUP_SIZE + tf.range(GROUP_SIZE)
        log_probs = tf.gather(flat, rows)[:, :, tf.newaxis] + log_probability(p_in_groups)
        log_probs = tf.reshape(tf.where(self._forbidden(tokens, length), NEG_INF, log_probs), [sentences, -1])
        best, chosen = tf.math.top_k(log_probs, tf.minimum(candidates, tf.shape(log_probs)[1]))
        tokens = tf.gather(tf.reshape(tokens, [sentences, -1]), chosen, batch_dims=1)
        tokens = tf.where(best > NEG_INF / 2, tokens, PAD)
        return best, tokens, tf.gather(parents, chosen // GROUP_SIZE, batch_dims=1)

    def _forbidden(self, tokens: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        return forbidden_tokens(tokens, self.model.target_size, length, self.min_length)


def _reshape_leading(tensor: tf.Tensor, leading: int, shape: list[Any]) -> tf.Tensor:
    """Replaces the first `leading` dimensions of a tensor by those of `shape`."""
    dynamic = tf.shape(tensor)
    rest = [dynamic[axis] if size is None else size for axis, size in enumerate(tensor.shape)]
    return tf.reshape(tensor, [*shape, *rest[leading:]])


def _shapes(pointers: BackPointers) -> BackPointers:
    """Returns the shape invariants of the loop for the back-pointers."""
    return tf.nest.map_structure(lambda _: tf.TensorShape(None), pointers)
