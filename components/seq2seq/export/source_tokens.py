"""Checks of the signature `encode_tokens`, whose client tokenizes by itself."""

from __future__ import annotations

import tensorflow as tf

from bitext.components.seq2seq.export.requests import RequestChecks, check, equal, none_of
from bitext.components.seq2seq.model import EOS, PAD, UNK


def checked(
    checks: RequestChecks, tokens: tf.Tensor, length: tf.Tensor, vocabulary: int, max_length: int
) -> tf.Tensor:
    """Checks source tokens and replaces what follows each sentence by padding.

    Args:
      checks: the checks of the signatures.
      tokens: int32[B, S].
      length: int32[B], number of tokens of each sentence, `</s>` included. What follows them is ignored.
      vocabulary: V, number of source tokens.
      max_length: the most tokens that the model reads.

    Returns:
      int32[B, S], padded with 0. An empty batch has a column.

    Raises:
      tf.errors.InvalidArgumentError: when the graph runs and an input is not valid.
    """
    rows, columns = tf.unstack(tf.shape(tokens))
    most = checks.limits.batch_size
    sizes = [
        check("tokens", rows <= most, f"must have at most {most:,} rows", rows),
        equal("length", tf.size(length), rows, "must have as many rows as tokens"),
        *checks.tokens("tokens", tokens),
    ]
    with tf.control_dependencies(sizes):
        is_token = tf.sequence_mask(length, columns)
        is_last = tf.equal(tf.range(columns)[tf.newaxis], length[:, tf.newaxis] - 1)
    is_word = tf.logical_and(tokens >= UNK, tokens < vocabulary)
    is_valid = tf.where(is_last, tf.equal(tokens, EOS), tf.logical_or(is_word, tf.logical_not(is_token)))
    token_rule = (
        f"must be tokens from {UNK} to {vocabulary - 1:,}, and {EOS} (</s>) at the end of each sentence"
    )
    outside = tf.logical_or(length < 1, length > tf.minimum(columns, max_length))
    length_rule = f"must be from 1 to the columns of tokens, and at most {max_length:,}"
    values = [
        none_of("length", length, outside, length_rule),
        none_of("tokens", tokens, tf.logical_not(is_valid), token_rule),
    ]
    with tf.control_dependencies(values):
        tokens = tf.where(is_token, tokens, PAD)
    return tf.pad(tokens, [[0, 0], [0, tf.cast(tf.equal(columns, 0), tf.int32)]])
