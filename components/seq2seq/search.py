"""Beam search in the graph: batched, the memory never repeated for the hypotheses.

Unfinished hypotheses and finished ones are kept apart (as in Tensor2Tensor, Vaswani et al. 2018), since they
are ranked differently: the unfinished by log probability, the finished by log probability over the length
penalty.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from components.seq2seq.attention import Memory
from components.seq2seq.cells import State
from components.seq2seq.model import BOS, EOS, PAD, Seq2Seq, Start

NEVER = -1.0e9
LEAST_COVERAGE = 1e-4
LEAST_PROBABILITY = 1e-37
"""A token of a probability below counts as of this one: its logarithm is finite."""
GROUP = 32
"""Neighbouring words of a vocabulary whose maximum is looked for at once."""


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
    nbest: tf.Tensor | int | None = None,
) -> Hypotheses:
    """Finds the translations of best score.

    A sentence is done when no unfinished hypothesis can beat its worst finished one, whatever its final
    length: log probabilities only fall, the length penalty is largest at its `max_length`, and the coverage
    penalty is at best 0. A hypothesis that reaches `max_length` without `</s>` counts as finished there.
    Sentences that are done leave the batch whenever a quarter of it is.

    Args:
      beam_size: int32[], hypotheses kept; 1 is greedy search.
      alpha: float32[], the length penalty's exponent, 0 or more.
      max_length: int32[] or int32[B], tokens at most, `</s>` included.
      min_length: int32[], tokens at least, `</s>` included.
      beta: weight of the coverage penalty, which finished hypotheses are ranked by; 0 or more.
      nbest: int32[], the N translations wanted of each sentence, at most `beam_size`, which it is if not
        given. The fewer, the sooner the search is done.
    """
    search = _Search(model, beam_size, alpha, min_length, beta)
    t, beams = tf.constant(0), search.first(start, max_length, beam_size if nbest is None else nbest)

    def stage(t: tf.Tensor, beams: _Beams, found: _Finished) -> tuple[tf.Tensor, _Beams, _Finished]:
        """Up to where enough sentences are done to go on without them."""
        shapes = tf.TensorShape([]), search.shapes(beams)
        t, beams = tf.while_loop(search.crowded, search.advance, (t, beams), shapes, parallel_iterations=1)
        found = tf.nest.map_structure(
            lambda all_, some: tf.tensor_scatter_nd_update(all_, beams.row[:, tf.newaxis], some),
            found,
            beams.done,
        )
        going = tf.where(search.improving(t, beams))[:, 0]
        return t, tf.nest.map_structure(lambda tensor: tf.gather(tensor, going), beams), found

    _, _, found = tf.while_loop(
        lambda t, beams, found: tf.size(beams.row) > 0,
        stage,
        (t, beams, beams.done),
        (tf.TensorShape([]), search.shapes(beams), tf.nest.map_structure(lambda a: a.shape, beams.done)),
        parallel_iterations=1,
    )
    longest = tf.maximum(tf.reduce_max(found.length), 1)
    return Hypotheses(found.tokens[:, :, :longest], found.length, found.log_prob, found.score)


class _Finished(NamedTuple):
    """The N best finished hypotheses of B sentences, best first; see `Hypotheses`.

    Attributes:
      tokens: int32[B, N, T].
      length: int32[B, N].
      log_prob, score: float32[B, N].
    """

    tokens: tf.Tensor
    length: tf.Tensor
    log_prob: tf.Tensor
    score: tf.Tensor


class _Beams(NamedTuple):
    """What the search carries from token to token, for B sentences and K unfinished hypotheses of each: one
    before the first token.

    Attributes:
      row: int32[B], the sentences' places in the batch that was asked for.
      max_length: int32[B], their hypotheses' tokens at most.
      memory: theirs.
      state: the decoder's, float32[B, K, U] each.
      last: int32[B, K], the token last taken.
      tokens: int32[B, K, T], all.
      log_prob: float32[B, K], theirs; -1e9 of what is no hypothesis.
      covered: float32[B, K, S], the sums of their alignments; of no width without a coverage penalty.
      done: the finished hypotheses.
    """

    row: tf.Tensor
    max_length: tf.Tensor
    memory: Memory
    state: State
    last: tf.Tensor
    tokens: tf.Tensor
    log_prob: tf.Tensor
    covered: tf.Tensor
    done: _Finished


class _Search:
    """One search's constants, and the parts of its loops."""

    def __init__(
        self,
        model: Seq2Seq,
        beam: tf.Tensor,
        alpha: tf.Tensor,
        min_length: tf.Tensor | int,
        beta: float,
    ):
        self.model, self.beam, self.alpha, self.beta = model, beam, alpha, beta
        self.min_length = min_length

    def first(self, start: Start, max_length: tf.Tensor, nbest: tf.Tensor | int) -> _Beams:
        """Before the first token."""
        batch, positions = tf.unstack(tf.shape(start.memory.mask))
        finished, never = [batch, nbest], tf.fill([batch, nbest], NEVER)
        width = tf.maximum(tf.reduce_max(max_length), 0)  # of no sentences too
        return _Beams(
            tf.range(batch),
            tf.broadcast_to(max_length, [batch]),
            start.memory,
            tuple(tensor[:, tf.newaxis] for tensor in start.state),
            tf.fill([batch, 1], BOS),
            tf.fill([batch, 1, width], PAD),
            tf.zeros([batch, 1]),
            tf.zeros([batch, 1, positions if self.beta else 0]),
            _Finished(tf.fill([*finished, width], PAD), tf.zeros(finished, tf.int32), never, never),
        )

    def shapes(self, beams: _Beams) -> _Beams:
        """What stays of the tensors' shapes from step to step: their ranks, and the layers' widths."""

        def free(tensor: tf.Tensor) -> tf.TensorShape:
            return tf.TensorShape([None] * tensor.shape.rank)

        def layer(tensor: tf.Tensor) -> tf.TensorShape:
            return tf.TensorShape([None, None, tensor.shape[-1]])

        kept = tf.nest.map_structure(free, beams)
        memory = kept.memory._replace(values=layer(beams.memory.values), keys=layer(beams.memory.keys))
        return kept._replace(memory=memory, state=tuple(map(layer, beams.state)))

    def improving(self, t: tf.Tensor, beams: _Beams) -> tf.Tensor:
        """Whether each sentence's finished hypotheses may yet improve: bool[B]."""
        best = tf.reduce_max(beams.log_prob, 1)
        reachable = tf.where(best > NEVER / 2, best / length_penalty(beams.max_length, self.alpha), NEVER)
        return tf.logical_and(t < beams.max_length, reachable > tf.reduce_min(beams.done.score, 1))

    def crowded(self, t: tf.Tensor, beams: _Beams) -> tf.Tensor:
        """Whether it is not yet worth going on without the sentences that are done."""
        going = tf.math.count_nonzero(self.improving(t, beams), dtype=tf.int32)
        return 4 * going > 3 * tf.size(beams.row)

    def advance(self, t: tf.Tensor, beams: _Beams) -> tuple[tf.Tensor, _Beams]:
        """Every unfinished hypothesis by one token."""
        sentences = tf.size(beams.row)
        state = tuple(tf.reshape(tensor, [-1, tensor.shape[-1]]) for tensor in beams.state)
        state, logits, alignment = self.model.scores(beams.last, state, beams.memory)

        # Two tokens for each place in the beam leave enough that go on even if all the others end here. Three
        # more, since three may not be taken: padding and `<s>` are no words, and `</s>` may come too soon.
        each = tf.minimum(2 * self.beam + 3, self.model.target_size)
        likely, words = largest(tf.nn.softmax(logits), each)
        log_prob = tf.math.log(tf.maximum(likely, LEAST_PROBABILITY))
        taken = t + 1
        too_soon = tf.logical_and(tf.equal(words, EOS), taken < self.min_length)
        refused = tf.logical_or(too_soon, tf.logical_or(tf.equal(words, PAD), tf.equal(words, BOS)))
        log_prob = tf.where(refused, NEVER, log_prob)
        total = tf.reshape(beams.log_prob, [-1, 1]) + log_prob
        total, words = (tf.reshape(tensor, [sentences, -1]) for tensor in (total, words))
        best, picked = tf.math.top_k(total, tf.minimum(2 * self.beam, tf.shape(total)[1]))
        words = tf.gather(words, picked, batch_dims=1)
        parents = picked // each
        here = tf.one_hot(t, tf.shape(beams.tokens)[2], dtype=tf.int32)
        tokens = tf.gather(beams.tokens, parents, batch_dims=1) + words[:, :, tf.newaxis] * here
        covered = beams.covered
        if self.beta:
            covered = tf.gather(covered + alignment, parents, batch_dims=1)

        ends, last = tf.equal(words, EOS), tf.equal(taken, beams.max_length)[:, tf.newaxis]
        # Only the K best may finish, or a beam of one would not be greedy search; and none that is no
        # hypothesis at all, of a sentence with fewer than K.
        eligible = tf.logical_and(tf.range(tf.shape(words)[1]) < self.beam, best > NEVER / 2)
        finishing = tf.logical_and(tf.logical_or(ends, last), eligible)
        score = best / length_penalty(taken, self.alpha)
        if self.beta:
            score += coverage_penalty(covered, beams.memory.mask, self.beta)
        score = tf.where(finishing, score, NEVER)
        done = self.merged(beams.done, _Finished(tokens, tf.fill(tf.shape(words), taken), best, score))

        # Greedy search, a beam of one, ends at its first </s>.
        over = tf.logical_or(tf.logical_or(ends, last), tf.logical_and(tf.equal(self.beam, 1), ends[:, :1]))
        going, kept = tf.math.top_k(tf.where(over, NEVER, best), tf.minimum(self.beam, tf.shape(words)[1]))

        def of_kept(tensor: tf.Tensor) -> tf.Tensor:
            return tf.gather(tensor, kept, batch_dims=1)

        width = tf.shape(beams.last)[1]
        rows = tf.reshape(of_kept(parents) + (tf.range(sentences) * width)[:, tf.newaxis], [-1])
        shape = tf.shape(kept)
        state = tuple(
            tf.reshape(tf.gather(tensor, rows), [shape[0], shape[1], tensor.shape[-1]]) for tensor in state
        )
        if self.beta:
            covered = of_kept(covered)
        return taken, _Beams(
            beams.row,
            beams.max_length,
            beams.memory,
            state,
            of_kept(words),
            of_kept(tokens),
            going,
            covered,
            done,
        )

    def merged(self, done: _Finished, new: _Finished) -> _Finished:
        """The best of both."""
        both = [tf.concat(pair, 1) for pair in zip(done, new, strict=True)]
        _, chosen = tf.math.top_k(both[-1], tf.shape(done.score)[1])
        return _Finished(*(tf.gather(tensor, chosen, batch_dims=1) for tensor in both))


