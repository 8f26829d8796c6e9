"""The model of TensorFlow's tutorial "Neural machine translation with attention", trained by Keras.

As in the tutorial: embedding and GRUs of 256 units, a bidirectional encoder with summed directions, one
attention head with a residual connection and layer normalization, batches of 64 random pairs padded to the
longest, Adam with learning rate 1e-3, `model.fit`, greedy search. Better than in the tutorial: this project's
subwords instead of the 5,000 most frequent words, translation in the graph, and time without validations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

UNITS, BATCH, MAX_LENGTH = 256, 64, 60
PAD, BOS, EOS = 0, 1, 2
Translate = Callable[[tf.Tensor], tf.Tensor]
"""A function from sources int32[B, S] to translations int32[B, T]."""


class CrossAttention(keras.layers.Layer):
    """The decoder's attention: float32[B, T, U] and float32[B, S, U] -> float32[B, T, U]."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(num_heads=1, key_dim=UNITS)
        self.norm, self.add = keras.layers.LayerNormalization(), keras.layers.Add()

    def call(self, x: tf.Tensor, memory: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Applies the attention. `mask` bool[B, S] is true for source tokens and false for padding."""
        context = self.attention(query=x, value=memory, attention_mask=mask[:, tf.newaxis])
        return self.norm(self.add([x, context]))


class Translator(keras.Model):
    """The tutorial's encoder and decoder."""

    def __init__(self, source_size: int, target_size: int):
        super().__init__()
        self.source = keras.layers.Embedding(source_size, UNITS, mask_zero=True)
        self.encoder = keras.layers.Bidirectional(keras.layers.GRU(UNITS, return_sequences=True), "sum")
        self.target = keras.layers.Embedding(target_size, UNITS, mask_zero=True)
        self.rnn = keras.layers.GRU(UNITS, return_sequences=True, return_state=True)
        self.attention = CrossAttention()
        self.output_layer = keras.layers.Dense(target_size)

    def encode(self, source: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes sources int32[B, S]. Returns memory float32[B, S, U] and mask bool[B, S]."""
        mask = tf.not_equal(source, PAD)
        return self.encoder(self.source(source), mask=mask), mask

    def decode(self, memory: tf.Tensor, mask: tf.Tensor, tokens: tf.Tensor, state: Any) -> tuple[Any, Any]:
        """Decodes tokens int32[B, T]. Returns logits float32[B, T, V] and the new state float32[B, U]."""
        x, state = self.rnn(self.target(tokens), initial_state=state, mask=tf.not_equal(tokens, PAD))
        return self.output_layer(self.attention(x, memory, mask)), state

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Returns logits float32[B, T, V] with teacher forcing."""
        source, tokens = inputs
        return self.decode(*self.encode(source), tokens, None)[0]

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def translate(self, source: tf.Tensor) -> tf.Tensor:
        """Translates int32[B, S] to int32[B, T] by greedy search. Tokens after `</s>` are undefined."""
        memory, mask = self.encode(source)
        rows = tf.shape(source)[0]
        token, state = tf.fill([rows], BOS), tf.zeros([rows, UNITS])
        tokens = tf.TensorArray(tf.int32, MAX_LENGTH)
        ended = tf.zeros([rows], tf.bool)
        length = 0
        for t in tf.range(MAX_LENGTH):
            if not tf.reduce_all(ended):
                logits, state = self.decode(memory, mask, token[:, tf.newaxis], state)
                token = tf.argmax(logits[:, 0], -1, tf.int32)
                state = tf.ensure_shape(state, [None, UNITS])
                tokens = tokens.write(t, token)
                ended |= tf.equal(token, EOS)
                length = t + 1
        return tf.transpose(tokens.stack()[:length])


def masked_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the tutorial's loss: the mean cross entropy of the tokens, without padding."""
    labels = tf.cast(labels, tf.int32)  # Keras converts labels to float
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    mask = tf.cast(tf.not_equal(labels, PAD), cross_entropy.dtype)
    return tf.reduce_sum(cross_entropy * mask) / tf.reduce_sum(mask)


def learning_curve(
    source: list[list[int]],
    target: list[list[int]],
    sizes: tuple[int, int],
    validate: Callable[[Translate], float],
    seconds: float,
) -> Iterator[tuple[float, float]]:
    """Trains from random weights and validates after each epoch.

    Args:
      source: token ids of the sources, with `</s>`.
      target: token ids of the targets, with `</s>`.
      sizes: sizes of the source and the target vocabulary.
      validate: returns the BLEU of a translation function.
      seconds: seconds of training after which no further epoch starts.

    Yields:
      The seconds of training so far, and the BLEU.
    """
    keras.utils.set_random_seed(1)
    model = Translator(*sizes)
    model.compile(optimizer="adam", loss=masked_loss)
    rows = tf.data.Dataset.from_generator(
        lambda: zip(source, [[BOS, *ids] for ids in target], strict=True),
        output_signature=(tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.int32)),
    ).cache()
    batches = (
        rows.shuffle(len(source))
        .padded_batch(BATCH)
        .map(lambda s, t: ((s, t[:, :-1]), t[:, 1:]))
        .prefetch(tf.data.AUTOTUNE)
    )
    trained_seconds = 0.0
    while trained_seconds < seconds:
        start = time.perf_counter()
        model.fit(batches, verbose=0)
        trained_seconds += time.perf_counter() - start
        yield trained_seconds, validate(model.translate)


def cut_at_eos(ids: np.ndarray) -> np.ndarray:
    """Returns token ids int32[B, T] in which the first `</s>` and all later tokens are padding."""
    return np.where(np.cumsum(ids == EOS, 1) > 0, PAD, ids)
