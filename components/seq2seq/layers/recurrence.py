"""A whole sequence through a step function, with the large products outside the loop in both passes.

Forward, products that do not depend on the state are done before the loop (`Cell.project`). Backward, the
loop carries only the gradients of the state and of what every step shares; a weight's gradient, a sum over
the steps, is one product after the loop. This is what cuDNN does on a GPU (Appleyard et al. 2016), written in
core TensorFlow. A cell alone in its loop, without layer normalisation, is trained by `slopes`, which is
quicker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bitext.components.seq2seq.layers.bptt import Order, record
from bitext.components.seq2seq.layers.cells import Cell, State
from bitext.components.seq2seq.layers.dropout import masked

Tensors = tuple[tf.Tensor, ...]
Product = Callable[[str, tf.Tensor], tf.Tensor]
"""The product of float32[B, I] with a loop's weight of that name."""
Step = Callable[[Tensors, State, Any, Product], tuple[State, Tensors]]
"""(this step's inputs, the state, the constants, product) -> (the next state, what else is wanted)."""


@dataclasses.dataclass(frozen=True)
class Loop:
    """What happens at every step of a sequence.

    Everything the gradient is to reach is named here or an input of `unroll`: what `step` merely closes over
    is taken as fixed.

    Attributes:
      project: what becomes of the first of the inputs, float32[..., I], of all steps at once and before the
        loop: the products that do not depend on the state.
      step: one step. It multiplies by every weight exactly once, through the `product` it is given.
      weights: float32[I, O] each, multiplied with at every step, by name.
      constants: other tensors every step uses, in any nest of tuples.
      outputs: how many tensors a step gives beside its state.
      fixed: how many of the inputs, the last, need no gradient.
      cell, kept: the cell and its recurrent dropout, where a step is that and nothing else.
    """

    project: Callable[[tf.Tensor], tf.Tensor]
    step: Step
    weights: dict[str, tf.Tensor]
    constants: Any = ()
    outputs: int = 0
    fixed: int = 0
    cell: Cell | None = None
    kept: tf.Tensor | None = None

    def once(self, inputs: Tensors, state: State) -> tuple[State, Tensors]:
        """A single step."""
        inputs = self.project(inputs[0]), *inputs[1:]
        return self.step(inputs, state, self.constants, lambda name, x: tf.matmul(x, self.weights[name]))


