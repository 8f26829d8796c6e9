"""Luong attention, for many queries at once: all target positions in training, all beams in search."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from components.seq2seq import ModelSettings
from components.seq2seq.encoder import Encoded


@dataclasses.dataclass(frozen=True)
class Memory:
    """What the decoder attends to; made once a sentence.

    Attributes:
      values: float32[B, S, E], the encoder's outputs.
      keys: float32[B, S, Q], the values as the queries are compared with them.
      mask: bool[B, S], true on real tokens.
    """

    values: tf.Tensor
    keys: tf.Tensor
    mask: tf.Tensor


class LuongAttention(keras.layers.Layer):
    """Multiplicative attention (Luong et al. 2015, section 3.1): `dot`, `scaled` or `general` scores."""

    def __init__(self, settings: ModelSettings):
        super().__init__(name="attention")
        self.kind = settings.attention
        self.scale = settings.decoder_units**-0.5 if self.kind == "scaled" else 1.0
        if self.kind == "general":
            self.key_kernel = self.add_weight(
                name="key_kernel",
                shape=(settings.encoder_units, settings.decoder_units),
                initializer="glorot_uniform",
            )

    def remember(self, encoded: Encoded) -> Memory:
        """Projects the keys, once a sentence."""
        keys = encoded.outputs
        if self.kind == "general":
            keys = tf.einsum("bse,eq->bsq", keys, self.key_kernel)
        return Memory(encoded.outputs, keys, encoded.mask)

    def align(self, queries: tf.Tensor, memory: Memory) -> tf.Tensor:
        """Alignments float32[B, N, S] of queries float32[B, N, Q]: each row sums to one over real tokens and
        is zero on padding; a row of a sentence with no real token is all zeros."""
        scores = tf.matmul(queries, memory.keys, transpose_b=True) * self.scale
        real = tf.cast(memory.mask, tf.float32)[:, tf.newaxis, :]
        return tf.nn.softmax(scores + (real - 1.0) * 1e9) * real

    @staticmethod
    def read(alignment: tf.Tensor, memory: Memory) -> tf.Tensor:
        """Context vectors float32[B, N, E]: the memory's values weighed by the alignment."""
        return tf.matmul(alignment, memory.values)
