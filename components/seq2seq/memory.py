"""What the encoder passes to the decoder: its outputs and states, and the memory of the attention."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from bitext.components.seq2seq.layers.cells import State


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The output of an encoder for a batch of sentences.

    Attributes:
      outputs: float32[B, S, E], zero on padding.
      mask: bool[B, S], true on real tokens.
      final_states: each layer's state after its last step, float32[B, E] each, both directions concatenated.
      embedded: float32[B, S, D], the embedded tokens, zero on padding; None without `attend_embeddings`.
    """

    outputs: tf.Tensor
    mask: tf.Tensor
    final_states: tuple[State, ...]
    embedded: tf.Tensor | None = None

    @property
    def values(self) -> tf.Tensor:
        """What the attention averages, float32[B, S, C]: see `Memory`."""
        return self.outputs if self.embedded is None else tf.concat([self.outputs, self.embedded], -1)


class Memory(NamedTuple):
    """Keys and values of the attention, computed once per sentence.

    Attributes:
      values: float32[B, S, C], the encoder's outputs, and with `attend_embeddings` the embedded tokens after
        them. So C (`ModelSettings.context_units`) is E or E + D.
      keys: float32[B, S, Q], which the queries are compared with. Q is 0 if the decoder does not attend.
      mask: bool[B, S], true on real tokens.
    """

    values: tf.Tensor
    keys: tf.Tensor
    mask: tf.Tensor
