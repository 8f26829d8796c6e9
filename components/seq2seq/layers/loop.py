"""What a recurrence computes at every step (`Loop`), and the order of the steps (`Order`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bitext.components.seq2seq.layers.cells import Cell, State
from bitext.components.seq2seq.layers.dropout import apply_mask

Tensors = tuple[tf.Tensor, ...]
Product = Callable[[str, tf.Tensor], tf.Tensor]
"""Multiplies float32[B, I] with the loop's weight of that name."""
Step = Callable[[Tensors, State, Any, Product], tuple[State, Tensors]]
"""(this step's inputs, the state, the constants, product) -> (the next state, other outputs)."""


@dataclasses.dataclass(frozen=True)
class Loop:
    """What is computed at every step of a sequence.

    A gradient flows only to the weights, the constants, and the inputs and initial state of `unroll`. Tensors
    that `step` captures from its closure get no gradient.

    Attributes:
      project: function of the first input float32[..., I] of all steps. It runs before the loop and computes
        the products that do not depend on the state.
      step: function that computes one step. It multiplies by every weight exactly once, with its argument
        `product`.
      weights: float32[I, O] each, by name.
      constants: other tensors that every step uses, in any nest of tuples.
      num_outputs: number of tensors that a step returns in addition to its state.
      num_fixed_inputs: number of inputs, at the end of the inputs, that need no gradient.
      cell: the cell, if a step is a single cell and nothing else.
      recurrent_mask: the mask of that cell's recurrent dropout.
    """

    project: Callable[[tf.Tensor], tf.Tensor]
    step: Step
    weights: dict[str, tf.Tensor]
    constants: Any = ()
    num_outputs: int = 0
    num_fixed_inputs: int = 0
    cell: Cell | None = None
    recurrent_mask: tf.Tensor | None = None

    def single_step(self, inputs: Tensors, state: State) -> tuple[State, Tensors]:
        """Runs one step: inputs float32[B, I] each -> the next state, and the other outputs."""
        inputs = self.project(inputs[0]), *inputs[1:]
        return self.step(inputs, state, self.constants, lambda name, x: tf.matmul(x, self.weights[name]))


def cell_loop(cell: Cell, recurrent_mask: tf.Tensor | None = None) -> Loop:
    """Returns the loop whose step is one cell."""

    def step(inputs: Tensors, state: State, constants: Any, product: Product) -> tuple[State, Tensors]:
        recurrent = product("recurrent", apply_mask(state[0], recurrent_mask))
        return cell.step(inputs[0], recurrent, state, constants), ()

    weights = {"recurrent": tf.convert_to_tensor(cell.recurrent_kernel)}
    return Loop(cell.project, step, weights, cell.constants(), cell=cell, recurrent_mask=recurrent_mask)


@dataclasses.dataclass(frozen=True)
class Order:
    """The order of the steps of a sequence.

    Attributes:
      steps: int32[], number of steps.
      reverse: whether the last position is the first step.
    """

    steps: tf.Tensor
    reverse: bool

    def position(self, t: tf.Tensor) -> tf.Tensor:
        """Returns the position of the t-th step in the sequence."""
        return self.steps - 1 - t if self.reverse else t

    def states_before(self, states: tf.Tensor, initial: tf.Tensor) -> tf.Tensor:
        """Returns the state before each step, from the states after each step and the initial state.

        Args:
          states: float32[T, B, U].
          initial: float32[B, U].

        Returns:
          float32[T, B, U].
        """
        first = initial[tf.newaxis]
        return tf.concat([states[1:], first] if self.reverse else [first, states[:-1]], 0)
