"""Beam search with constraints on its hypotheses. A search without them runs none of this code."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, cast

import tensorflow as tf

from bitext.components.seq2seq.decoding.banned import BannedWords
from bitext.components.seq2seq.decoding.beams import Beams, Candidates
from bitext.components.seq2seq.decoding.hypotheses import ScoredTokens
from bitext.components.seq2seq.decoding.phrases import TokenTexts
from bitext.components.seq2seq.decoding.prefix import Prefix
from bitext.components.seq2seq.decoding.required import Progress, Required, in_turn
from bitext.components.seq2seq.decoding.scoring import NEG_INF, forbidden_tokens, log_probability
from bitext.components.seq2seq.decoding.search import GROUP_SIZE, BeamSearch
from bitext.components.seq2seq.model import EOS, PAD, UNK, Seq2Seq, Start

FORBIDDEN = -1.0
"""The probability of a token that must not come next."""


@dataclasses.dataclass(frozen=True)
class Constraints:
    """What the hypotheses of a search must and must not be.

    Attributes:
      texts: the texts of the tokens.
      prefix: the beginning of every hypothesis. What a hypothesis repeats in its prefix is allowed.
      banned: phrases that no hypothesis contains.
      required: phrases that every hypothesis contains.
      no_repeat_ngram: int32[], no n tokens stand twice in a hypothesis (Paulus et al. 2018, section 2.5);
        0: off.
      repetition_penalty: float32[], 1 or more: the log probability of a token that the hypothesis has already
        is multiplied by it (Keskar et al. 2019, section 4.1, who divide logits; log probabilities are never
        above 0). It changes the ranking and `score`, but no log probability that is reported. 1: off.
    """

    texts: TokenTexts
    prefix: Prefix
    banned: BannedWords
    required: Required
    no_repeat_ngram: tf.Tensor
    repetition_penalty: tf.Tensor


class Tracked(NamedTuple):
    """What the constraints know of B sentences with K hypotheses each.

    Attributes:
      history: int32[B, K, T], the tokens.
      last: int32[B, K, W], the last symbols of the text; see `TokenTexts`.
      written: int32[B, K, 1], bytes of the rest of the prefix; see `Prefix`.
      progress: of the required phrases.
    """

    history: tf.Tensor
    last: tf.Tensor
    written: tf.Tensor
    progress: Progress


def constrained_search(
    model: Seq2Seq,
    start: Start,
    beam_size: tf.Tensor,
    alpha: tf.Tensor,
    max_length: tf.Tensor,
    constraints: Constraints,
    min_length: tf.Tensor | int = 1,
    beta: float = 0.0,
) -> ScoredTokens:
    """Finds the translations with the best scores among those that meet the constraints.

    Arguments as of `beam_search`. A sentence has no hypothesis if the search finds none that meets them all.
    """
    search = ConstrainedSearch(model, beam_size, alpha, min_length, beta, constraints)
    return cast(ScoredTokens, search.run(start, max_length, beam_size))


class ConstrainedSearch(BeamSearch):
    """A beam search whose constraints forbid tokens, and divide the beam among the required phrases."""

    reports_tokens = True

    def __init__(
        self,
        model: Seq2Seq,
        beam_size: tf.Tensor,
        alpha: tf.Tensor,
        min_length: tf.Tensor | int,
        beta: float,
        constraints: Constraints,
    ):
        super().__init__(model, beam_size, alpha, min_length, beta)
        self.constraints = constraints
        self.most_missing = tf.reduce_max(tf.reduce_sum(constraints.required.length, 1))

    def initial_beams(self, start: Start, max_length: tf.Tensor, nbest: tf.Tensor | int) -> Beams:
        """Returns the beams before the first token."""
        beams, constraints = super().initial_beams(start, max_length, nbest), self.constraints
        sentences = tf.size(beams.sentence)
        tracked = Tracked(
            history=tf.zeros([sentences, 1, 0], tf.int32),
            last=constraints.texts.start(sentences),
            written=tf.zeros([sentences, 1, 1], tf.int32),
            progress=Progress.start(constraints.required),
        )
        return beams._replace(constraints=tracked)

    def extended(self, beams: Beams, token: tf.Tensor, parent: tf.Tensor) -> Tracked:
        """Returns what the constraints know after a step that chose these tokens int32[B, K] and parents."""
        constraints, sentence = self.constraints, beams.sentence
        before: Tracked = tf.nest.map_structure(
            lambda tensor: tf.gather(tensor, parent, batch_dims=1), beams.constraints
        )
        texts, last = constraints.texts, constraints.texts.extended(before.last, token)
        required, count = constraints.required.rows(sentence), tf.shape(before.history)[2]
        sizes = tf.gather(texts.length, token)
        written = constraints.prefix.advanced(sentence, before.written[:, :, 0], count, sizes)
        return Tracked(
            history=tf.concat([before.history, token[:, :, tf.newaxis]], -1),
            last=last,
            written=written[:, :, tf.newaxis],
            progress=before.progress.extended(required, token, last, texts.begins_joined),
        )

    def survivors(self, log_prob: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Chooses the first continuations that do not end."""
        kept, count = log_prob > NEG_INF / 2, tf.shape(log_prob)[1]
        place = tf.where(kept, tf.range(count), count + tf.range(count))
        _, chosen = tf.math.top_k(-place, tf.minimum(self.beam_size, count))
        return tf.gather(log_prob, chosen, batch_dims=1), chosen

    def candidates(self, length: tf.Tensor, beams: Beams, vectors: tf.Tensor) -> Candidates:
        """Finds the best continuations that the constraints allow.

        Each hypothesis has its beam_size + 1 best tokens, one of which may be `</s>`, and the next token of
        each required phrase.
        """
        sentences, width = tf.unstack(tf.shape(beams.token))
        flat = tf.reshape(beams.log_prob, [-1])
        scored = tf.where(flat > NEG_INF / 2)
        p = tf.nn.softmax(self.output_layer(tf.gather(vectors, scored[:, 0])))
        weights = self._allowed(length, beams, p, tf.cast(scored[:, 0], tf.int32))
        token = _best_tokens(weights, self.beam_size + 1, p.shape[-1] // GROUP_SIZE)
        token = tf.concat([token, self._required_tokens(beams, scored, token)], 1)
        weight = tf.where(token > 0, tf.gather(weights, token, batch_dims=1), FORBIDDEN)
        token = tf.where(weight < 0.0, PAD, token)
        allowed = tf.where(weight < 0.0, NEG_INF, log_probability(weight))
        log_prob = tf.gather(flat, scored) + allowed
        token_log_prob = log_probability(tf.gather(p, token, batch_dims=1))

        def by_sentence(values: tf.Tensor, padding: tf.Tensor) -> tf.Tensor:
            count = tf.shape(values)[1]
            rows = tf.fill([sentences * width, count], padding)
            return tf.reshape(tf.tensor_scatter_nd_update(rows, scored, values), [sentences, width * count])

        found = Candidates(
            by_sentence(log_prob, NEG_INF),
            by_sentence(token, 0),
            tf.tile(tf.repeat(tf.range(width), tf.shape(token)[1])[tf.newaxis], [sentences, 1]),
            by_sentence(token_log_prob, 0.0),
        )
        return self._in_turn(length, beams, found)

    def _required_tokens(self, beams: Beams, scored: tf.Tensor, best: tf.Tensor) -> tf.Tensor:
        """Returns the tokens int32[R, M] that continue the required phrases; 0 for those in `best` [R, N]."""
        tracked: Tracked = beams.constraints
        token = tracked.progress.next_tokens(self.constraints.required.rows(beams.sentence))
        phrases = tf.shape(token)[2]
        token = tf.gather(tf.reshape(token, [-1, phrases]), scored[:, 0])
        is_same = tf.equal(token[:, :, tf.newaxis], token[:, tf.newaxis])
        is_earlier = tf.range(phrases) < tf.range(phrases)[:, tf.newaxis]
        is_repeated = tf.reduce_any(tf.logical_and(is_same, is_earlier), -1)
        is_best = tf.reduce_any(tf.equal(token[:, :, tf.newaxis], best[:, tf.newaxis]), -1)
        return tf.where(tf.logical_or(is_repeated, is_best), PAD, token)

    def _in_turn(self, length: tf.Tensor, beams: Beams, found: Candidates) -> Candidates:
        """Orders the continuations, and forbids those that can no longer meet the required phrases."""
        progress = self.extended(beams, found.token, found.parent).progress
        missing = progress.missing(self.constraints.required.rows(beams.sentence))
        is_possible = missing <= (beams.max_length - length)[:, tf.newaxis]
        log_prob = tf.where(is_possible, found.log_prob, NEG_INF)
        order = in_turn(log_prob, missing, self.most_missing)[:, : 2 * self.beam_size]
        found = found._replace(log_prob=log_prob)
        return Candidates(*(tf.gather(tensor, order, batch_dims=1) for tensor in found))

    def _allowed(self, length: tf.Tensor, beams: Beams, p: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Applies the constraints to probabilities.

        Args:
          length: int32[], number of tokens of the continuations.
          beams: the hypotheses.
          p: float32[R, V], of the tokens after R of the hypotheses.
          rows: int32[R], the indices of these in [B * K].

        Returns:
          float32[R, V]: the probabilities that rank the tokens; `FORBIDDEN` where one must not come next.
        """
        constraints, width, size = self.constraints, tf.shape(beams.token)[1], p.shape[-1]
        sentence = tf.gather(beams.sentence, rows // width)
        history, last, written, progress = tf.nest.map_structure(
            lambda tensor: tf.gather(tf.reshape(tensor, [-1, tf.shape(tensor)[2]]), rows), beams.constraints
        )
        never = forbidden_tokens(tf.range(size), self.model.target_size, length, self.min_length)
        weights = _penalized(p, history, constraints.repetition_penalty)
        pairs, spaces = constraints.banned.forbidden(sentence, last)
        room = tf.gather(beams.max_length, rows // width) - length
        must_end = progress.must_end(tf.gather(constraints.required.length, sentence), room)
        glued = tf.logical_and(must_end[:, tf.newaxis], constraints.texts.begins_joined)
        wrong = tf.pad(tf.logical_or(spaces, glued), [[0, 0], [0, size - self.model.target_size]])
        weights = tf.where(tf.logical_or(wrong, never), FORBIDDEN, weights)
        in_prefix = constraints.prefix.is_within(sentence, written[:, 0], length)
        is_token = constraints.prefix.is_token(sentence, length)
        pairs = tf.boolean_mask(pairs, ~tf.gather(is_token, pairs[:, 0]))
        repeated = _completing_ngrams(history, constraints.no_repeat_ngram)
        repeated = tf.boolean_mask(repeated, ~tf.gather(in_prefix, repeated[:, 0]))
        unmet = tf.where(~tf.reduce_all(progress.is_met, 1))
        # A source word may replace `<unk>`, and may be banned.
        unknown = tf.where(tf.gather(tf.reduce_any(constraints.banned.member, 1), sentence))
        pairs = tf.concat([pairs, repeated, _with(unmet, EOS), _with(unknown, UNK)], 0)
        weights = tf.tensor_scatter_nd_update(weights, pairs, tf.fill([tf.shape(pairs)[0]], FORBIDDEN))
        return self._forced(weights, sentence, written[:, 0], tf.where(in_prefix), length)

    def _forced(
        self, weights: tf.Tensor, sentence: tf.Tensor, written: tf.Tensor, rows: tf.Tensor, length: tf.Tensor
    ) -> tf.Tensor:
        """Forbids all tokens but those of the prefixes in the rows int64[Q, 1] of weights float32[R, V]."""
        prefix, texts = self.constraints.prefix, self.constraints.texts
        sentence, written, size = tf.gather_nd(sentence, rows), tf.gather_nd(written, rows), weights.shape[1]

        def only_prefix() -> tf.Tensor:
            allowed = prefix.forced(texts, sentence, written, length, size)
            forced = tf.where(allowed, tf.gather_nd(weights, rows), FORBIDDEN)
            return tf.tensor_scatter_nd_update(weights, rows, forced)

        return tf.cond(tf.size(rows) > 0, only_prefix, lambda: weights)


def _with(rows: tf.Tensor, token: int) -> tf.Tensor:
    """Returns pairs int32[Q, 2] of rows int64[Q, 1] and a token."""
    rows = tf.cast(rows, tf.int32)
    return tf.concat([rows, tf.fill(tf.shape(rows), token)], 1)


def _penalized(p: tf.Tensor, history: tf.Tensor, penalty: tf.Tensor) -> tf.Tensor:
    """Raises the probabilities float32[R, V] of the tokens int32[R, T] to a power."""
    rows = tf.broadcast_to(tf.range(tf.shape(p)[0])[:, tf.newaxis], tf.shape(history))
    pairs = tf.reshape(tf.stack([rows, history], -1), [-1, 2])
    return tf.tensor_scatter_nd_update(p, pairs, tf.gather_nd(p, pairs) ** penalty)


def _completing_ngrams(history: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """Finds the tokens that would end n tokens that stand in a history int32[R, T] already.

    Returns:
      Pairs int32[Q, 2] of a row and a token.
    """
    length = tf.shape(history)[1]
    n = tf.where(tf.logical_or(n < 1, n > length), length + 1, n)
    start = tf.range(length + 1 - n)
    windows = tf.gather(history, start[:, tf.newaxis] + tf.range(n - 1), axis=1)
    is_equal = tf.reduce_all(tf.equal(windows, history[:, tf.newaxis, length + 1 - n :]), -1)
    found = tf.where(is_equal)
    token = tf.gather_nd(history[:, n - 1 :], found)
    return tf.stack([tf.cast(found[:, 0], tf.int32), token], -1)


def _best_tokens(weights: tf.Tensor, count: tf.Tensor, groups: int) -> tf.Tensor:
    """Finds the tokens int32[R, count] with the largest weights float32[R, V]; see `continuations`."""
    grouped = tf.reshape(weights, [-1, groups, GROUP_SIZE])
    _, group = tf.math.top_k(tf.reduce_max(grouped, 2), tf.minimum(count, groups))
    columns = tf.shape(group)[1] * GROUP_SIZE
    within = tf.reshape(tf.gather(grouped, group, batch_dims=1), [-1, columns])
    _, chosen = tf.math.top_k(within, tf.minimum(count, columns))
    return tf.gather(group, chosen // GROUP_SIZE, batch_dims=1) * GROUP_SIZE + chosen % GROUP_SIZE
