"""The recurrent encoder: embedded source tokens -> one vector a token, and the final states."""

from __future__ import annotations

import keras
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.layers.cells import CELLS, State
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.layers.recurrence import scan
from bitext.components.seq2seq.memory import Encoded


class Encoder(keras.layers.Layer):
    """Recurrent layers, each in one or both directions (Schuster and Paliwal 1997).

    This Keras layer owns named weights and has no `call`.
    """

    def __init__(self, settings: ModelSettings):
        super().__init__(name="encoder")
        self.settings = settings
        self.directions = ("forward", "backward") if settings.bidirectional else ("forward",)
        units = settings.encoder_units // len(self.directions)
        cell = CELLS[settings.cell]
        self.cells = []
        width = settings.embedding_units
        for layer in range(settings.encoder_layers):
            names = [f"layer{layer}_{direction}" for direction in self.directions]
            self.cells.append([cell(width, units, name, settings.layer_norm) for name in names])
            width = settings.encoder_units

    def encode(self, embedded: tf.Tensor, mask: tf.Tensor, dropout: Dropout) -> Encoded:
        """Encodes a batch of sentences.

        Args:
          embedded: float32[S, B, D], time first.
          mask: bool[B, S], real tokens first.
          dropout: of the layers' inputs, outputs and hidden states, and of the encoder's outputs.

        Returns:
          The outputs, batch first, the final states of the layers, and the embedded tokens if the attention
          reads them.
        """
        settings, batch = self.settings, tf.shape(mask)[0]
        sequence, time_mask = embedded, tf.transpose(mask)
        final: list[State] = []
        for layer, cells in enumerate(self.cells):
            inputs = dropout(sequence, settings.layer_input_dropout)
            outputs, states = [], []
            for cell, direction in zip(cells, self.directions, strict=True):
                recurrent_mask = dropout.mask([batch, cell.units], settings.recurrent_dropout)
                zeros, reverse = cell.zero_state(batch), direction == "backward"
                hidden, state = scan(
                    cell, inputs, zeros, time_mask, reverse, recurrent_mask, dropout.training
                )
                outputs.append(hidden)
                states.append(state)
            joined = dropout(tf.concat(outputs, -1), settings.layer_dropout)
            sequence = joined + sequence if layer else joined
            final.append(tuple(tf.concat(tensors, -1) for tensors in zip(*states, strict=True)))
        sequence = dropout(sequence, settings.memory_dropout)
        real = tf.cast(time_mask, tf.float32)[:, :, tf.newaxis]

        def batch_first(tensor: tf.Tensor) -> tf.Tensor:
            return tf.transpose(tensor * real, [1, 0, 2])

        attended = batch_first(embedded) if settings.attend_embeddings else None
        return Encoded(batch_first(sequence), mask, tuple(final), attended)