def largest(scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`tf.math.top_k` of scores float32[N, V] of 0 or more, of a large V: values and places [N, k].

    The k largest are in those k groups of neighbours whose maxima are largest. A maximum is found many
    numbers at a time, top_k goes from one to the next.
    """
    size = scores.shape[-1]
    groups = -(-size // GROUP)
    if size % GROUP:
        scores = tf.pad(scores, [[0, 0], [0, groups * GROUP - size]], constant_values=-1.0)
    grouped = tf.reshape(scores, [-1, groups, GROUP])
    _, chosen = tf.math.top_k(tf.reduce_max(grouped, 2), tf.minimum(k, groups))
    candidates = tf.reshape(tf.gather(grouped, chosen, batch_dims=1), [-1, tf.minimum(k, groups) * GROUP])
    values, places = tf.math.top_k(candidates, k)
    return values, tf.gather(chosen, places // GROUP, batch_dims=1) * GROUP + places % GROUP


def allowed(vocabulary: int, length: tf.Tensor, min_length: tf.Tensor | int) -> tf.Tensor:
    """What is added to the scores float32[V] of the token that makes a hypothesis so long: padding and `<s>`
    are never words of a translation, and `</s>` does not end one that is too short."""
    return words_only(vocabulary, tf.where(length < min_length, NEVER, 0.0))


def words_only(vocabulary: int, ending: tf.Tensor | float = NEVER) -> tf.Tensor:
    """float32[V] to add to scores: nothing for words, -1e9 for padding and `<s>`, and `ending` for `</s>`."""
    return tf.concat([[NEVER, NEVER, ending], tf.zeros([vocabulary - 3])], 0)
