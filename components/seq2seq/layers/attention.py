"""Attention, for many queries at once: all target positions in training, all beams in search."""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.encoders.recurrent import Encoded
from bitext.components.seq2seq.layers.cells import times


class Memory(NamedTuple):
    """What the decoder attends to; made once a sentence.

    Attributes:
      values: float32[B, S, E], the encoder's outputs.
      keys: float32[B, S, Q], the values as the queries are compared with them.
      mask: bool[B, S], true on real tokens.
    """

    values: tf.Tensor
    keys: tf.Tensor
    mask: tf.Tensor


class Attention(keras.layers.Layer):
    """Attention with one head or several, each with its share of the columns of keys, queries and values.

    Attributes:
      query_kernel: float32[U, Q], what hidden states become queries by; None: they are queries as they are.
      key_units: width Q of the keys.
    """

    def __init__(self, settings: ModelSettings):
        super().__init__(name="attention")
        self.heads = settings.attention_heads
        self.query_kernel: keras.Variable | None = None
        self.key_units = settings.decoder_units

    def remember(self, encoded: Encoded) -> Memory:
        """Projects the keys, once a sentence."""
        return Memory(encoded.outputs, encoded.outputs, encoded.mask)

    def queries(self, hidden: tf.Tensor) -> tf.Tensor:
        """Queries float32[B, N, Q] of hidden states float32[B, N, U]."""
        return hidden if self.query_kernel is None else times(hidden, self.query_kernel)

    def constants(self) -> tuple[tf.Tensor, ...]:
        """What `attend` needs beside queries and memory."""
        return ()

    def scores(self, queries: tf.Tensor, keys: tf.Tensor, constants: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """How well queries float32[B, N, Q] and keys, laid out, fit: float32[B, H, N, S], H heads."""
        raise NotImplementedError

    def laid_out(self, memory: Memory) -> Memory:
        """The memory with the heads' shares of values and keys apart, as `attend` looks at it: where one is
        attended to again and again, done once. A memory that is laid out stays as it is."""
        return memory._replace(values=self.split(memory.values), keys=self.split(memory.keys))

    def attend(
        self, queries: tf.Tensor, memory: Memory, constants: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What the queries find in the memory.

        Args:
          queries: float32[B, N, Q].
          memory: laid out or not.
          constants: the attention's own, from `constants()`.

        Returns:
          Context vectors float32[B, N, E], the values weighed by the alignments, and the alignments
          float32[B, N, S], the mean of the heads': each row sums to one over real tokens and is zero on
          padding; a row of a sentence with no real token is all zeros.
        """
        values, keys, mask = self.laid_out(memory)
        real = tf.expand_dims(tf.cast(mask, tf.float32)[:, tf.newaxis], 1)
        alignments = tf.nn.softmax(self.scores(queries, keys, constants) + (real - 1.0) * 1e9) * real
        contexts = tf.matmul(alignments, values)
        if self.heads == 1:
            return contexts[:, 0], alignments[:, 0]
        shape = [*tf.unstack(tf.shape(queries)[:2]), self.heads * values.shape[-1]]
        return tf.reshape(tf.transpose(contexts, [0, 2, 1, 3]), shape), tf.reduce_mean(alignments, 1)

    def split(self, columns: tf.Tensor) -> tf.Tensor:
        """The heads' shares float32[B, H, N, C / H] of float32[B, N, C], or what are shares already."""
        if columns.shape.rank == 4:
            return columns
        if self.heads == 1:
            return columns[:, tf.newaxis]
        shape = [*tf.unstack(tf.shape(columns)[:2]), self.heads, columns.shape[-1] // self.heads]
        return tf.transpose(tf.reshape(columns, shape), [0, 2, 1, 3])


class LuongAttention(Attention):
    """Multiplicative attention: `dot` and `general` scores (Luong et al. 2015, section 3.1), and `scaled`,
    which is dot over the root of the width (Vaswani et al. 2017, section 3.2.1)."""

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

    def remember(self, encoded: Encoded) -> Memory:
        """Projects the keys where the score is `general`."""
        if self.key_kernel is None:
            return super().remember(encoded)
        return Memory(encoded.outputs, times(encoded.outputs, self.key_kernel), encoded.mask)

    def scores(self, queries: tf.Tensor, keys: tf.Tensor, constants: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """Inner products."""
        return tf.matmul(self.split(queries), keys, transpose_b=True) * self.scale


class AdditiveAttention(Attention):
    """v . tanh(W query + U key) (Bahdanau et al. 2015, appendix A.1.2)."""

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

    def remember(self, encoded: Encoded) -> Memory:
        """Projects the keys."""
        return Memory(encoded.outputs, times(encoded.outputs, self.key_kernel), encoded.mask)

    def laid_out(self, memory: Memory) -> Memory:
        """The keys are compared before they are split."""
        return memory._replace(values=self.split(memory.values))

    def constants(self) -> tuple[tf.Tensor, ...]:
        """The vector v."""
        return (tf.convert_to_tensor(self.vector),)

    def scores(self, queries: tf.Tensor, keys: tf.Tensor, constants: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """A layer of tanh between."""
        both = tf.tanh(queries[:, :, tf.newaxis] + keys[:, tf.newaxis])
        # Each head's share of the vector in a column of its own: one product for all heads.
        columns = tf.repeat(tf.eye(self.heads), self.key_units // self.heads, axis=0)
        return tf.transpose(times(both, columns * constants[0][:, tf.newaxis]), [0, 3, 1, 2])


def make_attention(settings: ModelSettings) -> Attention | None:
    """The attention the settings ask for."""
    kinds: dict[str, type[Attention]] = {
        "dot": LuongAttention,
        "scaled": LuongAttention,
        "general": LuongAttention,
        "additive": AdditiveAttention,
    }
    return None if settings.attention == "none" else kinds[settings.attention](settings)
