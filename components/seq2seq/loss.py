"""The training loss: cross entropy over real target tokens, as a sum and a count."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from bitext.components.seq2seq.decoding.search import LEAST_PROBABILITY, NEVER, refused
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.model import PAD, Seq2Seq


@dataclasses.dataclass(frozen=True)
class Loss:
    """Sums over the batch's real target tokens; divide by `tokens` for means.

    Attributes:
      smoothed: float32[], label-smoothed cross entropy in nats, what is minimised.
      cross_entropy: float32[], plain cross entropy in nats.
      tokens: float32[], real target tokens, `</s>` included.
    """

    smoothed: tf.Tensor
    cross_entropy: tf.Tensor
    tokens: tf.Tensor


def masked_loss(
    model: Seq2Seq,
    source: tf.Tensor,
    target: tf.Tensor,
    label_smoothing: float,
    dropout: Dropout,
    sampling: tf.Tensor | None = None,
) -> Loss:
    """Teacher-forced loss of a batch.

    Only real positions reach the output layer.

    Args:
      source: int32[B, S].
      target: int32[B, T], `<s>` ... `</s>`, padded with 0.
      label_smoothing: share of the target distribution spread over the vocabulary.
      dropout: of this pass.
      sampling: float32[], the probability that a token fed is the model's own guess (`own_guesses`); None:
        never, which is teacher forcing.
    """
    fed = target[:, :-1]
    if sampling is not None:
        fed = own_guesses(model, source, fed, sampling, dropout)
    vectors, _ = model.teacher_force(source, fed, dropout)
    labels = target[:, 1:]
    real = tf.not_equal(labels, PAD)
    vectors, labels = tf.boolean_mask(vectors, real), tf.boolean_mask(labels, real)
    table, bias = model.output_embedding.value, model.output_bias.value
    smoothed, cross_entropy = smoothed_cross_entropy(vectors, table, bias, labels, label_smoothing)
    return Loss(smoothed, cross_entropy, tf.cast(tf.size(labels), tf.float32))


def smoothed_cross_entropy(
    vectors: tf.Tensor, table: tf.Variable, bias: tf.Variable, labels: tf.Tensor, smoothing: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross entropy of softmax(vectors @ table^T + bias), summed over N tokens, with and without smoothing.

    Label smoothing (Szegedy et al. 2016, section 7): the target is 1 - e on the label plus e spread evenly
    over the vocabulary, so that smoothed = cross entropy + e (logit of the label - mean logit).

    Of all that is N wide and V long there are the logits and their softmax alone, each written once. What
    belongs to the labels, in the losses and in the gradient p - target, is done on the narrow side of the
    products, and so is the factor the gradient comes with.

    Args:
      vectors: float32[N, D].
      table: float32[V, D].
      bias: float32[V].
      labels: int32[N].
      smoothing: e.

    Returns:
      float32[] twice, in nats. Only the first has a gradient.
    """

    @tf.custom_gradient
    def sums(
        vectors: tf.Tensor, table: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable[..., tuple[tf.Tensor, ...]]]:
        p = tf.nn.softmax(tf.matmul(vectors, table, transpose_b=True) + bias)
        rows = tf.gather(table, labels)
        likely = tf.maximum(tf.gather(p, labels, batch_dims=1), LEAST_PROBABILITY)
        cross_entropy = -tf.reduce_sum(tf.math.log(likely))
        mean_row, total = _sum_of_rows(table) / tf.cast(tf.shape(bias)[0], tf.float32), _sum_of_rows(vectors)
        counts = tf.math.bincount(labels, minlength=tf.shape(bias)[0], dtype=tf.float32)
        gold = tf.reduce_sum(vectors * rows) + tf.tensordot(counts, bias, 1)
        tokens = tf.cast(tf.size(labels), tf.float32)
        mean = tf.tensordot(total, mean_row, 1) + tokens * tf.reduce_mean(bias)

        def gradient(d: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, ...]:
            scaled, sure = d * vectors, 1.0 - smoothing
            spread = smoothing / tf.cast(tf.shape(bias)[0], tf.float32)
            d_vectors = d * (tf.matmul(p, table) - sure * rows - smoothing * mean_row)
            d_table = tf.matmul(p, scaled, transpose_a=True) - d * spread * total
            d_table = tf.tensor_scatter_nd_sub(d_table, labels[:, tf.newaxis], sure * scaled)
            d_bias = d * (_sum_of_rows(p) - sure * counts - spread * tokens)
            return d_vectors, d_table, d_bias

        return (cross_entropy + smoothing * (gold - mean), cross_entropy), gradient

    smoothed, cross_entropy = sums(vectors, tf.convert_to_tensor(table), tf.convert_to_tensor(bias))
    return smoothed, tf.stop_gradient(cross_entropy)


def _sum_of_rows(matrix: tf.Tensor) -> tf.Tensor:
    """`tf.reduce_sum(matrix, 0)`, by the kernel that takes half of the time."""
    return tf.raw_ops.BiasAddGrad(out_backprop=matrix)


def own_guesses(
    model: Seq2Seq, source: tf.Tensor, fed: tf.Tensor, rate: tf.Tensor, dropout: Dropout
) -> tf.Tensor:
    """Tokens to feed, a share `rate` of them drawn from what the model, fed the true ones, expects there.

    Parallel scheduled sampling (Duckworth et al. 2019, with one pass): all guesses of a sentence are made at
    once, so that the decoder's loop stays as it is. `<s>` and padding are never replaced, and nothing is
    replaced by a special that no search feeds.

    Args:
      source: int32[B, S].
      fed: int32[B, T], `<s>` and the true tokens after it.
      rate: float32[].

    Returns:
      int32[B, T].
    """
    vectors, _ = model.teacher_force(source, fed, dropout)
    logits = model.logits(tf.reshape(vectors, [-1, vectors.shape[-1]]))
    size = model.target_size
    logits = tf.where(refused(tf.range(size), size, length=0, min_length=1), NEVER, logits)
    drawn = tf.random.stateless_categorical(logits, 1, dropout.draw(), tf.int32)
    guesses = tf.reshape(drawn, tf.shape(fed))[:, :-1]
    chances = tf.random.stateless_uniform(tf.shape(guesses), dropout.draw())
    true = fed[:, 1:]
    mixed = tf.where(tf.logical_and(chances < rate, tf.not_equal(true, PAD)), guesses, true)
    return tf.stop_gradient(tf.concat([fed[:, :1], mixed], 1))
