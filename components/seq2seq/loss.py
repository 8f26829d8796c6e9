"""The training loss: cross entropy over real target tokens, as a sum and a count."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bitext.components.seq2seq.decoding.scoring import MIN_PROBABILITY, NEG_INF, forbidden_tokens
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.model import PAD, Seq2Seq


@dataclasses.dataclass(frozen=True)
class Loss:
    """Sums over the real target tokens of a batch; divide by `tokens` for means.

    Attributes:
      smoothed: float32[], label-smoothed cross entropy in nats, which training minimizes.
      cross_entropy: float32[], plain cross entropy in nats.
      tokens: float32[], number of real target tokens, `</s>` included.
    """

    smoothed: tf.Tensor
    cross_entropy: tf.Tensor
    tokens: tf.Tensor


class SoftTargets(NamedTuple):
    """What another model predicts for the same target tokens.

    Attributes:
      probabilities: float32[N, V], of each of the N real target tokens, in the order of the batch.
      weight: float32[], weight of the cross entropy with them.
    """

    probabilities: tf.Tensor
    weight: tf.Tensor


def masked_loss(
    model: Seq2Seq,
    source: tf.Tensor,
    target: tf.Tensor,
    label_smoothing: float,
    dropout: Dropout,
    sampling_rate: tf.Tensor | None = None,
    soft_targets: SoftTargets | None = None,
) -> Loss:
    """Computes the loss of a batch. Only real target positions reach the output layer.

    Args:
      model: the model.
      source: int32[B, S].
      target: int32[B, T], `<s>` ... `</s>`, padded with 0.
      label_smoothing: share of the target distribution that is spread over the vocabulary.
      dropout: of this forward pass.
      sampling_rate: float32[], the probability that the decoder reads a token that the model predicts instead
        of the true one (`scheduled_sampling`); None: teacher forcing.
      soft_targets: predictions that the model's are to be near to; None: only the target counts.
    """
    inputs = target[:, :-1]
    if sampling_rate is not None:
        inputs = scheduled_sampling(model, source, inputs, sampling_rate, dropout)
    vectors, _ = model.teacher_force(source, inputs, dropout)
    labels = target[:, 1:]
    real = tf.not_equal(labels, PAD)
    vectors, labels = tf.boolean_mask(vectors, real), tf.boolean_mask(labels, real)
    table, bias = model.output_embedding.value, model.output_bias.value
    smoothed, cross_entropy = smoothed_cross_entropy(
        vectors, table, bias, labels, label_smoothing, soft_targets
    )
    return Loss(smoothed, cross_entropy, tf.cast(tf.size(labels), tf.float32))


def predictions(model: Seq2Seq, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Returns what a model without dropout predicts for the real target tokens: float32[N, V].

    Args:
      model: the model. No gradient flows into it.
      source: int32[B, S].
      target: int32[B, T], `<s>` ... `</s>`, padded with 0.
    """
    vectors, _ = model.teacher_force(source, target[:, :-1])
    vectors = tf.boolean_mask(vectors, tf.not_equal(target[:, 1:], PAD))
    return tf.stop_gradient(tf.nn.softmax(model.logits(vectors)))


