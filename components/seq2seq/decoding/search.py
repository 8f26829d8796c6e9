"""Beam search in the graph: batched, the memory never repeated for the hypotheses, no word scored in vain.

Unfinished hypotheses and finished ones are kept apart (as in Tensor2Tensor, Vaswani et al. 2018), since they
are ranked differently: the unfinished by log probability, the finished by log probability over the length
penalty.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bitext.components.seq2seq.decoding.hypotheses import Finished, Hypotheses, Trail
from bitext.components.seq2seq.layers.attention import Memory
from bitext.components.seq2seq.layers.cells import State
from bitext.components.seq2seq.model import BOS, EOS, PAD, Seq2Seq, Start

NEVER = -1.0e9
LEAST_COVERAGE = 1e-4
LEAST_PROBABILITY = 1e-37
"""A token of a probability below counts as of this one: its logarithm is finite."""
GROUP = 64
"""Neighbouring words of a vocabulary whose maximum is looked for at once."""


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

    A hypothesis is given up when it cannot beat its sentence's worst finished one, whatever its final
    length: log probabilities only fall, the length penalty is largest at its `max_length`, and the coverage
    penalty is at best 0. One that reaches `max_length` without `</s>` counts as finished there. A sentence
    with no hypothesis left is done. Those that are leave the batch whenever they are a quarter of it.

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
    of_beams, of_found = search.shapes(beams), tf.nest.map_structure(lambda a: a.shape, beams.done)
    no_shape = tf.TensorShape([])
    of_trail = Trail(*(tf.TensorShape(None) for _ in Trail._fields))

    def stage(
        t: tf.Tensor, beams: _Beams, trail: Trail, found: Finished
    ) -> tuple[tf.Tensor, _Beams, Trail, Finished]:
        """Up to where enough sentences are done to go on without them."""
        t, beams, trail = tf.while_loop(
            search.crowded,
            search.advance,
            (t, beams, trail),
            (no_shape, of_beams, of_trail),
            parallel_iterations=1,
        )
        found = tf.nest.map_structure(
            lambda all_, some: tf.tensor_scatter_nd_update(all_, beams.row[:, tf.newaxis], some),
            found,
            beams.done,
        )
        going = tf.where(search.going(beams))[:, 0]
        return t, tf.nest.map_structure(lambda tensor: tf.gather(tensor, going), beams), trail, found

    _, _, trail, found = tf.while_loop(
        lambda t, beams, trail, found: tf.size(beams.row) > 0,
        stage,
        (t, beams, Trail.empty(), beams.done),
        (no_shape, of_beams, of_trail, of_found),
        parallel_iterations=1,
    )
    return trail.back(found, tf.shape(start.memory.mask)[1])


class _Beams(NamedTuple):
    """What the search carries from token to token, for B sentences and K unfinished hypotheses of each: one
    before the first token.

    Attributes:
      row: int32[B], the sentences' places in the batch that was asked for.
      max_length: int32[B], their hypotheses' tokens at most.
      memory: theirs, laid out.
      state: the decoder's, float32[B, K, U] each.
      last: int32[B, K], the token last taken.
      log_prob: float32[B, K], theirs, best first; -1e9 of what is no hypothesis, or can no longer be among
        the best.
      covered: float32[B, K, S], the sums of their alignments; of no width without a coverage penalty.
      done: the finished hypotheses.
    """

    row: tf.Tensor
    max_length: tf.Tensor
    memory: Memory
    state: State
    last: tf.Tensor
    log_prob: tf.Tensor
    covered: tf.Tensor
    done: Finished


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
        self.output = model.output_layer(GROUP)

    def first(self, start: Start, max_length: tf.Tensor, nbest: tf.Tensor | int) -> _Beams:
        """Before the first token."""
        batch, positions = tf.unstack(tf.shape(start.memory.mask))
        finished = [batch, nbest]
        nothing, never = tf.zeros(finished, tf.int32), tf.fill(finished, NEVER)
        max_length = tf.broadcast_to(max_length, [batch])
        return _Beams(
            tf.range(batch),
            max_length,
            self.model.decoder.laid_out(start.memory),
            tuple(tensor[:, tf.newaxis] for tensor in start.state),
            tf.fill([batch, 1], BOS),
            tf.where(max_length > 0, 0.0, NEVER)[:, tf.newaxis],
            tf.zeros([batch, 1, positions if self.beta else 0]),
            Finished(nothing, nothing, nothing, never, never),
        )

    def shapes(self, beams: _Beams) -> _Beams:
        """What stays of the tensors' shapes from step to step: their ranks, and the layers' widths."""

        def free(tensor: tf.Tensor) -> tf.TensorShape:
            return tf.TensorShape([None] * tensor.shape.rank)

        def layer(tensor: tf.Tensor) -> tf.TensorShape:
            return tf.TensorShape([*[None] * (tensor.shape.rank - 1), tensor.shape[-1]])

        kept = tf.nest.map_structure(free, beams)
        memory = kept.memory._replace(values=layer(beams.memory.values), keys=layer(beams.memory.keys))
        return kept._replace(memory=memory, state=tuple(map(layer, beams.state)))

    def going(self, beams: _Beams) -> tf.Tensor:
        """Which sentences are not done: bool[B]."""
        return tf.reduce_any(beams.log_prob > NEVER / 2, 1)

    def crowded(self, t: tf.Tensor, beams: _Beams, trail: Trail) -> tf.Tensor:
        """Whether it is not yet worth going on without the sentences that are done."""
        going = tf.math.count_nonzero(self.going(beams), dtype=tf.int32)
        return 4 * going > 3 * tf.size(beams.row)

    def advance(self, t: tf.Tensor, beams: _Beams, trail: Trail) -> tuple[tf.Tensor, _Beams, Trail]:
        """Every unfinished hypothesis by one token."""
        taken = t + 1
        state = tuple(tf.reshape(tensor, [-1, tensor.shape[-1]]) for tensor in beams.state)
        state, vectors, alignment = self.model.vectors(beams.last, state, beams.memory)
        best, words, parents = self.continuations(taken, beams.log_prob, vectors)
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
        done = self.merged(beams.done, Finished(words, parents, tf.fill(tf.shape(words), taken), best, score))

        # Greedy search, a beam of one, ends at its first </s>.
        over = tf.logical_or(tf.logical_or(ends, last), tf.logical_and(tf.equal(self.beam, 1), ends[:, :1]))
        log_prob, kept = tf.math.top_k(tf.where(over, NEVER, best), tf.minimum(self.beam, tf.shape(words)[1]))
        reachable = log_prob / length_penalty(beams.max_length, self.alpha)[:, tf.newaxis]
        log_prob = tf.where(reachable > tf.reduce_min(done.score, 1, keepdims=True), log_prob, NEVER)
        words, parents = (tf.gather(tensor, kept, batch_dims=1) for tensor in (words, parents))
        if self.beta:
            covered = tf.gather(covered, kept, batch_dims=1)
        sentences, width = tf.unstack(tf.shape(beams.last))
        rows = tf.reshape(parents + (tf.range(sentences) * width)[:, tf.newaxis], [-1])
        shape = tf.shape(kept)
        state = tuple(
            tf.reshape(tf.gather(tensor, rows), [shape[0], shape[1], tensor.shape[-1]]) for tensor in state
        )
        following = beams._replace(state=state, last=words, log_prob=log_prob, covered=covered, done=done)
        return taken, following, trail.write(t, beams.row, alignment, words, parents)

    def continuations(
        self, length: tf.Tensor, log_prob: tf.Tensor, vectors: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The best hypotheses of one token more, of all of a sentence together.

        Two for each place in the beam leave enough that go on even if all the others end here. They are in
        those groups of neighbouring words, of one hypothesis each, whose best is best: a maximum is found
        many numbers at a time, top_k goes from one to the next.

        Args:
          length: int32[], theirs.
          log_prob: float32[B, K], of the hypotheses so far; those of -1e9 are not looked at.
          vectors: float32[B * K, D], their attentional vectors.

        Returns:
          Log probabilities float32[B, N], best first, the words taken int32[B, N] (padding where there are
          fewer hypotheses, of -1e9), and the places int32[B, N] of the hypotheses that they were put to.
        """
        sentences, width = tf.unstack(tf.shape(log_prob))
        most = 2 * self.beam
        flat = tf.reshape(log_prob, [-1])
        live = tf.where(flat > NEVER / 2)
        likely = tf.nn.softmax(self.output(tf.gather(vectors, live[:, 0])))
        groups = likely.shape[-1] // GROUP
        likely = tf.reshape(likely, [-1, groups, GROUP])
        first = tf.where(self._refused(tf.range(GROUP), length), 0.0, likely[:, 0])
        highest = tf.concat([tf.reduce_max(first, 1)[:, tf.newaxis], tf.reduce_max(likely, 2)[:, 1:]], 1)
        highest = tf.gather(flat, live) + logarithm(highest)
        highest = tf.tensor_scatter_nd_update(tf.fill([tf.size(flat), groups], NEVER), live, highest)
        highest = tf.reshape(highest, [sentences, width * groups])
        _, chosen = tf.math.top_k(highest, tf.minimum(most, width * groups))

        places, group = chosen // groups, chosen % groups
        rows = places + (tf.range(sentences) * width)[:, tf.newaxis]
        among_live = tf.scatter_nd(live, tf.range(tf.shape(live)[0]), [tf.size(flat)])
        candidates = tf.gather_nd(likely, tf.stack([tf.gather(among_live, rows), group], -1))
        words = group[:, :, tf.newaxis] * GROUP + tf.range(GROUP)
        total = tf.gather(flat, rows)[:, :, tf.newaxis] + logarithm(candidates)
        total = tf.reshape(tf.where(self._refused(words, length), NEVER, total), [sentences, -1])
        best, picked = tf.math.top_k(total, tf.minimum(most, tf.shape(total)[1]))
        words = tf.gather(tf.reshape(words, [sentences, -1]), picked, batch_dims=1)
        words = tf.where(best > NEVER / 2, words, PAD)
        return best, words, tf.gather(places, picked // GROUP, batch_dims=1)

    def _refused(self, words: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        return refused(words, self.model.target_size, length, self.min_length)

    def merged(self, done: Finished, new: Finished) -> Finished:
        """The best of both."""
        both = [tf.concat(pair, 1) for pair in zip(done, new, strict=True)]
        _, chosen = tf.math.top_k(both[-1], tf.shape(done.score)[1])
        return Finished(*(tf.gather(tensor, chosen, batch_dims=1) for tensor in both))


def logarithm(probability: tf.Tensor) -> tf.Tensor:
    """The natural logarithm of probabilities float32[...], finite of 0 too."""
    return tf.math.log(tf.maximum(probability, LEAST_PROBABILITY))


def refused(
    words: tf.Tensor, vocabulary: int, length: tf.Tensor | int, min_length: tf.Tensor | int
) -> tf.Tensor:
    """Which words may not make a hypothesis so long: padding and `<s>` are none, nor is what lies beyond the
    vocabulary; and `</s>` may come too soon.

    Args:
      words: int32[...].
      vocabulary: V.
      length: int32[], the hypothesis's with one of them, `</s>` included.
      min_length: int32[], tokens at least, `</s>` included.

    Returns:
      bool[...].
    """
    none = tf.logical_or(tf.equal(words, PAD), tf.equal(words, BOS))
    none = tf.logical_or(none, words >= vocabulary)
    return tf.logical_or(none, tf.logical_and(tf.equal(words, EOS), length < min_length))
