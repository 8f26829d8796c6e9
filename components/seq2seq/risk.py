"""Minimum risk training (Shen et al. 2016): the expected BLEU of the translations that a search finds.

Cross entropy does not tell which of the wrong translations are nearly right, so the translation with the
best score is often not the best of those that a search finds. The risk of a sentence is 1 - BLEU, averaged
over its candidates by their probabilities, as in Edunov et al. (2018): candidates of beam search, and mean
log probabilities per token.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bitext.components.seq2seq.decoding.scoring import NEG_INF
from bitext.components.seq2seq.decoding.search import beam_search
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.memory import Memory
from bitext.components.seq2seq.model import BOS, EOS, PAD, Seq2Seq, count_tokens

MAX_ORDER = 4
"""The longest n-grams of BLEU."""
LENGTH_PENALTY = 1.0
"""That of the search for candidates."""
EXTRA_TOKENS = 5
"""How many tokens longer than its padded reference a candidate may be."""
MIN_PRECISION = 1e-9
"""Precision of a translation without any matching token, so that its logarithm is finite."""


class Candidates(NamedTuple):
    """K translations of each of B sentences.

    Attributes:
      tokens: int32[B, K, T], `</s>` included, padded with 0. A row without tokens is no translation.
      bleu: float32[B, K], 0 to 1.
    """

    tokens: tf.Tensor
    bleu: tf.Tensor


def find_candidates(model: Seq2Seq, source: tf.Tensor, target: tf.Tensor, count: int) -> Candidates:
    """Returns the best translations of each sentence, found without dropout. No gradient flows into them.

    Args:
      model: the model.
      source: int32[B, S].
      target: int32[B, U], the references: `<s>` ... `</s>`, padded with 0.
      count: K, number of translations of each sentence.
    """
    longest = tf.shape(target)[1] + EXTRA_TOKENS
    found = beam_search(model, model.start(source), tf.constant(count), tf.constant(LENGTH_PENALTY), longest)
    tokens = tf.stop_gradient(found.tokens)
    references = tf.repeat(_without_end(target[:, 1:]), count, axis=0)
    bleu = sentence_bleu(_without_end(_rows(tokens)), references)
    return Candidates(tokens, tf.reshape(bleu, tf.shape(tokens)[:2]))


def expected_risk(model: Seq2Seq, source: tf.Tensor, candidates: Candidates, dropout: Dropout) -> tf.Tensor:
    """Returns the risk float32[B] of each sentence: the mean of 1 - BLEU of its candidates, by probability.

    Args:
      model: the model. The gradient flows through the probabilities of the candidates.
      source: int32[B, S].
      candidates: those of each sentence.
      dropout: of this forward pass. The candidates of a sentence read one encoding.
    """
    rows, shape = _rows(candidates.tokens), tf.shape(candidates.bleu)

    def for_each_candidate(tensor: tf.Tensor) -> tf.Tensor:
        return tf.repeat(tensor, shape[1], axis=0)

    start = model.start(source, dropout)
    memory = Memory(*map(for_each_candidate, start.memory))
    state = tf.nest.map_structure(for_each_candidate, start.state)
    inputs = tf.concat([tf.fill([tf.shape(rows)[0], 1], BOS), rows[:, :-1]], axis=1)
    vectors, _ = model.unroll(inputs, state, memory, dropout)
    real, lengths = tf.not_equal(rows, PAD), tf.cast(count_tokens(rows), tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.boolean_mask(rows, real), model.logits(tf.boolean_mask(vectors, real))
    )
    log_probs = -tf.math.unsorted_segment_sum(losses, tf.where(real)[:, 0], tf.size(lengths))
    means = tf.where(lengths > 0, log_probs / tf.maximum(lengths, 1.0), NEG_INF)
    probabilities = tf.nn.softmax(tf.reshape(means, shape))
    return tf.reduce_sum(probabilities * (1.0 - candidates.bleu), axis=1)


def sentence_bleu(candidates: tf.Tensor, references: tf.Tensor) -> tf.Tensor:
    """Returns BLEU of each row, from 0 to 1, on tokens.

    From n-grams of two tokens on, 1 is added to the matches and to the number of n-grams (Lin and Och 2004,
    sacreBLEU's `add-k`), so that a sentence without a match of four tokens has a BLEU above 0.

    Args:
      candidates: int32[R, T], padded with 0, without `</s>`.
      references: int32[R, U], likewise.

    Returns:
      float32[R].
    """
    # One n-gram fits at least, so that no dimension is negative.
    ends = [[0, 0], [0, MAX_ORDER]]
    candidates, references = tf.pad(candidates, ends), tf.pad(references, ends)
    same = tf.equal(candidates[:, :, tf.newaxis], references[:, tf.newaxis, :])
    repeated = tf.equal(candidates[:, :, tf.newaxis], candidates[:, tf.newaxis, :])
    log_precision = tf.zeros([tf.shape(candidates)[0]])
    for order in range(1, MAX_ORDER + 1):
        # An n-gram is real if its last token is.
        is_gram = [tf.not_equal(ids[:, order - 1 :], PAD) for ids in (candidates, references)]
        in_reference = tf.math.count_nonzero(_grams(same, order) & is_gram[1][:, tf.newaxis, :], axis=2)
        # The number of this n-gram up to and with itself: matches are clipped (Papineni et al. 2002).
        so_far = tf.math.count_nonzero(tf.linalg.band_part(_grams(repeated, order), -1, 0), axis=2)
        matches = _count(is_gram[0] & (so_far <= in_reference))
        added = 0.0 if order == 1 else 1.0
        precision = tf.math.divide_no_nan(matches + added, _count(is_gram[0]) + added)
        log_precision += tf.math.log(tf.maximum(precision, MIN_PRECISION)) / MAX_ORDER
    lengths = [_count(tf.not_equal(ids, PAD)) for ids in (candidates, references)]
    brevity_penalty = tf.minimum(0.0, 1.0 - lengths[1] / tf.maximum(lengths[0], 1.0))
    return tf.exp(log_precision + brevity_penalty)


def _grams(same: tf.Tensor, order: int) -> tf.Tensor:
    """Whether n-grams are the same bool[R, N, M], from whether their first tokens are: bool[R, N', M']."""
    shape = tf.shape(same)[1:] - order + 1
    shifted = [same[:, k : k + shape[0], k : k + shape[1]] for k in range(order)]
    return tf.reduce_all(tf.stack(shifted), axis=0)


def _count(where: tf.Tensor) -> tf.Tensor:
    """The number of true elements in each row of bool[R, N]: float32[R]."""
    return tf.math.count_nonzero(where, axis=1, dtype=tf.float32)


def _rows(tokens: tf.Tensor) -> tf.Tensor:
    """All candidates int32[B * K, T] of int32[B, K, T]."""
    shape = tf.shape(tokens)
    return tf.reshape(tokens, [shape[0] * shape[1], shape[2]])


def _without_end(tokens: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.equal(tokens, EOS), PAD, tokens)