def scan(
    cell: Cell,
    inputs: tf.Tensor,
    initial: State,
    mask: tf.Tensor | None = None,
    reverse: bool = False,
    kept: tf.Tensor | None = None,
    training: bool = True,
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
      training: whether a gradient is wanted.

    Returns:
      The hidden states float32[T, B, U] in the order of the inputs, and the state after the last step taken.
    """
    hidden, _, final = unroll(cell_loop(cell, kept), (inputs,), initial, mask, reverse, training)
    return hidden, final


def cell_loop(cell: Cell, kept: tf.Tensor | None = None) -> Loop:
    """A cell's steps."""

    def step(inputs: Tensors, state: State, constants: Any, product: Product) -> tuple[State, Tensors]:
        return cell.update(inputs[0], product("recurrent", masked(state[0], kept)), state, constants), ()

    weights = {"recurrent": tf.convert_to_tensor(cell.recurrent_kernel)}
    return Loop(cell.project, step, weights, cell.constants(), cell=cell, kept=kept)


def unroll(
    loop: Loop,
    inputs: Tensors,
    initial: State,
    mask: tf.Tensor | None = None,
    reverse: bool = False,
    training: bool = True,
) -> tuple[tf.Tensor, Tensors, State]:
    """Runs a loop over a sequence.

    Args:
      inputs: float32[T, B, I] each, time first.
      initial, mask, reverse: as `scan` has them.
      training: whether a gradient is wanted. Without, what is exported holds no gradient of ours either.

    Returns:
      The first tensor of the states float32[T, B, U], the steps' outputs float32[T, B, O] each, both in the
      order of the inputs, and the state after the last step taken.
    """
    inputs = loop.project(inputs[0]), *inputs[1:]
    order = Order(tf.shape(inputs[0])[0], reverse)
    if training and loop.cell is not None and not loop.cell.gains:
        hidden, final = record(loop.cell, inputs[0], initial, mask, order, loop.kept)
        return hidden, (), final
    shared = tuple(tf.nest.flatten(loop.constants))
    groups = [len(inputs), len(initial), len(loop.weights), len(shared)]
    passes = _Passes(loop, mask, order)

    def only_forward(*tensors: tf.Tensor) -> Tensors:
        sequences, first, weights, constants = _split(tensors, groups)
        states, outputs, _, final = passes.forward(sequences, first, weights, constants, learning=False)
        return states[0], *outputs, *final

    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> tuple[Any, Callable[..., Any]]:
        sequences, first, weights, constants = _split(tensors, groups)
        kept = passes.forward(sequences, first, weights, constants, learning=True)
        states, outputs, products, final = kept

        def gradient(*upstream: tf.Tensor) -> Tensors:
            (d_hidden,), d_outputs, d_final = _split(upstream, [1, loop.outputs, len(initial)])
            known = sequences, first, weights, constants, states, products
            return passes.backward(*known, d_hidden, d_outputs, d_final)

        return (states[0], *outputs, *final), gradient

    found = (run if training else only_forward)(*inputs, *initial, *loop.weights.values(), *shared)
    (hidden,), outputs, final = _split(found, [1, loop.outputs, len(initial)])
    hidden.set_shape([None, None, initial[0].shape[-1]])
    return hidden, outputs, final


class _Passes:
    """The forward pass over a sequence, and the backward pass that makes its gradient.

    Args:
      loop: what happens at every step.
      mask: bool[T, B], false where the state stays as it is; None: nowhere.
      order: of the steps.
    """

    def __init__(self, loop: Loop, mask: tf.Tensor | None, order: Order):
        self.loop, self.order = loop, order
        self.keep = None if mask is None else tf.cast(mask, tf.float32)[:, :, tf.newaxis]

    def forward(
        self, inputs: Tensors, initial: State, weights: Tensors, constants: Tensors, learning: bool
    ) -> tuple[State, Tensors, Tensors, State]:
        """States, outputs and the products of every step float32[T, B, ...], and the final state.

        Only if it is for `learning`, for the backward pass needs them, are there products, and more than the
        first tensor of the states.
        """
        by_name = dict(zip(self.loop.weights, weights, strict=True))

        def step(t: tf.Tensor, state: State, *written: Any) -> tuple[Any, ...]:
            at, products = self.order.place(t), {}

            def product(name: str, x: tf.Tensor) -> tf.Tensor:
                products[name] = tf.matmul(x, by_name[name])
                return products[name]

            now = tuple(s[at] for s in inputs)
            following, outputs = self._advance(at, now, state, constants, product)
            values = _kept(following, outputs, tuple(products[name] for name in by_name), learning)
            return t + 1, following, *(_write(a, at, v) for a, v in zip(written, values, strict=True))

        shapes = [s.shape for s in initial], [None] * self.loop.outputs, [[None, w.shape[1]] for w in weights]
        room = [self._arrays(group) for group in _kept(*shapes, learning)]
        _, final, *written = tf.while_loop(lambda t, *_: t < self.order.steps, step, (0, initial, *room))
        states, outputs, products = (tuple(a.stack() for a in group) for group in written)
        return states, outputs, products, final

    def backward(
        self,
        inputs: Tensors,
        initial: State,
        weights: Tensors,
        constants: Tensors,
        states: State,
        products: Tensors,
        d_hidden: tf.Tensor,
        d_outputs: Tensors,
        d_final: State,
    ) -> Tensors:
        """Gradients of inputs, initial state, weights and constants, in that order.

        Every step is taken again, with the products the forward pass kept; what they were products of, and
        their gradients, are gathered, so that a weight's gradient is one product of all steps.
        """
        previous = tuple(self.order.before(s, i) for s, i in zip(states, initial, strict=True))
        by_name = dict(zip(self.loop.weights, zip(weights, products, strict=True), strict=True))
        learning = len(inputs) - self.loop.fixed

        def step(t: tf.Tensor, d_state: State, d_constants: Tensors, *written: Any) -> tuple[Any, ...]:
            at, multiplied, d_products = self.order.place(t), {}, {}

            def product(name: str, x: tf.Tensor) -> tf.Tensor:
                weight, stored = by_name[name]

                @tf.custom_gradient
                def again(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
                    def back(d: tf.Tensor) -> tf.Tensor:
                        d_products[name] = d
                        return tf.matmul(d, weight, transpose_b=True)

                    return tf.identity(stored[at]), back

                multiplied[name] = x
                return again(x)

            before, now = tuple(p[at] for p in previous), tuple(s[at] for s in inputs)
            learnt = now[:learning]
            with tf.GradientTape() as tape:
                tape.watch((learnt, before, constants))
                after = self._advance(at, now, before, constants, product)
            d_after = ((d_state[0] + d_hidden[at], *d_state[1:]), tuple(d[at] for d in d_outputs))
            d_now, d_before, more = tape.gradient(
                after, (learnt, before, constants), d_after, tf.UnconnectedGradients.ZERO
            )
            d_constants = tuple(d + m for d, m in zip(d_constants, more, strict=True))
            values = (d_now, [multiplied[n] for n in by_name], [d_products[n] for n in by_name])
            rest = (_write(a, at, v) for a, v in zip(written, values, strict=True))
            return t - 1, d_before, d_constants, *rest

        room = (self._arrays([None] * many) for many in (learning, len(weights), len(weights)))
        zeros = tuple(tf.zeros_like(c) for c in constants)
        _, d_initial, d_constants, d_inputs, multiplied, d_products = tf.while_loop(
            lambda t, *_: t >= 0, step, (self.order.steps - 1, d_final, zeros, *room)
        )
        d_weights = (
            tf.matmul(x.concat(), d.concat(), transpose_a=True)
            for x, d in zip(multiplied, d_products, strict=True)
        )
        d_sequences = (tf.reshape(d.stack(), tf.shape(s)) for d, s in zip(d_inputs, inputs, strict=False))
        d_fixed = [None] * self.loop.fixed
        return (*d_sequences, *d_fixed, *d_initial, *d_weights, *d_constants)

    def _advance(
        self, at: tf.Tensor, now: Tensors, state: State, constants: Tensors, product: Product
    ) -> tuple[State, Tensors]:
        """A step at a position of the arrays; on padding the state stays as it is."""
        packed = tf.nest.pack_sequence_as(self.loop.constants, constants)
        new, outputs = self.loop.step(now, state, packed, product)
        if self.keep is None:
            return tuple(new), tuple(outputs)
        real = self.keep[at]
        return tuple(old + real * (n - old) for n, old in zip(new, state, strict=True)), tuple(outputs)

    def _arrays(self, shapes: Any) -> tuple[tf.TensorArray, ...]:
        """An array of a matrix each step, for each of the shapes; None: whatever it is."""
        return tuple(
            tf.TensorArray(tf.float32, self.order.steps, element_shape=shape or [None, None])
            for shape in shapes
        )


def _kept(states: Any, outputs: Any, products: Any, learning: bool) -> tuple[Any, Any, Any]:
    """What of a step, or of the shapes of it, the forward pass keeps."""
    return (states, outputs, products) if learning else (states[:1], outputs, ())


def _write(arrays: tuple[tf.TensorArray, ...], at: tf.Tensor, values: Any) -> tuple[tf.TensorArray, ...]:
    return tuple(a.write(at, v) for a, v in zip(arrays, values, strict=True))


def _split(tensors: Any, lengths: list[int]) -> list[Tensors]:
    """Consecutive groups of these lengths."""
    rest, groups = tuple(tensors), []
    for length in lengths:
        groups.append(rest[:length])
        rest = rest[length:]
    return groups
