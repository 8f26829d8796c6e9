"""Attention for many queries at once: all target positions in training, all hypotheses in search."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.layers.cells import multiply
from bitext.components.seq2seq.memory import Encoded, Memory


class Attention(keras.layers.Layer):
    """Attention with one or more heads. Each head reads its own columns of keys, queries and values.

    The layer keeps no state between calls: `project_keys` returns the memory, and `attend` takes it.

    Attributes:
      query_kernel: float32[U, Q], projects hidden states to queries; None: hidden states are the queries.
      key_units: width Q of the keys.
    """

    def __init__(self, settings: ModelSettings):
        super().__init__(name="attention")
        self.heads = settings.attention_heads
        self.query_kernel: keras.Variable | None = None
        self.key_units = settings.decoder_units

    def project_keys(self, encoded: Encoded) -> Memory:
        """Projects the encoder's outputs to keys, once a sentence."""
        return Memory(encoded.values, encoded.outputs, encoded.mask)

    def queries(self, hidden: tf.Tensor) -> tf.Tensor:
        """Queries float32[B, N, Q] of hidden states float32[B, N, U]."""
        return hidden if self.query_kernel is None else multiply(hidden, self.query_kernel)

    def constants(self) -> tuple[tf.Tensor, ...]:
        """Weights that `attend` needs in addition to queries and memory."""
        return ()

    def scores(self, queries: tf.Tensor, keys: tf.Tensor, constants: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """Attention scores float32[B, H, N, S] of H heads.

        Args:
          queries: float32[B, N, Q].
          keys: from `split_heads`.
          constants: the attention's own, from `constants()`.
        """
        raise NotImplementedError

    def split_heads(self, memory: Memory) -> Memory:
        """Splits values and keys into heads, as `attend` reads them.

        Call it once before many calls of `attend`. A memory that is already split is returned unchanged.
        """
        return memory._replace(values=self.split_columns(memory.values), keys=self.split_columns(memory.keys))

    def attend(
        self, queries: tf.Tensor, memory: Memory, constants: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes context vectors and alignments.

        Args:
          queries: float32[B, N, Q].
          memory: split into heads or not.
          constants: the attention's own, from `constants()`.

        Returns:
          Context vectors float32[B, N, C], the means of the values weighted by the alignments, and the
          alignments float32[B, N, S], averaged over the heads. Each row of the alignments sums to one over
          real tokens and is zero on padding; if a sentence has no real token, the row is all zeros.
        """
        values, keys, mask = self.split_heads(memory)
        # Not `[:, tf.newaxis, tf.newaxis]`: TensorFlow Lite has no such operation.
        real = tf.expand_dims(tf.cast(mask, tf.float32)[:, tf.newaxis], 1)
        alignments = tf.nn.softmax(self.scores(queries, keys, constants) + (real - 1.0) * 1e9) * real
        contexts = tf.matmul(alignments, values)
        if self.heads == 1:
            return contexts[:, 0], alignments[:, 0]
        shape = [*tf.unstack(tf.shape(queries)[:2]), self.heads * values.shape[-1]]
        return tf.reshape(tf.transpose(contexts, [0, 2, 1, 3]), shape), tf.reduce_mean(alignments, 1)

    def split_columns(self, tensor: tf.Tensor) -> tf.Tensor:
        """Splits float32[B, N, C] into heads float32[B, H, N, C / H]. Returns a split tensor unchanged."""
        if tensor.shape.rank == 4:
            return tensor
        if self.heads == 1:
            return tensor[:, tf.newaxis]
        shape = [*tf.unstack(tf.shape(tensor)[:2]), self.heads, tensor.shape[-1] // self.heads]
        return tf.transpose(tf.reshape(tensor, shape), [0, 2, 1, 3])


class LuongAttention(Attention):
    """Multiplicative attention with the score `dot`, `general` or `scaled`.

    `dot` and `general`: Luong et al. 2015, section 3.1. `scaled`: `dot` divided by the square root of the
    head's width (Vaswani et al. 2017, section 3.2.1).
    """

    def __init__(self, settings: ModelSettings):
        super().__init__(settings)
        width = settings.decoder_units // settings.attention_heads
        self.scale = width**-0.5 if settings.attention == "scaled" else 1.0
        self.key_kernel: keras.Variable | None = None
        if settings.attention == "general":
            self.key_kernel = self.add_weight(
                name="key_kernel",
                shape=(settings.encoder_units, settings.decoder_units),
                initializer="glorot_uniform",
            )

    def project_keys(self, encoded: Encoded) -> Memory:
        """Projects the keys if the score is `general`."""
        if self.key_kernel is None:
            return super().project_keys(encoded)
        return Memory(encoded.values, multiply(encoded.outputs, self.key_kernel), encoded.mask)

    def scores(self, queries: tf.Tensor, keys: tf.Tensor, constants: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """Inner products of queries and keys."""
        return tf.matmul(self.split_columns(queries), keys, transpose_b=True) * self.scale


class AdditiveAttention(Attention):
    """Additive attention: the score is v . tanh(W query + U key) (Bahdanau et al. 2015, appendix A.1.2)."""

    def __init__(self, settings: ModelSettings):
        super().__init__(settings)
        units = settings.decoder_units
        self.query_kernel = self.add_weight(
            name="query_kernel", shape=(units, units), initializer="glorot_uniform"
        )
        self.key_kernel = self.add_weight(
            name="key_kernel", shape=(settings.encoder_units, units), initializer="glorot_uniform"
        )
        self.vector = self.add_weight(
            name="vector", shape=(units,), initializer=keras.initializers.RandomNormal(stddev=units**-0.5)
        )

    def project_keys(self, encoded: Encoded) -> Memory:
        """Projects the keys."""
        return Memory(encoded.values, multiply(encoded.outputs, self.key_kernel), encoded.mask)

    def split_heads(self, memory: Memory) -> Memory:
        """Splits the values only: `scores` adds queries and keys before it splits the sum."""
        return memory._replace(values=self.split_columns(memory.values))

    def constants(self) -> tuple[tf.Tensor, ...]:
        """The vector v."""
        return (tf.convert_to_tensor(self.vector),)

    def scores(self, queries: tf.Tensor, keys: tf.Tensor, constants: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """Inner products of v and tanh(query + key)."""
        hidden = tf.tanh(queries[:, :, tf.newaxis] + keys[:, tf.newaxis])
        # One product computes the scores of all heads: its matrix [Q, H] has the units of v in the columns of
        # their heads, and zeros elsewhere.
        head_of_unit = np.repeat(np.eye(self.heads, dtype=np.float32), self.key_units // self.heads, axis=0)
        return tf.transpose(multiply(hidden, head_of_unit * constants[0][:, tf.newaxis]), [0, 3, 1, 2])


ATTENTIONS: dict[str, type[Attention]] = {
    "dot": LuongAttention,
    "scaled": LuongAttention,
    "general": LuongAttention,
    "additive": AdditiveAttention,
}
"""The attentions by their name in `ModelSettings.attention`."""


def make_attention(settings: ModelSettings) -> Attention | None:
    """Returns the attention that the settings name; None for `none`."""
    return None if settings.attention == "none" else ATTENTIONS[settings.attention](settings)
