"""Backpropagation through time for one cell, with local derivatives saved during the forward pass.

The backward pass of a step is a few element-wise products with the saved residuals and one matrix product; no
activation is recomputed. docs/performance.md lists the gains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bitext.components.seq2seq.layers.cells import CellWithBackward, State
from bitext.components.seq2seq.layers.dropout import apply_mask
from bitext.components.seq2seq.layers.loop import Order


def scan_with_backward(
    cell: CellWithBackward,
    inputs: tf.Tensor,
    initial: State,
    mask: tf.Tensor | None,
    order: Order,
    recurrent_mask: tf.Tensor | None,
) -> tuple[tf.Tensor, State]:
    """Runs a cell over a sequence; its gradient uses the cell's own `backward`.

    Args:
      cell: a cell without layer normalization: the residuals are not valid with it.
      inputs: float32[T, B, gates * U], from `Cell.project`.
      initial, mask, recurrent_mask: as in `recurrence.scan`.
      order: the order of the steps.

    Returns:
      The hidden states float32[T, B, U] in the order of the inputs, and the state after the last step.
    """
    passes = _Passes(cell, mask, order, recurrent_mask)

    @tf.custom_gradient
    def run(
        inputs: tf.Tensor, kernel: tf.Tensor, *initial: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, ...], Callable[..., Any]]:
        hidden, residuals, final = passes.forward(inputs, kernel, initial)

        def gradient(d_hidden: tf.Tensor, *d_final: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return passes.backward(kernel, initial[0], hidden, residuals, d_hidden, d_final)

        return (hidden, *final), gradient

    hidden, *final = run(inputs, tf.convert_to_tensor(cell.recurrent_kernel), *initial)
    return tf.ensure_shape(hidden, [None, None, cell.units]), tuple(final)


class _Passes:
    """The forward and the backward pass. Arguments as in `scan_with_backward`.

    Each step depends on the step before it, so the loops run with `parallel_iterations=1`.
    """

    def __init__(
        self, cell: CellWithBackward, mask: tf.Tensor | None, order: Order, recurrent_mask: tf.Tensor | None
    ):
        self.cell, self.mask, self.order, self.recurrent_mask = cell, mask, order, recurrent_mask

    def forward(
        self, inputs: tf.Tensor, kernel: tf.Tensor, initial: State
    ) -> tuple[tf.Tensor, tuple[tf.TensorArray, ...], State]:
        """Returns hidden states float32[T, B, U], the residuals of every step, and the final state."""

        def step(t: tf.Tensor, state: State, *arrays: tf.TensorArray) -> Any:
            position = self.order.position(t)
            projected, is_real = self._rows(position, inputs)
            recurrent = tf.matmul(apply_mask(state[0], self.recurrent_mask), kernel)
            new, residuals = self.cell.step_with_residuals(projected, recurrent, state, ())
            new = tuple(_where(is_real, n, old) for n, old in zip(new, state, strict=True))
            values = (new[0], *residuals())
            return t + 1, new, *(a.write(position, v) for a, v in zip(arrays, values, strict=True))

        arrays = self._array(self.cell.units), *(self._array(None) for _ in range(self.cell.num_residuals))
        _, final, hidden, *residuals = tf.while_loop(
            lambda t, *_: t < self.order.steps, step, (0, initial, *arrays), parallel_iterations=1
        )
        return hidden.stack(), tuple(residuals), final

    def backward(
        self,
        kernel: tf.Tensor,
        initial_hidden: tf.Tensor,
        hidden: tf.Tensor,
        residuals: tuple[tf.TensorArray, ...],
        d_hidden: tf.Tensor,
        d_final: State,
    ) -> tuple[tf.Tensor, ...]:
        """Returns the gradients of inputs, kernel and initial state, in that order."""
        # Transposed once: `transpose_b` would repack the matrix at every step.
        transposed_kernel = tf.transpose(kernel)
        width, zeros = kernel.shape[1], tf.zeros_like(initial_hidden)

        def step(t: tf.Tensor, d_state: State, d_inputs: tf.TensorArray, d_products: tf.TensorArray) -> Any:
            position = self.order.position(t)
            d_output, is_real = self._rows(position, d_hidden)
            d_state = d_state[0] + d_output, *d_state[1:]
            # On padding the state passes through unchanged, and so does its gradient.
            d_new = tuple(_where(is_real, d, zeros) for d in d_state)
            d_projected, d_recurrent, (d_direct, *d_others) = self.cell.backward(
                tuple(array.read(position) for array in residuals), d_new
            )
            # The hidden state before the step is a factor of the recurrent product, and in some cells more.
            d_hidden_before = apply_mask(tf.matmul(d_recurrent, transposed_kernel), self.recurrent_mask)
            if d_direct is not None:
                d_hidden_before += d_direct
            d_before = d_hidden_before, *d_others
            d_before = tuple(_where(is_real, b, d) for b, d in zip(d_before, d_state, strict=True))
            d_products = d_products.write(position, d_recurrent)
            return t - 1, d_before, d_inputs.write(position, d_projected), d_products

        start = self.order.steps - 1, tuple(d_final), self._array(width), self._array(width)
        _, d_initial, d_inputs, d_products = tf.while_loop(
            lambda t, *_: t >= 0, step, start, parallel_iterations=1
        )
        hidden_before = self.order.states_before(hidden, initial_hidden)
        factors = tf.reshape(apply_mask(hidden_before, self.recurrent_mask), [-1, kernel.shape[0]])
        d_kernel = tf.matmul(factors, d_products.concat(), transpose_a=True)
        return d_inputs.stack(), d_kernel, *d_initial

    def _array(self, width: int | None) -> tf.TensorArray:
        shape = [None, width]
        return tf.TensorArray(tf.float32, self.order.steps, element_shape=shape, clear_after_read=False)

    def _rows(self, position: tf.Tensor, sequence: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns the matrix at a position, and which of its rows are real: bool[B]; None: all rows."""
        return sequence[position], None if self.mask is None else self.mask[position]


def _where(is_real: tf.Tensor | None, real: tf.Tensor, padding: tf.Tensor) -> tf.Tensor:
    """Returns the rows of `real` where the token is real, and those of `padding` elsewhere."""
    return real if is_real is None else tf.where(is_real[:, tf.newaxis], real, padding)
