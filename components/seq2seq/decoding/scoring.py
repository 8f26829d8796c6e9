"""What search, sampling and loss share: the scores of hypotheses, and the tokens that none may contain."""

from __future__ import annotations

import tensorflow as tf

from bitext.components.seq2seq.model import BOS, EOS, PAD

NEG_INF = -1.0e9
"""The log probability of what cannot be chosen."""
MIN_COVERAGE = 1e-4
"""Source tokens that are covered less count as covered this much."""
MIN_PROBABILITY = 1e-37
"""Tokens that are less probable count as this probable, so that the logarithm is finite."""


def length_penalty(length: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """((5 + length) / 6) ** alpha (Wu et al. 2016, equation 14): float32 in the shape of `length`."""
    return ((5.0 + tf.cast(length, tf.float32)) / 6.0) ** alpha


def coverage_penalty(coverage: tf.Tensor, mask: tf.Tensor, beta: float) -> tf.Tensor:
    """beta * the sum over source tokens of log(min(coverage, 1)) (Wu et al. 2016, equation 14); never above
    0.

    Args:
      coverage: float32[B, K, S], the sum of each source token's alignments over the hypothesis. Values below
        `MIN_COVERAGE` count as that.
      mask: bool[B, S], true on real tokens.
      beta: weight of the penalty.

    Returns:
      float32[B, K].
    """
    logs = tf.math.log(tf.clip_by_value(coverage, MIN_COVERAGE, 1.0))
    return beta * tf.reduce_sum(logs * tf.cast(mask, tf.float32)[:, tf.newaxis], -1)


def log_probability(probability: tf.Tensor) -> tf.Tensor:
    """The natural logarithm of probabilities float32[...]; that of 0 is finite, too."""
    return tf.math.log(tf.maximum(probability, MIN_PROBABILITY))


def forbidden_tokens(
    tokens: tf.Tensor, vocabulary: int, length: tf.Tensor | int, min_length: tf.Tensor | int
) -> tf.Tensor:
    """Marks the tokens that may not come next: padding, `<s>`, ids beyond the vocabulary, and `</s>` before
    `min_length`.

    Args:
      tokens: int32[...].
      vocabulary: V.
      length: int32[], number of tokens of a hypothesis with one of these, `</s>` included.
      min_length: int32[], minimum number of tokens, `</s>` included.

    Returns:
      bool[...].
    """
    forbidden = tf.logical_or(tf.equal(tokens, PAD), tf.equal(tokens, BOS))
    forbidden = tf.logical_or(forbidden, tokens >= vocabulary)
    return tf.logical_or(forbidden, tf.logical_and(tf.equal(tokens, EOS), length < min_length))