def smoothed_cross_entropy(
    vectors: tf.Tensor,
    table: tf.Variable,
    bias: tf.Variable,
    labels: tf.Tensor,
    smoothing: float,
    soft: SoftTargets | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross entropy of softmax(vectors @ table^T + bias), summed over N tokens, with and without smoothing.

    With label smoothing (Szegedy et al. 2016, section 7), the target distribution is 1 - e on the label plus
    e spread evenly over the vocabulary, so that smoothed = cross entropy + e (logit of the label - mean
    logit). The cross entropy of soft targets, times their weight, is added; its gradient is that of the
    Kullback-Leibler divergence. The gradient is written by hand: only logits, softmax and soft targets have
    the shape [N, V]. The terms of the labels and the upstream gradient are applied to arrays [N, D].

    Args:
      vectors: float32[N, D].
      table: float32[V, D].
      bias: float32[V].
      labels: int32[N].
      smoothing: e, between 0 and 1.
      soft: the soft targets; None: none.

    Returns:
      Smoothed and plain cross entropy, float32[] each, in nats. Only the first has a gradient.
    """

    @tf.custom_gradient
    def sums(
        vectors: tf.Tensor, table: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable[..., tuple[tf.Tensor, ...]]]:
        p = tf.nn.softmax(tf.matmul(vectors, table, transpose_b=True) + bias)
        label_rows = tf.gather(table, labels)
        label_p = tf.maximum(tf.gather(p, labels, batch_dims=1), MIN_PROBABILITY)
        cross_entropy = -tf.reduce_sum(tf.math.log(label_p))
        mean_row, vector_sum = _sum_rows(table) / tf.cast(tf.shape(bias)[0], tf.float32), _sum_rows(vectors)
        label_counts = tf.math.bincount(labels, minlength=tf.shape(bias)[0], dtype=tf.float32)
        label_logits = tf.reduce_sum(vectors * label_rows) + tf.tensordot(label_counts, bias, 1)
        tokens = tf.cast(tf.size(labels), tf.float32)
        mean_logits = tf.tensordot(vector_sum, mean_row, 1) + tokens * tf.reduce_mean(bias)
        smoothed = cross_entropy + smoothing * (label_logits - mean_logits)
        if soft is not None:
            smoothed += soft.weight * _soft_cross_entropy(soft.probabilities, p)
        # The gradient of the logits, without the terms of the labels.
        excess = p if soft is None else p + soft.weight * (p - soft.probabilities)

        def gradient(d: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, ...]:
            scaled_vectors, label_share = d * vectors, 1.0 - smoothing
            word_share = smoothing / tf.cast(tf.shape(bias)[0], tf.float32)
            d_vectors = d * (tf.matmul(excess, table) - label_share * label_rows - smoothing * mean_row)
            d_table = tf.matmul(excess, scaled_vectors, transpose_a=True) - d * word_share * vector_sum
            d_table = tf.tensor_scatter_nd_sub(d_table, labels[:, tf.newaxis], label_share * scaled_vectors)
            d_bias = d * (_sum_rows(excess) - label_share * label_counts - word_share * tokens)
            return d_vectors, d_table, d_bias

        return (smoothed, cross_entropy), gradient

    smoothed, cross_entropy = sums(vectors, tf.convert_to_tensor(table), tf.convert_to_tensor(bias))
    return smoothed, tf.stop_gradient(cross_entropy)


def _soft_cross_entropy(targets: tf.Tensor, p: tf.Tensor) -> tf.Tensor:
    """Cross entropy float32[] of distributions float32[N, V], summed over N, in nats."""
    return -tf.reduce_sum(targets * tf.math.log(tf.maximum(p, MIN_PROBABILITY)))


def _sum_rows(matrix: tf.Tensor) -> tf.Tensor:
    """`tf.reduce_sum(matrix, 0)`, by a faster kernel (docs/performance.md)."""
    return tf.raw_ops.BiasAddGrad(out_backprop=matrix)


def scheduled_sampling(
    model: Seq2Seq, source: tf.Tensor, inputs: tf.Tensor, rate: tf.Tensor, dropout: Dropout
) -> tf.Tensor:
    """Replaces a share `rate` of the decoder's inputs by tokens sampled from the model's predictions.

    This is parallel scheduled sampling (Duckworth et al. 2019) with one pass: all tokens of a sentence are
    sampled at once, from the predictions after the true tokens, so that the decoder's loop stays the same.
    `<s>` and padding are never replaced. A replacement is never padding, `<s>` or `</s>`.

    Args:
      model: the model.
      source: int32[B, S].
      inputs: int32[B, T], `<s>` and the true tokens after it.
      rate: float32[], share of the tokens.
      dropout: of this forward pass.

    Returns:
      int32[B, T], the decoder's inputs.
    """
    vectors, _ = model.teacher_force(source, inputs, dropout)
    logits = model.logits(tf.reshape(vectors, [-1, vectors.shape[-1]]))
    size = model.target_size
    logits = tf.where(forbidden_tokens(tf.range(size), size, length=0, min_length=1), NEG_INF, logits)
    sampled = tf.random.stateless_categorical(logits, 1, dropout.next_seed(), tf.int32)
    predictions = tf.reshape(sampled, tf.shape(inputs))[:, :-1]
    draws = tf.random.stateless_uniform(tf.shape(predictions), dropout.next_seed())
    true = inputs[:, 1:]
    mixed = tf.where(tf.logical_and(draws < rate, tf.not_equal(true, PAD)), predictions, true)
    return tf.stop_gradient(tf.concat([inputs[:, :1], mixed], 1))
