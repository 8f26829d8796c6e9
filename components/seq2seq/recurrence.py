"""A whole sequence through a cell, with the large products outside the loop in both passes.

Forward, the input product is done before the loop (`Cell.project`). Backward, the loop carries only the
gradient of the state; the gradient of the recurrent kernel, a sum over the steps, is one product after the
loop. This is what cuDNN does on a GPU (Appleyard et al. 2016), written in core TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from components.seq2seq.cells import Cell, State

Arrays = tuple[tf.TensorArray, ...]


def scan(
    cell: Cell, inputs: tf.Tensor, initial: State, mask: tf.Tensor | None = None, reverse: bool = False
) -> tuple[tf.Tensor, State]:
    """Runs a cell over a sequence.

    Args:
      cell: the cell.
      inputs: float32[T, B, I], time first.
      initial: the state before the first step, float32[B, U] each.
      mask: bool[T, B], false on padding, where the state stays as it is; None: no padding matters.
      reverse: from the last step to the first.

    Returns:
      The hidden states float32[T, B, U] in the order of the inputs, and the state after the last step taken.
    """
    steps = tf.shape(inputs)[0]
    keep = None if mask is None else tf.cast(mask, tf.float32)[:, :, tf.newaxis]

    def place(t: tf.Tensor) -> tf.Tensor:
        """The position in the arrays of the t-th step taken."""
        return steps - 1 - t if reverse else t

    def advance(t: tf.Tensor, projected: tf.Tensor, recurrent: tf.Tensor, state: State) -> State:
        new = cell.update(projected, recurrent, state)
        if keep is None:
            return new
        real = keep[place(t)]
        return tuple(old + real * (n - old) for n, old in zip(new, state, strict=True))

    @tf.custom_gradient
    def run(projected: tf.Tensor, kernel: tf.Tensor, *state: tf.Tensor) -> tuple[Any, Callable[..., Any]]:
        units, shape = cell.units, tf.shape(projected)

        def forward(
            t: tf.Tensor, current: State, states: Arrays, recurrents: tf.TensorArray
        ) -> tuple[Any, ...]:
            at = place(t)
            recurrent = tf.matmul(current[0], kernel)
            following = advance(t, projected[at], recurrent, current)
            states = tuple(a.write(at, s) for a, s in zip(states, following, strict=True))
            return t + 1, following, states, recurrents.write(at, recurrent)

        def array(width: int) -> tf.TensorArray:
            return tf.TensorArray(tf.float32, steps, element_shape=[None, width])

        _, final, states, recurrents = tf.while_loop(
            lambda t, *_: t < steps,
            forward,
            (0, state, tuple(array(units) for _ in state), array(cell.gates * units)),
        )
        sequences = tuple(a.stack() for a in states)
        all_recurrents = recurrents.stack()

        def gradient(d_outputs: tf.Tensor, *d_final: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # The state before each step, in the order of the arrays.
            if reverse:
                previous = tuple(
                    tf.concat([s[1:], i[tf.newaxis]], 0) for s, i in zip(sequences, state, strict=True)
                )
            else:
                previous = tuple(
                    tf.concat([i[tf.newaxis], s[:-1]], 0) for s, i in zip(sequences, state, strict=True)
                )

            def backward(
                t: tf.Tensor, d_state: State, d_projected: tf.TensorArray, d_recurrent: tf.TensorArray
            ) -> tuple[Any, ...]:
                at = place(t)
                before = tuple(p[at] for p in previous)
                x, r = projected[at], all_recurrents[at]
                with tf.GradientTape() as tape:
                    tape.watch((x, r, before))
                    following = advance(t, x, r, before)
                d_state = (d_state[0] + d_outputs[at], *d_state[1:])
                dx, dr, d_before = tape.gradient(
                    following, (x, r, before), d_state, tf.UnconnectedGradients.ZERO
                )
                d_before = (d_before[0] + tf.matmul(dr, kernel, transpose_b=True), *d_before[1:])
                return t - 1, d_before, d_projected.write(at, dx), d_recurrent.write(at, dr)

            _, d_initial, d_projected, d_recurrent = tf.while_loop(
                lambda t, *_: t >= 0,
                backward,
                (steps - 1, d_final, array(cell.gates * units), array(cell.gates * units)),
            )
            hidden = tf.reshape(previous[0], [-1, units])
            d_kernel = tf.matmul(hidden, d_recurrent.concat(), transpose_a=True)
            return tf.reshape(d_projected.stack(), shape), d_kernel, *d_initial

        return (sequences[0], *final), gradient

    outputs, *final = run(cell.project(inputs), tf.convert_to_tensor(cell.recurrent_kernel), *initial)
    outputs.set_shape([None, None, cell.units])
    return outputs, tuple(final)
