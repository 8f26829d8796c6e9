"""Models that are small enough for comparisons with NumPy and exhaustive search."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.decoders.base import Decoder
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.loss import Loss, masked_loss
from bitext.components.seq2seq.model import BOS, EOS, PAD, Seq2Seq

VOCABULARY = 12
SETTINGS = ModelSettings(
    embedding_units=6,
    encoder_units=8,
    decoder_units=8,
    attention_heads=1,
    embedding_dropout=0.0,
    layer_dropout=0.0,
    output_dropout=0.0,
)


def initialize(
    settings: ModelSettings, source_size: int, target_size: int, shared: bool = True, seed: int = 1
) -> Seq2Seq:
    """Returns a model with the initial weights of a training with this seed."""
    keras.utils.set_random_seed(seed)
    return Seq2Seq(settings, source_size, target_size, shared)


def build(
    settings: ModelSettings = SETTINGS,
    vocabulary: int = VOCABULARY,
    source_vocabulary: int | None = None,
    seed: int = 1,
    eos_bias: float = 0.0,
    make_decoder: Callable[[ModelSettings], Decoder] | None = None,
) -> Seq2Seq:
    """Returns a model with large weights, so that its distributions are far from uniform.

    Both sides share one embedding unless `source_vocabulary` is given.
    """
    shared = source_vocabulary is None
    model = Seq2Seq(settings, source_vocabulary or vocabulary, vocabulary, shared, make_decoder)
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0.0, 0.7, variable.shape))
    bias = random.normal(0.0, 0.3, vocabulary)
    bias[EOS] += eos_bias
    model.output_bias.assign(bias)
    return model


def padded(rows: list[list[int]], width: int | None = None) -> tf.Tensor:
    """Pads rows of tokens on the right: int32[B, width]."""
    width = width or max(map(len, rows))
    return tf.constant([row + [PAD] * (width - len(row)) for row in rows], tf.int32)


def sources(random: np.random.Generator, count: int, longest: int = 5) -> list[list[int]]:
    """Draws random source sentences with `</s>`."""
    return [
        [*random.integers(4, VOCABULARY, random.integers(0, longest)).tolist(), EOS] for _ in range(count)
    ]


def targets(random: np.random.Generator, count: int, longest: int = 5) -> list[list[int]]:
    """Draws random target sentences from `<s>` to `</s>`."""
    return [[BOS, *row] for row in sources(random, count, longest)]


def loss_and_gradients(
    model: Seq2Seq, source: tf.Tensor, target: tf.Tensor, label_smoothing: float = 0.0
) -> tuple[Loss, list[tf.Tensor]]:
    """Computes the loss of a training step and the gradients of all weights."""
    variables = [v.value for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        # The seed makes this a training step, which uses the custom gradients, even if all rates are 0.
        loss = masked_loss(model, source, target, label_smoothing, Dropout(tf.constant([1, 2])))
    return loss, [tf.convert_to_tensor(g) for g in tape.gradient(loss.smoothed, variables)]
