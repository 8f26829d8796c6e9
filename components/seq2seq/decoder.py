"""The decoder: from the tokens so far to the scores of the next, with attention over the memory.

No layer's recurrence sees its own attention, so that in training all positions' attention is one batched
product: after all layers (`luong`: Luong et al. 2015 without input feeding), or between the first and the
others (`gnmt`: Wu et al. 2016). One token (`Decoder.step`) or a whole sequence (`Decoder.unroll`), the layers
and the attention are those of `Decoder._through`.
"""

from __future__ import annotations

from collections.abc import Callable

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
            width = units + (settings.encoder_units if settings.decoder == "gnmt" else 0)
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

    def step(
        self, embedded: tf.Tensor, state: State, memory: Memory
    ) -> tuple[tf.Tensor, tf.Tensor, State]:
        """One token of each of K hypotheses of B sentences.

        Args:
          embedded: float32[B, K, D], the token before.
          state: float32[B * K, U] each.
          memory: of the B sentences.

        Returns:
          The attentional vectors float32[B, K, D], which the output layer scores, the alignments
          float32[B, K, S] (zeros without attention) and the next state.
        """
        following = list[tf.Tensor]()
        many = len(self.cells[0].state_names)
        rows = tf.shape(embedded)[:2]

        def run(layer: int, inputs: tf.Tensor) -> tf.Tensor:
            before = state[layer * many : (layer + 1) * many]
            new = self.cells[layer].step(tf.reshape(inputs, [-1, inputs.shape[-1]]), before)
            following.extend(new)
            return tf.reshape(new[0], tf.concat([rows, [self.settings.decoder_units]], 0))

        vectors, alignment = self._through(embedded, memory, run, NO_DROPOUT)
        return vectors, alignment, tuple(following)

    def unroll(
        self, embedded: tf.Tensor, state: State, memory: Memory, dropout: Dropout
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A whole sequence: embedded float32[B, T, D], state float32[B, U] each -> what `step` gives for each
        token, side by side: float32[B, T, D] and float32[B, T, S]."""
        many = len(self.cells[0].state_names)

        def run(layer: int, inputs: tf.Tensor) -> tf.Tensor:
            before = state[layer * many : (layer + 1) * many]
            outputs, _ = scan(self.cells[layer], tf.transpose(inputs, [1, 0, 2]), before)
            return tf.transpose(outputs, [1, 0, 2])

        return self._through(embedded, memory, run, dropout)

    def _through(
        self,
        embedded: tf.Tensor,
        memory: Memory,
        run: Callable[[int, tf.Tensor], tf.Tensor],
        dropout: Dropout,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """All layers and the attention, for N tokens at once, whether they follow each other or not.

        Args:
          embedded: float32[B, N, D].
          run: runs a layer: its number, inputs float32[B, N, I] -> outputs float32[B, N, U].
        """
        queried = 0 if self.settings.decoder == "gnmt" else len(self.cells) - 1
        alignment = tf.zeros(tf.concat([tf.shape(embedded)[:2], tf.shape(memory.mask)[1:]], 0))
        hidden, context = embedded, list[tf.Tensor]()
        for layer in range(len(self.cells)):
            outputs = dropout(run(layer, tf.concat([hidden, *context], -1)), self.settings.layer_dropout)
            hidden = outputs + hidden if layer else outputs
            if layer == queried and self.attention is not None:
                alignment = self.attention.align(hidden, memory)
                context = [self.attention.read(alignment, memory)]
        joined = tf.concat([*context, hidden], -1)
        flat = tf.matmul(tf.reshape(joined, [-1, joined.shape[-1]]), self.read_kernel)
        shape = tf.concat([tf.shape(hidden)[:2], [self.settings.embedding_units]], 0)
        vectors = tf.reshape(tf.tanh(flat), shape)
        return dropout(vectors, self.settings.output_dropout), alignment
