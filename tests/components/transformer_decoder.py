"""A small Transformer decoder (Vaswani et al. 2017, with normalization before each layer).

It uses all that the interface `Decoder` allows: the state is nested, its tensors have rank 4 and grow by one
slot per step, and a step depends on the position.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.decoders.base import Decoder
from bitext.components.seq2seq.layers.cells import multiply, normalize
from bitext.components.seq2seq.layers.dropout import NO_DROPOUT, Dropout
from bitext.components.seq2seq.memory import Encoded, Memory
from tests.components.tiny_model import SETTINGS

State = dict[str, dict[str, tf.Tensor]]
"""`keys` and `values` float32[N, H, slots, U / H] of each layer. Slots that are not used yet are zero."""
CHANGES = {"decoder_layers": 2, "attention_heads": 2, "encoder_units": 12}
TRANSFORMER = msgspec.structs.replace(SETTINGS, **CHANGES)
"""Settings of a small model with this decoder."""


class TransformerDecoder(Decoder):
    """Layers of causal self-attention, attention to the memory, and two dense layers."""

    reads_position = True

    def __init__(self, settings: ModelSettings):
        super().__init__(settings)
        units, layers = settings.decoder_units, settings.decoder_layers
        self.heads, self.units = settings.attention_heads, units
        self.key_units = 2 * layers * units
        shapes = {"self": [units, 3 * units], "self_output": [units, units], "query": [units, units]}
        shapes |= {"context": [units, units], "inner": [units, 2 * units], "outer": [2 * units, units]}
        self.kernels = [
            {name: self._matrix(f"layer{layer}_{name}", *shape) for name, shape in shapes.items()}
            for layer in range(layers)
        ]
        self.memory_kernel = self._matrix("memory_kernel", settings.encoder_units, self.key_units)
        self.input_kernel = self._matrix("input_kernel", settings.embedding_units, units)
        self.output_kernel = self._matrix("output_kernel", units, settings.embedding_units)

    def _matrix(self, name: str, rows: int, columns: int) -> tf.Tensor:
        return self.add_weight(name=name, shape=(rows, columns), initializer="glorot_uniform")

    @property
    def state_spec(self) -> dict[str, dict[str, tf.TensorSpec]]:
        """The specs of keys and values of all layers."""
        shape = [None, self.heads, None, self.units // self.heads]
        return {
            f"layer{layer}": {
                name: tf.TensorSpec(shape, tf.float32, f"layer{layer}_{name}") for name in ("keys", "values")
            }
            for layer in range(len(self.kernels))
        }

    def project_keys(self, encoded: Encoded) -> Memory:
        """Projects the encoder's outputs to keys and values of all layers."""
        return Memory(encoded.outputs, multiply(encoded.outputs, self.memory_kernel), encoded.mask)

    def initial_state(self, encoded: Encoded) -> State:
        """Returns one slot of zeros, because TensorFlow Lite does not take empty tensors."""
        empty = tf.zeros([tf.shape(encoded.mask)[0], self.heads, 1, self.units // self.heads])
        return tf.nest.map_structure(lambda _: empty, self.state_spec)

    def step(
        self, embedded: tf.Tensor, position: tf.Tensor, state: State, memory: Memory
    ) -> tuple[tf.Tensor, tf.Tensor, State]:
        """Reads one token; see `Decoder.step`."""
        sentences, hypotheses = tf.unstack(tf.shape(embedded)[:2])
        position = tf.reshape(position, [-1, 1])
        after: State = {}

        def attend(layer: int, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
            cache = state[f"layer{layer}"]
            slot_count = tf.shape(cache["keys"])[2] + 1
            slots = tf.range(slot_count)
            is_new = tf.reshape(tf.cast(tf.equal(slots, position), tf.float32), [-1, 1, slot_count, 1])
            grow = [[0, 0], [0, 0], [0, 1], [0, 0]]
            new = {"keys": tf.pad(cache["keys"], grow) + is_new * key}
            new["values"] = tf.pad(cache["values"], grow) + is_new * value
            after[f"layer{layer}"] = new
            visible = tf.reshape(slots <= position, [-1, 1, 1, slot_count])
            return attention(query, new["keys"], new["values"], visible)[0]

        flat = tf.reshape(embedded, [sentences * hypotheses, 1, embedded.shape[-1]])
        vectors, alignment = self._run_layers(flat, position, attend, memory, NO_DROPOUT)
        shape = [sentences, hypotheses]
        alignment = tf.reshape(alignment, [*shape, tf.shape(memory.mask)[1]])
        return tf.reshape(vectors, [*shape, vectors.shape[-1]]), alignment, after

    def unroll(
        self, embedded: tf.Tensor, state: State, memory: Memory, dropout: Dropout
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads whole sequences, all positions at once; see `Decoder.unroll`."""
        positions = tf.range(tf.shape(embedded)[1])
        visible = (positions <= positions[:, tf.newaxis])[tf.newaxis, tf.newaxis]

        def attend(layer: int, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
            return attention(query, key, value, visible)[0]

        return self._run_layers(embedded, positions[tf.newaxis], attend, memory, dropout)

    def _run_layers(
        self,
        embedded: tf.Tensor,
        positions: tf.Tensor,
        attend: Callable[[int, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
        memory: Memory,
        dropout: Dropout,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes vectors float32[N, T, D] and alignments float32[N, T, S] from tokens float32[N, T, D].

        Args:
          positions: int32[1, T] or int32[N, 1].
          attend: self-attention of a layer, from query, key and value float32[N, H, T, U / H].
          memory: of B sentences; N is a multiple of B.
        """
        rate, sentences = self.settings.layer_dropout, tf.shape(memory.mask)[0]
        x = multiply(embedded, self.input_kernel) + encode_positions(positions, self.units)
        shape = tf.shape(x)
        memories = tf.split(memory.keys, 2 * len(self.kernels), -1)
        # Not `[:, tf.newaxis, tf.newaxis]`: TensorFlow Lite has no such operation.
        real = tf.expand_dims(tf.expand_dims(memory.mask, 1), 1)
        for layer, kernels in enumerate(self.kernels):
            query, key, value = tf.split(multiply(normalize(x), kernels["self"]), 3, -1)
            mixed = self._merge(attend(layer, self._split(query), self._split(key), self._split(value)))
            x += dropout(multiply(mixed, kernels["self_output"]), rate)
            # All hypotheses of a sentence query the same memory.
            query = tf.reshape(multiply(normalize(x), kernels["query"]), [sentences, -1, self.units])
            key, value = memories[2 * layer : 2 * layer + 2]
            context, alignments = attention(self._split(query), self._split(key), self._split(value), real)
            context = tf.reshape(self._merge(context), shape)
            x += dropout(multiply(context, kernels["context"]), rate)
            inner = tf.nn.relu(multiply(normalize(x), kernels["inner"]))
            x += dropout(multiply(inner, kernels["outer"]), rate)
        vectors = dropout(multiply(normalize(x), self.output_kernel), self.settings.output_dropout)
        width = tf.shape(memory.mask)[1]
        return vectors, tf.reshape(tf.reduce_mean(alignments, 1), [shape[0], shape[1], width])

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        """float32[N, T, U] -> float32[N, H, T, U / H]."""
        shape = [*tf.unstack(tf.shape(x)[:2]), self.heads, self.units // self.heads]
        return tf.transpose(tf.reshape(x, shape), [0, 2, 1, 3])

    def _merge(self, x: tf.Tensor) -> tf.Tensor:
        """float32[N, H, T, U / H] -> float32[N, T, U]."""
        x = tf.transpose(x, [0, 2, 1, 3])
        return tf.reshape(x, [*tf.unstack(tf.shape(x)[:2]), self.units])


def attention(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, visible: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scaled dot-product attention: contexts float32[N, H, T, W] and alignments float32[N, H, T, S].

    Args:
      query: float32[N, H, T, W].
      key: float32[N, H, S, W].
      value: float32[N, H, S, W].
      visible: bool, broadcast to [N, H, T, S].
    """
    allowed = tf.cast(visible, tf.float32)
    scores = tf.matmul(query, key, transpose_b=True) * query.shape[-1] ** -0.5
    alignments = tf.nn.softmax(scores + (allowed - 1.0) * 1e9) * allowed
    return tf.matmul(alignments, value), alignments


def encode_positions(positions: tf.Tensor, units: int) -> tf.Tensor:
    """Sines and cosines float32[N, T, U] of positions int32[N, T] (section 3.5 of the paper)."""
    rates = 10_000.0 ** (-2.0 * tf.range(units // 2, dtype=tf.float32) / units)
    angles = tf.cast(positions, tf.float32)[:, :, tf.newaxis] * rates
    return tf.concat([tf.sin(angles), tf.cos(angles)], -1)
