"""The encoder: embedded source tokens to a memory with one vector a token, and the states it ends in."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.layers.cells import CELLS, State
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.layers.recurrence import scan


@dataclasses.dataclass(frozen=True)
class Encoded:
    """What the encoder knows of a batch of sentences.

    Attributes:
      outputs: float32[B, S, E], zero on padding.
      mask: bool[B, S], true on real tokens.
      final: each layer's state after the whole sentence, float32[B, E] each, the directions side by side.
    """

    outputs: tf.Tensor
    mask: tf.Tensor
    final: tuple[State, ...]


class Encoder(keras.layers.Layer):
    """Layers of cells, each read in one or both directions (Schuster and Paliwal 1997)."""

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
        """Encodes.

        Args:
          embedded: float32[S, B, D], time first.
          mask: bool[B, S], real tokens first.
          dropout: applied to the layers' inputs, outputs and hidden states, and to the memory.

        Returns:
          The memory, sentence first, and the layers' last states.
        """
        rates, batch = self.settings, tf.shape(mask)[0]
        sequence, time_mask = embedded, tf.transpose(mask)
        final: list[State] = []
        for layer, cells in enumerate(self.cells):
            inputs = dropout(sequence, rates.layer_input_dropout)
            runs = []
            for cell, direction in zip(cells, self.directions, strict=True):
                kept = dropout.mask([batch, cell.units], rates.recurrent_dropout)
                zeros, backward = cell.zero_state(batch), direction == "backward"
                runs.append(scan(cell, inputs, zeros, time_mask, backward, kept, dropout.training))
            outputs = tf.concat([outputs for outputs, _ in runs], -1)
            outputs = dropout(outputs, rates.layer_dropout)
            sequence = outputs + sequence if layer else outputs
            final.append(tuple(tf.concat(states, -1) for states in zip(*(s for _, s in runs), strict=True)))
        sequence = dropout(sequence, rates.memory_dropout)
        real = tf.cast(time_mask, tf.float32)[:, :, tf.newaxis]
        return Encoded(tf.transpose(sequence * real, [1, 0, 2]), mask, tuple(final))
