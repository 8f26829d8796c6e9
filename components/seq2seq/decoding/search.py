"""Beam search in the graph, for a whole batch, without repeating the memory for the hypotheses.

Unfinished and finished hypotheses are separate (as in Tensor2Tensor, Vaswani et al. 2018), because they are
ranked differently: the unfinished ones by log probability, the finished ones by log probability over length
penalty.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import tensorflow as tf

from bitext.components.seq2seq.decoders.base import DecoderState
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
"""Number of neighboring words of the vocabulary whose maximum is computed first, before `top_k`."""
_POINTERS_SHAPE = BackPointers(*(tf.TensorShape(None) for _ in BackPointers._fields))


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

    A hypothesis is pruned when it cannot beat the worst finished one of its sentence, whatever its final
    length: log probabilities only fall, the length penalty is largest at `max_length`, and the coverage
    penalty is at most 0. A hypothesis that reaches `max_length` without `</s>` counts as finished there. A
    sentence is done when it has no unfinished hypothesis. Done sentences leave the batch as soon as they are
    a quarter of it.

    Args:
      model: the model.
      start: the encoded sources.
      beam_size: int32[], hypotheses kept at every step; 1 is greedy search.
      alpha: float32[], exponent of the length penalty, 0 or more.
      max_length: int32[] or int32[B], maximum number of tokens, `</s>` included.
      min_length: int32[], minimum number of tokens, `</s>` included.
      beta: weight of the coverage penalty in the ranking of finished hypotheses, 0 or more.
      nbest: int32[], number of translations of each sentence, at most `beam_size`, which is the default. With
        fewer, the search ends sooner.
    """
    search = _Search(model, beam_size, alpha, min_length, beta)
    beams = search.initial_beams(start, max_length, beam_size if nbest is None else nbest)
    scalar, shapes = tf.TensorShape([]), search.shape_invariants(beams)
    finished_shapes = tf.nest.map_structure(lambda tensor: tensor.shape, beams.finished)
    _, _, pointers, finished = tf.while_loop(
        lambda t, beams, pointers, finished: tf.size(beams.sentence) > 0,
        functools.partial(search.search_and_shrink, shapes),
        (tf.constant(0), beams, BackPointers.empty(), beams.finished),
        (scalar, shapes, _POINTERS_SHAPE, finished_shapes),
        parallel_iterations=1,
    )
    return pointers.backtrace(finished, tf.shape(start.memory.mask)[1])


class _Beams(NamedTuple):
    """What the search carries from step to step, for B sentences with K unfinished hypotheses each.

    Before the first token, K is 1.

    Attributes:
      sentence: int32[B], indices of the sentences in the batch.
      max_length: int32[B], maximum number of tokens of their hypotheses.
      memory: of these sentences, with heads split.
      state: the decoder's, [B, K, ...] each.
      token: int32[B, K], the last token.
      log_prob: float32[B, K], best first; -1e9 where there is no hypothesis, or a pruned one.
      coverage: float32[B, K, S], sums of the alignments; S is 0 without a coverage penalty.
      finished: the finished hypotheses.
    """

    sentence: tf.Tensor
    max_length: tf.Tensor
    memory: Memory
    state: DecoderState
    token: tf.Tensor
    log_prob: tf.Tensor
    coverage: tf.Tensor
    finished: Finished


