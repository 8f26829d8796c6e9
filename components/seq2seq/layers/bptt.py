"""A cell over a whole sequence, for training: what the gradient needs is made on the way forward.

The gradient of a step is linear in that of the state after it, and its factors, the slopes, are known as soon
as the step is taken. Kept, they leave little to the backward pass: a few element-wise products and one matrix
product a step, with no activation made again (6 % of an update of the default model, on two cores).
`recurrence` does the same for any step at all, by taking it again under a tape.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bitext.components.seq2seq.layers.cells import Cell, State
from bitext.components.seq2seq.layers.dropout import masked


@dataclasses.dataclass(frozen=True)
class Order:
    """In what order a sequence's steps are taken.

    Attributes:
      steps: int32[], how many there are.
      reverse: from the last to the first.
    """

    steps: tf.Tensor
    reverse: bool

    def place(self, t: tf.Tensor) -> tf.Tensor:
        """The position in the sequence of the t-th step taken."""
        return self.steps - 1 - t if self.reverse else t

    def before(self, states: tf.Tensor, initial: tf.Tensor) -> tf.Tensor:
        """The states before each step, of those after it float32[T, B, U] and the one before the first."""
        first = initial[tf.newaxis]
        return tf.concat([states[1:], first] if self.reverse else [first, states[:-1]], 0)


def record(
    cell: Cell,
    inputs: tf.Tensor,
    initial: State,
    mask: tf.Tensor | None,
    order: Order,
    kept: tf.Tensor | None,
) -> tuple[tf.Tensor, State]:
    """Runs a cell over a sequence; one with layer normalisation has no slopes, and is `recurrence`'s to run.

    Args:
      inputs: float32[T, B, gates * U], through `Cell.project`.
      cell, initial, mask, kept: as `recurrence.scan` has them.
      order: of the steps.

    Returns:
      The hidden states float32[T, B, U] in the order of the inputs, and the state after the last step taken.
    """
    passes = _Passes(cell, mask, order, kept)

    @tf.custom_gradient
    def run(
        inputs: tf.Tensor, kernel: tf.Tensor, *initial: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, ...], Callable[..., Any]]:
        hidden, slopes, final = passes.forward(inputs, kernel, initial)

        def gradient(d_hidden: tf.Tensor, *d_final: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return passes.backward(kernel, initial[0], hidden, slopes, d_hidden, d_final)

        return (hidden, *final), gradient

    hidden, *final = run(inputs, tf.convert_to_tensor(cell.recurrent_kernel), *initial)
    return tf.ensure_shape(hidden, [None, None, cell.units]), tuple(final)


class _Passes:
    """Forward and backward; arguments as `record` has them.

    A step needs the one before it, so the loops look at one turn at a time; ready for ten, as they are unless
    told, an update takes 1 % longer.
    """

    def __init__(self, cell: Cell, mask: tf.Tensor | None, order: Order, kept: tf.Tensor | None):
        self.cell, self.mask, self.order, self.kept = cell, mask, order, kept

    def forward(
        self, inputs: tf.Tensor, kernel: tf.Tensor, initial: State
    ) -> tuple[tf.Tensor, tuple[tf.TensorArray, ...], State]:
        """Hidden states float32[T, B, U], the slopes of every step, and the state after the last."""

        def step(t: tf.Tensor, state: State, hidden: tf.TensorArray, *slopes: tf.TensorArray) -> Any:
            at = self.order.place(t)
            now, real = self._rows(at, inputs)
            product = tf.matmul(masked(state[0], self.kept), kernel)
            new, known = self.cell.step(now, product, state, ())
            new = tuple(_where(real, n, old) for n, old in zip(new, state, strict=True))
            written = (a.write(at, v) for a, v in zip((hidden, *slopes), (new[0], *known()), strict=True))
            return t + 1, new, *written

        room = self._array(self.cell.units), *(self._array(None) for _ in range(self.cell.slopes))
        _, final, hidden, *slopes = tf.while_loop(
            lambda t, *_: t < self.order.steps, step, (0, initial, *room), parallel_iterations=1
        )
        return hidden.stack(), tuple(slopes), final

    def backward(
        self,
        kernel: tf.Tensor,
        first: tf.Tensor,
        hidden: tf.Tensor,
        slopes: tuple[tf.TensorArray, ...],
        d_hidden: tf.Tensor,
        d_final: State,
    ) -> tuple[tf.Tensor, ...]:
        """Gradients of inputs, kernel and initial state, whose hidden state is `first`."""
        # A product with the transpose of a matrix packs it anew each time; here, once for all steps.
        transposed = tf.transpose(kernel)
        summed, width, nothing = self.cell.summed, kernel.shape[1], tf.zeros_like(first)

        def step(t: tf.Tensor, d_state: State, *written: tf.TensorArray) -> Any:
            at = self.order.place(t)
            d_now, real = self._rows(at, d_hidden)
            d_state = d_state[0] + d_now, *d_state[1:]
            # On padding, the gradient of the state after is that of the state before, and of nothing else.
            d_new = tuple(_where(real, d, nothing) for d in d_state)
            d_projected, d_recurrent, (direct, *others) = self.cell.pull(
                tuple(a.read(at) for a in slopes), d_new
            )
            through = masked(tf.matmul(d_recurrent, transposed), self.kept)
            d_before = through if direct is None else through + direct, *others
            d_before = tuple(_where(real, b, d) for b, d in zip(d_before, d_state, strict=True))
            values = (d_projected,) if summed else (d_projected, d_recurrent)
            return t - 1, d_before, *(a.write(at, v) for a, v in zip(written, values, strict=True))

        room = (self._array(width) for _ in range(1 if summed else 2))
        start = self.order.steps - 1, tuple(d_final), *room
        _, d_initial, *arrays = tf.while_loop(lambda t, *_: t >= 0, step, start, parallel_iterations=1)
        gradients = [array.stack() for array in arrays]
        before = masked(self.order.before(hidden, first), self.kept)
        multiplied = tf.reshape(before, [-1, kernel.shape[0]])
        d_kernel = tf.matmul(multiplied, tf.reshape(gradients[-1], [-1, width]), transpose_a=True)
        return gradients[0], d_kernel, *d_initial

    def _array(self, width: int | None) -> tf.TensorArray:
        shape = [None, width]
        return tf.TensorArray(tf.float32, self.order.steps, element_shape=shape, clear_after_read=False)

    def _rows(self, at: tf.Tensor, sequence: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The matrix of a sequence at a position, and which of its rows are real: bool[B]; None: all."""
        begin = tf.reshape(at, [1])
        end = begin + 1

        def row(x: tf.Tensor) -> tf.Tensor:
            # x[at], as one operation and not four
            return tf.raw_ops.StridedSlice(input=x, begin=begin, end=end, strides=[1], shrink_axis_mask=1)

        return row(sequence), None if self.mask is None else row(self.mask)


def _where(real: tf.Tensor | None, then: tf.Tensor, otherwise: tf.Tensor) -> tf.Tensor:
    """`then` in the rows that are real, `otherwise` in the others."""
    return then if real is None else tf.raw_ops.Select(condition=real, x=then, y=otherwise)
