"""A cell that defines `step` only."""

from __future__ import annotations

import tensorflow as tf

from bitext.components.seq2seq.layers.cells import Cell, State


class LeakyCell(Cell):
    """h' = (h + tanh(W x + U h + b)) / 2."""

    def step(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> State:
        """Computes the next state."""
        return ((state[0] + tf.tanh(projected + recurrent)) / 2.0,)
