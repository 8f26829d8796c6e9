"""The model of TensorFlow's tutorial "Neural machine translation with attention", in a plain Keras loop.

As the tutorial has it: embedding and GRUs of 256 units, the encoder's bidirectional and summed, one head of
attention over it, added and layer-normalised; batches of 64 random pairs padded to their longest, Adam at
1e-3, `model.fit`; greedy translation. Better than the tutorial has it: our subwords in place of the 5,000
most frequent words, translation in the graph, and its validations are not on its clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

UNITS, BATCH, LONGEST = 256, 64, 60
PAD, BOS, EOS = 0, 1, 2
Translate = Callable[[tf.Tensor], tf.Tensor]
"""Sources int32[B, S] to translations int32[B, T]."""


class CrossAttention(keras.layers.Layer):
    """What the decoder sees of the encoder: float32[B, T, U] and float32[B, S, U] -> float32[B, T, U]."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(num_heads=1, key_dim=UNITS)
        self.norm, self.add = keras.layers.LayerNormalization(), keras.layers.Add()

    def call(self, x: tf.Tensor, memory: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """`real` bool[B, S] is true on tokens of the source."""
        seen = self.attention(query=x, value=memory, attention_mask=real[:, tf.newaxis])
        return self.norm(self.add([x, seen]))


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
        """int32[B, S] -> float32[B, S, U], bool[B, S]."""
        real = tf.not_equal(source, PAD)
        return self.encoder(self.source(source), mask=real), real

    def decode(self, memory: tf.Tensor, real: tf.Tensor, tokens: tf.Tensor, state: Any) -> tuple[Any, Any]:
        """int32[B, T] -> logits float32[B, T, V], state."""
        x, state = self.rnn(self.target(tokens), initial_state=state, mask=tf.not_equal(tokens, PAD))
        return self.output_layer(self.attention(x, memory, real)), state

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Teacher-forced logits float32[B, T, V]."""
        source, tokens = inputs
        return self.decode(*self.encode(source), tokens, None)[0]

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def translate(self, source: tf.Tensor) -> tf.Tensor:
        """Greedy: int32[B, S] -> int32[B, T], what follows `</s>` as it comes."""
        memory, real = self.encode(source)
        rows = tf.shape(source)[0]
        token, state = tf.fill([rows], BOS), tf.zeros([rows, UNITS])
        found = tf.TensorArray(tf.int32, LONGEST)
        ended = tf.zeros([rows], tf.bool)
        taken = 0
        for t in tf.range(LONGEST):
            if not tf.reduce_all(ended):
                logits, state = self.decode(memory, real, token[:, tf.newaxis], state)
                token = tf.argmax(logits[:, 0], -1, tf.int32)
                state = tf.ensure_shape(state, [None, UNITS])
                found = found.write(t, token)
                ended |= tf.equal(token, EOS)
                taken = t + 1
        return tf.transpose(found.stack()[:taken])


def masked_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The tutorial's: the mean cross entropy over real positions."""
    labels = tf.cast(labels, tf.int32)  # Keras makes numbers of them
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    real = tf.cast(tf.not_equal(labels, PAD), each.dtype)
    return tf.reduce_sum(each * real) / tf.reduce_sum(real)


def curve(
    source: list[list[int]],
    target: list[list[int]],
    sizes: tuple[int, int],
    validate: Callable[[Translate], float],
    seconds: float,
) -> Iterator[tuple[float, float]]:
    """Trains epoch after epoch, from random weights.

    Args:
      source, target: the pairs' ids, with `</s>`.
      sizes: of the source's and of the target's vocabulary.
      validate: from a function int32[B, S] -> int32[B, T] to its BLEU.
      seconds: of training, after which no further epoch begins.

    Yields:
      Seconds of training so far, and the BLEU then.
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
    taken = 0.0
    while taken < seconds:
        begun = time.perf_counter()
        model.fit(batches, verbose=0)
        taken += time.perf_counter() - begun
        yield taken, validate(model.translate)


def cut(ids: np.ndarray) -> np.ndarray:
    """int32[B, T] with everything from the first `</s>` on as padding."""
    return np.where(np.cumsum(ids == EOS, 1) > 0, PAD, ids)