class _Search:
    """The constants of one search, and the bodies of its loops."""

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

    def initial_beams(self, start: Start, max_length: tf.Tensor, nbest: tf.Tensor | int) -> _Beams:
        """The beams before the first token."""
        batch, source_length = tf.unstack(tf.shape(start.memory.mask))
        zeros, never = tf.zeros([batch, nbest], tf.int32), tf.fill([batch, nbest], NEG_INF)
        max_length = tf.broadcast_to(max_length, [batch])
        return _Beams(
            sentence=tf.range(batch),
            max_length=max_length,
            memory=self.model.decoder.split_heads(start.memory),
            state=tf.nest.map_structure(lambda tensor: tensor[:, tf.newaxis], start.state),
            token=tf.fill([batch, 1], BOS),
            log_prob=tf.where(max_length > 0, 0.0, NEG_INF)[:, tf.newaxis],
            coverage=tf.zeros([batch, 1, source_length if self.beta else 0]),
            finished=Finished(zeros, zeros, zeros, never, never),
        )

    def shape_invariants(self, beams: _Beams) -> _Beams:
        """The shapes that do not change from step to step: the ranks, and the widths of memory and state."""

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
        fixed = {"memory": memory, "state": state}
        others = {
            name: tf.nest.map_structure(rank, getattr(beams, name))
            for name in _Beams._fields
            if name not in fixed
        }
        return _Beams(**others, **fixed)

    def search_and_shrink(
        self, shapes: _Beams, t: tf.Tensor, beams: _Beams, pointers: BackPointers, finished: Finished
    ) -> tuple[tf.Tensor, _Beams, BackPointers, Finished]:
        """Searches until enough sentences are done to continue without them.

        Args:
          shapes: from `shape_invariants`.
          t: int32[], number of tokens so far.
          beams: of the sentences that are not done.
          pointers: of all steps so far.
          finished: of all sentences of the batch.
        """
        t, beams, pointers = tf.while_loop(
            self.most_are_searching,
            self.advance,
            (t, beams, pointers),
            (tf.TensorShape([]), shapes, _POINTERS_SHAPE),
            parallel_iterations=1,
        )
        finished = tf.nest.map_structure(
            lambda all_, some: tf.tensor_scatter_nd_update(all_, beams.sentence[:, tf.newaxis], some),
            finished,
            beams.finished,
        )
        remaining = tf.where(self.is_searching(beams))[:, 0]
        beams = tf.nest.map_structure(lambda tensor: tf.gather(tensor, remaining), beams)
        return t, beams, pointers, finished

    def is_searching(self, beams: _Beams) -> tf.Tensor:
        """Which sentences are not done: bool[B]."""
        return tf.reduce_any(beams.log_prob > NEG_INF / 2, 1)

    def most_are_searching(self, t: tf.Tensor, beams: _Beams, pointers: BackPointers) -> tf.Tensor:
        """Whether fewer than a quarter of the sentences are done."""
        searching = tf.math.count_nonzero(self.is_searching(beams), dtype=tf.int32)
        return 4 * searching > 3 * tf.size(beams.sentence)

    def advance(
        self, t: tf.Tensor, beams: _Beams, pointers: BackPointers
    ) -> tuple[tf.Tensor, _Beams, BackPointers]:
        """Extends every unfinished hypothesis by one token."""
        sentences, width = tf.unstack(tf.shape(beams.token))
        state = tf.nest.map_structure(
            lambda tensor: _reshape_leading(tensor, 2, [sentences * width]), beams.state
        )
        vectors, alignment, state = self.model.step_vectors(beams.token, t, state, beams.memory)
        length = t + 1
        log_prob, token, parent = self.continuations(length, beams.log_prob, vectors)
        coverage = beams.coverage
        if self.beta:
            coverage = tf.gather(coverage + alignment, parent, batch_dims=1)

        is_eos, is_last = tf.equal(token, EOS), tf.equal(length, beams.max_length)[:, tf.newaxis]
        finished = self._finish(beams, length, log_prob, token, parent, coverage, is_eos | is_last)

        # Greedy search, a beam of one, ends at its first </s>.
        ended = is_eos | is_last | (tf.equal(self.beam_size, 1) & is_eos[:, :1])
        log_prob, chosen = tf.math.top_k(
            tf.where(ended, NEG_INF, log_prob), tf.minimum(self.beam_size, tf.shape(token)[1])
        )
        best_score = log_prob / length_penalty(beams.max_length, self.alpha)[:, tf.newaxis]
        can_win = best_score > tf.reduce_min(finished.score, 1, keepdims=True)
        token, parent = (tf.gather(tensor, chosen, batch_dims=1) for tensor in (token, parent))
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
        )
        return length, beams, pointers.write(t, beams.sentence, alignment, token, parent)

    def _finish(
        self,
        beams: _Beams,
        length: tf.Tensor,
        log_prob: tf.Tensor,
        token: tf.Tensor,
        parent: tf.Tensor,
        coverage: tf.Tensor,
        ends: tf.Tensor,
    ) -> Finished:
        """Adds the continuations [B, N] that end to the finished hypotheses, and keeps the best."""
        # Only the beam_size best may finish, or a beam of one would not be greedy search. Continuations of no
        # hypothesis, in a sentence with fewer than K, have a log probability of -1e9.
        may_finish = (tf.range(tf.shape(token)[1]) < self.beam_size) & (log_prob > NEG_INF / 2)
        score = log_prob / length_penalty(length, self.alpha)
        if self.beta:
            score += coverage_penalty(coverage, beams.memory.mask, self.beta)
        score = tf.where(ends & may_finish, score, NEG_INF)
        new = Finished(token, parent, tf.fill(tf.shape(token), length), log_prob, score)
        both = [tf.concat(pair, 1) for pair in zip(beams.finished, new, strict=True)]
        _, chosen = tf.math.top_k(both[-1], tf.shape(beams.finished.score)[1])
        return Finished(*(tf.gather(tensor, chosen, batch_dims=1) for tensor in both))

    def continuations(
        self, length: tf.Tensor, log_prob: tf.Tensor, vectors: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Finds the best one-token extensions of all hypotheses of a sentence.

        Two for each hypothesis of the beam are enough to continue with, even if all others end here. They are
        in the groups of neighboring words, each of one hypothesis, with the largest maxima: computing maxima
        is vectorized, `top_k` is not.

        Args:
          length: int32[], number of tokens of the extensions.
          log_prob: float32[B, K], of the hypotheses so far. Those of -1e9 are not scored.
          vectors: float32[B * K, D], from the decoder.

        Returns:
          Log probabilities float32[B, N], best first; the tokens int32[B, N] (padding where there are fewer
          extensions, with -1e9); and the indices int32[B, N] of the hypotheses that they extend.
        """
        sentences, width = tf.unstack(tf.shape(log_prob))
        candidates = 2 * self.beam_size
        flat = tf.reshape(log_prob, [-1])
        live = tf.where(flat > NEG_INF / 2)
        p = tf.nn.softmax(self.output_layer(tf.gather(vectors, live[:, 0])))
        groups = p.shape[-1] // GROUP_SIZE
        p = tf.reshape(p, [-1, groups, GROUP_SIZE])
        first = tf.where(self._forbidden(tf.range(GROUP_SIZE), length), 0.0, p[:, 0])
        highest = tf.concat([tf.reduce_max(first, 1)[:, tf.newaxis], tf.reduce_max(p, 2)[:, 1:]], 1)
        highest = tf.gather(flat, live) + log_probability(highest)
        highest = tf.tensor_scatter_nd_update(tf.fill([tf.size(flat), groups], NEG_INF), live, highest)
        highest = tf.reshape(highest, [sentences, width * groups])
        _, chosen = tf.math.top_k(highest, tf.minimum(candidates, width * groups))

        parents, group = chosen // groups, chosen % groups
        rows = parents + (tf.range(sentences) * width)[:, tf.newaxis]
        live_index = tf.scatter_nd(live, tf.range(tf.shape(live)[0]), [tf.size(flat)])
        in_groups = tf.gather_nd(p, tf.stack([tf.gather(live_index, rows), group], -1))
        tokens = group[:, :, tf.newaxis] * GROUP_SIZE + tf.range(GROUP_SIZE)
        total = tf.gather(flat, rows)[:, :, tf.newaxis] + log_probability(in_groups)
        total = tf.reshape(tf.where(self._forbidden(tokens, length), NEG_INF, total), [sentences, -1])
        best, chosen = tf.math.top_k(total, tf.minimum(candidates, tf.shape(total)[1]))
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
