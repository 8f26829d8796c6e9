"""A whole sequence through a step function, with the large products outside the loop in both passes.

Forward, products that do not depend on the state are done before the loop (`Cell.project`). Backward, the
loop carries only the gradient of the state; a weight's gradient, a sum over the steps, is one product after
the loop. This is what cuDNN does on a GPU (Appleyard et al. 2016), written in core TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from components.seq2seq.cells import Cell, State

Tensors = tuple[tf.Tensor, ...]
Product = Callable[[int, tf.Tensor], tf.Tensor]
"""The product of float32[B, I] with a loop's weight of that number."""
Step = Callable[[Tensors, State, Any, Product], tuple[State, Tensors]]
"""(this step's inputs, the state, the constants, product) -> (the next state, what else is wanted)."""


@dataclasses.dataclass(frozen=True)
class Loop:
    """What happens at every step of a sequence.

    Everything the gradient is to reach is named here or an input of `unroll`: what `step` merely closes over
    is taken as fixed.

    Attributes:
      step: one step. It multiplies by every weight exactly once, through the `product` it is given.
      weights: float32[I, O] each, multiplied with at every step.
      constants: other tensors every step uses, in any nest of tuples.
      outputs: how many tensors a step gives beside its state.
    """

    step: Step
    weights: Tensors
    constants: Any = ()
    outputs: int = 0

    def once(self, inputs: Tensors, state: State) -> tuple[State, Tensors]:
        """A single step."""
        return self.step(inputs, state, self.constants, lambda i, x: tf.matmul(x, self.weights[i]))


def scan(
    cell: Cell,
    inputs: tf.Tensor,
    initial: State,
    mask: tf.Tensor | None = None,
    reverse: bool = False,
    kept: tf.Tensor | None = None,
) -> tuple[tf.Tensor, State]:
    """Runs a cell over a sequence.

    Args:
      cell: the cell.
      inputs: float32[T, B, I], time first.
      initial: the state before the first step, float32[B, U] each.
      mask: bool[T, B], false on padding, where the state stays as it is; None: no padding matters.
      reverse: from the last step to the first.
      kept: float32[B, U], what the hidden state is multiplied with on its way into the next step (recurrent
        dropout, the same at every step: Gal and Ghahramani 2016); None: nothing.

    Returns:
      The hidden states float32[T, B, U] in the order of the inputs, and the state after the last step taken.
    """
    hidden, _, final = unroll(cell_loop(cell, kept), (cell.project(inputs),), initial, mask, reverse)
    return hidden, final


def cell_loop(cell: Cell, kept: tf.Tensor | None = None) -> Loop:
    """A cell's steps on inputs that have been through `Cell.project`."""

    def step(inputs: Tensors, state: State, constants: Any, product: Product) -> tuple[State, Tensors]:
        hidden = state[0] if kept is None else state[0] * kept
        return cell.update(inputs[0], product(0, hidden), state, constants), ()

    return Loop(step, (tf.convert_to_tensor(cell.recurrent_kernel),), cell.constants())


