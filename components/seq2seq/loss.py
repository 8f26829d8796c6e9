"""The training loss: cross entropy over real target tokens, as a sum and a count."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from components.seq2seq.dropout import Dropout
from components.seq2seq.model import PAD, Seq2Seq
from components.seq2seq.search import words_only


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

    Only real positions reach the output layer. Label smoothing (Szegedy et al. 2016, section 7: the target is
    1 - e on the label plus e spread evenly over the vocabulary) costs no further array of [tokens,
    vocabulary]: smoothed = cross entropy + e (logit of the label - mean logit), and both are products on the
    narrow side.

    Args:
      source: int32[B, S].
      target: int32[B, T], `<s>` ... `</s>`, padded with 0.
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
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model.logits(vectors))
    cross_entropy = tf.reduce_sum(losses)
    smoothed = cross_entropy
    if label_smoothing:
        table, bias = model.output_embedding.value, model.output_bias.value
        contrast = tf.gather(table, labels) - tf.reduce_mean(table, 0)
        gap = tf.reduce_sum(vectors * contrast, -1) + tf.gather(bias, labels) - tf.reduce_mean(bias)
        smoothed += label_smoothing * tf.reduce_sum(gap)
    return Loss(smoothed, cross_entropy, tf.cast(tf.size(labels), tf.float32))


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
    logits += words_only(model.target_size)
    drawn = tf.random.stateless_categorical(logits, 1, dropout.draw(), tf.int32)
    guesses = tf.reshape(drawn, tf.shape(fed))[:, :-1]
    chances = tf.random.stateless_uniform(tf.shape(guesses), dropout.draw())
    true = fed[:, 1:]
    mixed = tf.where(tf.logical_and(chances < rate, tf.not_equal(true, PAD)), guesses, true)
    return tf.stop_gradient(tf.concat([fed[:, :1], mixed], 1))
