"""The decoder: from the tokens so far to the scores of the next, with attention over the memory.

The recurrence does not see the attention (Luong et al. 2015 without input feeding), so that in training all
positions' attention and output products are one batched product each. One token or a whole sequence, the work
is done by the same two: `Decoder.advance`/`unroll` (the recurrence) and `Decoder.attend` (all after it).
"""

from __future__ import annotations

import keras
import tensorflow as tf

from components.seq2seq import ModelSettings
from components.seq2seq.attention import LuongAttention, Memory
from components.seq2seq.cells import CELLS, State
from components.seq2seq.dropout import Dropout
from components.seq2seq.encoder import Encoded
from components.seq2seq.recurrence import scan

NO_DROPOUT = Dropout()


class Decoder(keras.layers.Layer):
    """Layers of cells, attention, and the attentional layer tanh(W [context; hidden])."""

    def __init__(self, settings: ModelSettings):
        super().__init__(name="decoder")
        self.settings = settings
        units, cell = settings.decoder_units, CELLS[settings.cell]
        self.cells = []
        width = settings.embedding_units
        for layer in range(settings.decoder_layers):
            self.cells.append(cell(width, units, f"layer{layer}"))
            width = units
        self.attention = None if settings.attention == "none" else LuongAttention(settings)
        read = units + (settings.encoder_units if self.attention else 0)
        self.read_kernel = self.add_weight(
            name="read_kernel", shape=(read, settings.embedding_units), initializer="glorot_uniform"
        )
        self.bridges = {}
        if settings.bridge == "dense":
            for name in self.state_names:
                self.bridges[name] = self.add_weight(
                    name=f"bridge_{name}", shape=(settings.encoder_units, units), initializer="glorot_uniform"
                )

    @property
    def state_names(self) -> list[str]:
        """A name for every tensor of the decoder's state, in order: `layer0_hidden`, `layer0_cell`, ..."""
        return [f"{cell.name}_{name}" for cell in self.cells for name in cell.state_names]

    def initial_state(self, encoded: Encoded) -> State:
        """The state before `<s>`: the encoder's last through the bridge; float32[B, U] each.

        The hidden state passes a tanh, as one that a cell put out; an LSTM's cell state does not.
        """
        kinds = self.cells[0].state_names
        state = []
        for layer_name in self.state_names:
            kind = layer_name.rsplit("_", 1)[1]
            if layer_name not in self.bridges:
                batch = tf.shape(encoded.mask)[0]
                state.append(tf.zeros([batch, self.settings.decoder_units]))
                continue
            bridged = tf.matmul(encoded.final[kinds.index(kind)], self.bridges[layer_name])
            state.append(tf.tanh(bridged) if kind == "hidden" else bridged)
        return tuple(state)

    def remember(self, encoded: Encoded) -> Memory:
        """What `attend` needs of the source, its keys projected once."""
        if self.attention is None:
            return Memory(encoded.outputs, encoded.outputs[:, :, :0], encoded.mask)
        return self.attention.remember(encoded)

    def advance(self, embedded: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """One token: embedded float32[B, D], state -> hidden float32[B, U], the next state."""
        inputs, following = embedded, list[tf.Tensor]()
        many = len(self.cells[0].state_names)
        for layer, cell in enumerate(self.cells):
            new = cell.step(inputs, state[layer * many : (layer + 1) * many])
            following.extend(new)
            inputs = new[0] + inputs if layer else new[0]
        return inputs, tuple(following)

    def unroll(self, embedded: tf.Tensor, state: State, dropout: Dropout) -> tf.Tensor:
        """A whole sequence: embedded float32[B, T, D], state -> hidden float32[B, T, U]."""
        sequence = tf.transpose(embedded, [1, 0, 2])
        many = len(self.cells[0].state_names)
        for layer, cell in enumerate(self.cells):
            outputs, _ = scan(cell, sequence, state[layer * many : (layer + 1) * many])
            outputs = dropout(outputs, self.settings.layer_dropout)
            sequence = outputs + sequence if layer else outputs
        return tf.transpose(sequence, [1, 0, 2])

    def attend(
        self, hidden: tf.Tensor, memory: Memory, dropout: Dropout = NO_DROPOUT
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What is left after the recurrence, for N positions or beams at once.

        Args:
          hidden: float32[B, N, U].

        Returns:
          The attentional vectors float32[B, N, D], which the output layer scores, and the alignments
          float32[B, N, S] (zeros without attention).
        """
        if self.attention is None:
            joined = hidden
            alignment = tf.zeros(tf.concat([tf.shape(hidden)[:2], tf.shape(memory.mask)[1:]], 0))
        else:
            alignment = self.attention.align(hidden, memory)
            joined = tf.concat([self.attention.read(alignment, memory), hidden], -1)
        flat = tf.matmul(tf.reshape(joined, [-1, joined.shape[-1]]), self.read_kernel)
        shape = tf.concat([tf.shape(hidden)[:2], [self.settings.embedding_units]], 0)
        vectors = tf.reshape(tf.tanh(flat), shape)
        return dropout(vectors, self.settings.output_dropout), alignment