def unroll(
    loop: Loop, inputs: Tensors, initial: State, mask: tf.Tensor | None = None, reverse: bool = False
) -> tuple[tf.Tensor, Tensors, State]:
    """Runs a loop over a sequence.

    Args:
      inputs: float32[T, B, I] each, time first.
      initial, mask, reverse: as `scan` has them.

    Returns:
      The first tensor of the states float32[T, B, U], the steps' outputs float32[T, B, O] each, both in the
      order of the inputs, and the state after the last step taken.
    """
    steps = tf.shape(inputs[0])[0]
    keep = None if mask is None else tf.cast(mask, tf.float32)[:, :, tf.newaxis]
    shared = tuple(tf.nest.flatten(loop.constants))
    groups = [len(inputs), len(initial), len(loop.weights), len(shared)]

    def place(t: tf.Tensor) -> tf.Tensor:
        """The position in the arrays of the t-th step taken."""
        return steps - 1 - t if reverse else t

    def advance(
        at: tf.Tensor, now: Tensors, state: State, constants: Tensors, product: Product
    ) -> tuple[State, Tensors]:
        packed = tf.nest.pack_sequence_as(loop.constants, constants)
        new, outputs = loop.step(now, state, packed, product)
        if keep is None:
            return tuple(new), tuple(outputs)
        real = keep[at]
        return tuple(old + real * (n - old) for n, old in zip(new, state, strict=True)), tuple(outputs)

    def arrays(count: int) -> tuple[tf.TensorArray, ...]:
        return tuple(tf.TensorArray(tf.float32, steps, element_shape=[None, None]) for _ in range(count))

    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> tuple[Any, Callable[..., Any]]:
        inputs, initial, weights, constants = _split(tensors, groups)

        def forward(t: tf.Tensor, state: State, *written: Any) -> tuple[Any, ...]:
            at, products = place(t), {}

            def product(i: int, x: tf.Tensor) -> tf.Tensor:
                products[i] = tf.matmul(x, weights[i])
                return products[i]

            following, outputs = advance(at, tuple(s[at] for s in inputs), state, constants, product)
            values = (following, outputs, tuple(products[i] for i in range(len(weights))))
            return t + 1, following, *(_write(a, at, v) for a, v in zip(written, values, strict=True))

        room = (arrays(len(initial)), arrays(loop.outputs), arrays(len(weights)))
        _, final, *written = tf.while_loop(lambda t, *_: t < steps, forward, (0, initial, *room))
        states, outputs, products = (tuple(a.stack() for a in group) for group in written)

        def gradient(*upstream: tf.Tensor) -> Tensors:
            (d_hidden,), d_outputs, d_final = _split(upstream, [1, loop.outputs, len(initial)])
            previous = tuple(
                tf.concat([s[1:], i[tf.newaxis]] if reverse else [i[tf.newaxis], s[:-1]], 0)
                for s, i in zip(states, initial, strict=True)
            )

            def backward(t: tf.Tensor, d_state: State, d_constants: Tensors, *written: Any) -> Any:
                at, multiplied, d_products = place(t), {}, {}

                def product(i: int, x: tf.Tensor) -> tf.Tensor:
                    @tf.custom_gradient
                    def replay(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
                        def back(d: tf.Tensor) -> tf.Tensor:
                            d_products[i] = d
                            return tf.matmul(d, weights[i], transpose_b=True)

                        return tf.identity(products[i][at]), back

                    multiplied[i] = x
                    return replay(x)

                before, now = tuple(p[at] for p in previous), tuple(s[at] for s in inputs)
                with tf.GradientTape() as tape:
                    tape.watch((now, before, constants))
                    after = advance(at, now, before, constants, product)
                d_after = ((d_state[0] + d_hidden[at], *d_state[1:]), tuple(d[at] for d in d_outputs))
                d_now, d_before, more = tape.gradient(
                    after, (now, before, constants), d_after, tf.UnconnectedGradients.ZERO
                )
                d_constants = tuple(d + m for d, m in zip(d_constants, more, strict=True))
                numbers = range(len(weights))
                values = (d_now, [multiplied[i] for i in numbers], [d_products[i] for i in numbers])
                rest = (_write(a, at, v) for a, v in zip(written, values, strict=True))
                return t - 1, d_before, d_constants, *rest

            room = (arrays(len(inputs)), arrays(len(weights)), arrays(len(weights)))
            zeros = tuple(tf.zeros_like(c) for c in constants)
            _, d_initial, d_constants, d_inputs, multiplied, d_products = tf.while_loop(
                lambda t, *_: t >= 0, backward, (steps - 1, d_final, zeros, *room)
            )
            d_weights = tuple(
                tf.matmul(x.concat(), d.concat(), transpose_a=True)
                for x, d in zip(multiplied, d_products, strict=True)
            )
            d_sequences = tuple(
                tf.reshape(d.stack(), tf.shape(s)) for d, s in zip(d_inputs, inputs, strict=True)
            )
            return (*d_sequences, *d_initial, *d_weights, *d_constants)

        return (states[0], *outputs, *final), gradient

    found = run(*inputs, *initial, *loop.weights, *shared)
    (hidden,), outputs, final = _split(found, [1, loop.outputs, len(initial)])
    hidden.set_shape([None, None, initial[0].shape[-1]])
    return hidden, outputs, final


def _write(arrays: tuple[tf.TensorArray, ...], at: tf.Tensor, values: Any) -> tuple[tf.TensorArray, ...]:
    return tuple(a.write(at, v) for a, v in zip(arrays, values, strict=True))


def _split(tensors: Any, lengths: list[int]) -> list[Tensors]:
    """Consecutive groups of these lengths."""
    rest, groups = tuple(tensors), []
    for length in lengths:
        groups.append(rest[:length])
        rest = rest[length:]
    return groups
