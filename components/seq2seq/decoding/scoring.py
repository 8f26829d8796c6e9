"""Scores of hypotheses and forbidden tokens, for search, sampling and loss."""

from __future__ import annotations

import tensorflow as tf

from bitext.components.seq2seq.model import BOS, EOS, PAD

NEG_INF = -1.0e9
"""Log probability of tokens and hypotheses that must not be chosen. Finite: -inf could give NaN."""
MIN_COVERAGE = 1e-4
"""Lower bound of a source token's coverage, so that its logarithm is finite."""
MIN_PROBABILITY = 1e-37
"""Lower bound of a probability, so that its logarithm is finite."""


def length_penalty(length: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Computes ((5 + length) / 6) ** alpha (Wu et al. 2016, equation 14): float32, shaped like `length`."""
    return ((5.0 + tf.cast(length, tf.float32)) / 6.0) ** alpha


def coverage_penalty(coverage: tf.Tensor, mask: tf.Tensor, beta: float) -> tf.Tensor:
    """Computes beta * the sum over source tokens of log(min(coverage, 1)) (Wu et al. 2016, equation 14).

    The result is never above 0.

    Args:
      coverage: float32[B, K, S], the sum of each source token's alignments over the hypothesis. Lower
        values than `MIN_COVERAGE` are clipped.
      mask: bool[B, S], true on real tokens.
      beta: weight of the penalty.

    Returns:
      float32[B, K].
    """
    logs = tf.math.log(tf.clip_by_value(coverage, MIN_COVERAGE, 1.0))
    return beta * tf.reduce_sum(logs * tf.cast(mask, tf.float32)[:, tf.newaxis], -1)


def log_probability(probability: tf.Tensor) -> tf.Tensor:
    """Computes the natural logarithm of probabilities float32[...], clipped at `MIN_PROBABILITY`."""
    return tf.math.log(tf.maximum(probability, MIN_PROBABILITY))


def forbidden_tokens(
    tokens: tf.Tensor, vocabulary: int, length: tf.Tensor | int, min_length: tf.Tensor | int
) -> tf.Tensor:
    """Marks the tokens that must not come next.

    These are padding, `<s>`, ids beyond the vocabulary, and `</s>` before `min_length`.

    Args:
      tokens: int32[...].
      vocabulary: V, size of the vocabulary.
      length: int32[], number of tokens of a hypothesis that ends with one of `tokens`, `</s>` included.
      min_length: int32[], minimum number of tokens, `</s>` included.

    Returns:
      bool[...].
    """
    forbidden = tf.logical_or(tf.equal(tokens, PAD), tf.equal(tokens, BOS))
    forbidden = tf.logical_or(forbidden, tokens >= vocabulary)
    return tf.logical_or(forbidden, tf.logical_and(tf.equal(tokens, EOS), length < min_length))
