"""The interface of a decoder, which training, search, sampling and the exports call."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.memory import Encoded, Memory

DecoderState = Any
"""Any nest of tensors. Each has the leading dimension B * K: K hypotheses of each of B sentences."""


class Decoder(keras.layers.Layer):
    """Base class of the decoders: a Keras layer that owns named weights and has no `call`.

    Search, sampling and the exports only repeat, reorder and remove rows of the state. A tensor of the state
    has any rank and any dtype. It may grow from step to step in the dimensions that are None in `state_spec`.

    Attributes:
      attends: whether the decoder computes alignments. If not, they are zeros.
      key_units: width of `Memory.keys`; 0 without keys.
      reads_position: whether `step` depends on `position`. If so, it is an input and an output of the
        signature `decode_step`.
    """

    attends: bool = True
    key_units: int = 0
    reads_position: bool = False

    def __init__(self, settings: ModelSettings):
        super().__init__(name="decoder")
        self.settings = settings

    @property
    def state_spec(self) -> DecoderState:
        """The structure of the state: a `tf.TensorSpec` for each tensor.

        The name of a spec is the tensor's name in the exported signatures. Its shape begins with None.
        """
        raise NotImplementedError

    @property
    def state_names(self) -> list[str]:
        """The names of the state's tensors, in the order of `tf.nest.flatten`."""
        return [spec.name for spec in tf.nest.flatten(self.state_spec)]

    def project_keys(self, encoded: Encoded) -> Memory:
        """Computes the memory that the steps read, once per sentence. Without attention it has no keys."""
        return Memory(encoded.outputs, encoded.outputs[:, :, :0], encoded.mask)

    def split_heads(self, memory: Memory) -> Memory:
        """Prepares the memory for many calls of `step`, which also takes a memory that is not prepared."""
        return memory

    def initial_state(self, encoded: Encoded) -> DecoderState:
        """Returns the state before `<s>`, with one row per sentence."""
        raise NotImplementedError

    def step(
        self, embedded: tf.Tensor, position: tf.Tensor, state: DecoderState, memory: Memory
    ) -> tuple[tf.Tensor, tf.Tensor, DecoderState]:
        """Reads one token of each of K hypotheses of B sentences.

        Args:
          embedded: float32[B, K, D], the embedded token.
          position: int32[] or int32[B * K], number of tokens before it.
          state: as `state_spec` describes it, with B * K rows.
          memory: of the B sentences; it is not repeated for the hypotheses.

        Returns:
          The vectors float32[B, K, D] that the output layer reads, the alignments float32[B, K, S], and the
          next state.
        """
        raise NotImplementedError

    def unroll(
        self, embedded: tf.Tensor, state: DecoderState, memory: Memory, dropout: Dropout
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads whole sequences, for training and scoring.

        Args:
          embedded: float32[B, T, D].
          state: the initial state, with B rows.
          memory: of the B sentences.
          dropout: of this forward pass.

        Returns:
          Vectors float32[B, T, D] and alignments float32[B, T, S], equal to those that `step` returns.
        """
        raise NotImplementedError
