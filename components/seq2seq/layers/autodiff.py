"""Runs a `Loop` over a sequence, and differentiates it automatically, one step at a time.

The backward loop carries only the gradients of the state and of the constants. It recomputes every step under
a tape, but reads the matrix products that the forward pass saved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bitext.components.seq2seq.layers.cells import State
from bitext.components.seq2seq.layers.loop import Loop, Order, Product, Tensors


@dataclasses.dataclass(frozen=True)
class _Operands:
    """The tensors that a gradient may flow to.

    Attributes:
      inputs: float32[T, B, ...] each, projected.
      initial: the initial state.
      weights: the weights, in the order of `Loop.weights`.
      constants: `Loop.constants`, flattened.
    """

    inputs: Tensors
    initial: State
    weights: Tensors
    constants: Tensors

    def flat(self) -> Tensors:
        """All tensors in one tuple."""
        return (*self.inputs, *self.initial, *self.weights, *self.constants)

    def replace(self, tensors: Tensors) -> _Operands:
        """Returns operands with other tensors, which are in the order of `flat`."""
        groups = (self.inputs, self.initial, self.weights, self.constants)
        return _Operands(*_split(tensors, [len(group) for group in groups]))


class ForwardPass:
    """The forward pass over a sequence, without a gradient.

    Args:
      loop: what is computed at every step.
      mask: bool[T, B], false where the state does not change; None: nowhere.
      order: the order of the steps.
    """

    def __init__(self, loop: Loop, mask: tf.Tensor | None, order: Order):
        self.loop, self.order = loop, order
        self.real = None if mask is None else tf.cast(mask, tf.float32)[:, :, tf.newaxis]

    def run(self, inputs: Tensors, initial: State) -> tuple[tf.Tensor, Tensors, State]:
        """Returns the first tensor of the states, the outputs and the final state, as `unroll` does."""
        operands = self._operands(inputs, initial)
        shapes = [initial[0].shape], [None] * self.loop.num_outputs
        ((hidden,), outputs), final = self._forward(
            operands, shapes, lambda state, outputs, products: (state[:1], outputs)
        )
        return hidden, outputs, final

    def _operands(self, inputs: Tensors, initial: State) -> _Operands:
        constants = tuple(tf.nest.flatten(self.loop.constants))
        return _Operands(inputs, tuple(initial), tuple(self.loop.weights.values()), constants)

    def _forward(
        self, operands: _Operands, shapes: Any, select: Callable[[State, Tensors, Tensors], Any]
    ) -> tuple[Any, State]:
        """Runs the loop.

        Args:
          operands: the tensors that the steps read.
          shapes: shape of each saved tensor, grouped as `select` returns them; None: any matrix.
          select: returns the tensors to save from a step's state, outputs and products with the weights.

        Returns:
          The saved tensors of all steps, float32[T, B, ...] each, and the final state.
        """
        by_name = dict(zip(self.loop.weights, operands.weights, strict=True))

        def step(t: tf.Tensor, state: State, *arrays: Any) -> tuple[Any, ...]:
            position, products = self.order.position(t), {}

            def product(name: str, x: tf.Tensor) -> tf.Tensor:
                products[name] = tf.matmul(x, by_name[name])
                return products[name]

            inputs = tuple(sequence[position] for sequence in operands.inputs)
            state, outputs = self._advance(position, inputs, state, operands.constants, product)
            values = select(state, outputs, tuple(products[name] for name in by_name))
            return t + 1, state, *(_write(a, position, v) for a, v in zip(arrays, values, strict=True))

        arrays = [self._arrays(group) for group in shapes]
        _, final, *written = tf.while_loop(
            lambda t, *_: t < self.order.steps, step, (0, operands.initial, *arrays)
        )
        return tuple(tuple(array.stack() for array in group) for group in written), final

    def _advance(
        self, position: tf.Tensor, inputs: Tensors, state: State, constants: Tensors, product: Product
    ) -> tuple[State, Tensors]:
        """Computes the step at a position of the sequence. On padding the state does not change."""
        nested = tf.nest.pack_sequence_as(self.loop.constants, constants)
        new, outputs = self.loop.step(inputs, state, nested, product)
        if self.real is None:
            return tuple(new), tuple(outputs)
        real = self.real[position]
        return tuple(old + real * (n - old) for n, old in zip(new, state, strict=True)), tuple(outputs)

    def _arrays(self, shapes: Any) -> tuple[tf.TensorArray, ...]:
        """Returns, for each shape, an array of one matrix per step."""
        return tuple(
            tf.TensorArray(tf.float32, self.order.steps, element_shape=shape or [None, None])
            for shape in shapes
        )


class DifferentiablePass(ForwardPass):
    """A forward pass that also saves what its backward pass needs."""

    def run(self, inputs: Tensors, initial: State) -> tuple[tf.Tensor, Tensors, State]:
        """Returns the first tensor of the states, the outputs and the final state, as `unroll` does."""
        loop, operands = self.loop, self._operands(inputs, initial)
        shapes = (
            [tensor.shape for tensor in initial],
            [None] * loop.num_outputs,
            [[None, weight.shape[1]] for weight in operands.weights],
        )

        @tf.custom_gradient
        def run(*tensors: tf.Tensor) -> tuple[Any, Callable[..., Any]]:
            current = operands.replace(tensors)
            (states, outputs, products), final = self._forward(current, shapes, lambda *tensors: tensors)

            def gradient(*upstream: tf.Tensor) -> Tensors:
                (d_hidden,), d_outputs, d_final = _split(upstream, [1, loop.num_outputs, len(initial)])
                return self._backward(current, states, products, d_hidden, d_outputs, d_final)

            return (states[0], *outputs, *final), gradient

        (hidden,), outputs, final = _split(run(*operands.flat()), [1, loop.num_outputs, len(initial)])
        return hidden, outputs, final

    def _backward(
        self,
        operands: _Operands,
        states: State,
        products: Tensors,
        d_hidden: tf.Tensor,
        d_outputs: Tensors,
        d_final: State,
    ) -> Tensors:
        """Returns the gradients of inputs, initial state, weights and constants, in that order.

        Every step is recomputed under a tape, with the products that the forward pass saved. The factors of
        each product and their gradients are collected, so that the gradient of a weight is one product of all
        steps.
        """
        states_before = tuple(map(self.order.states_before, states, operands.initial))
        differentiated = len(operands.inputs) - self.loop.num_fixed_inputs

        def step(t: tf.Tensor, d_state: State, d_constants: Tensors, *arrays: Any) -> tuple[Any, ...]:
            position = self.order.position(t)
            inputs = tuple(sequence[position] for sequence in operands.inputs)
            watched = inputs[:differentiated], tuple(b[position] for b in states_before), operands.constants
            saved = _SavedProducts(self.loop.weights, operands.weights, products, position)
            with tf.GradientTape() as tape:
                tape.watch(watched)
                new = self._advance(position, inputs, watched[1], operands.constants, saved.product)
            d_after = (d_state[0] + d_hidden[position], *d_state[1:]), tuple(d[position] for d in d_outputs)
            gradients = tape.gradient(new, watched, d_after, tf.UnconnectedGradients.ZERO)
            d_inputs, d_before, d_constants_here = gradients
            d_constants = tuple(total + d for total, d in zip(d_constants, d_constants_here, strict=True))
            values = d_inputs, saved.in_order(saved.factors), saved.in_order(saved.gradients)
            written = (_write(a, position, v) for a, v in zip(arrays, values, strict=True))
            return t - 1, d_before, d_constants, *written

        weights = len(operands.weights)
        arrays = (self._arrays([None] * number) for number in (differentiated, weights, weights))
        zeros = tuple(tf.zeros_like(constant) for constant in operands.constants)
        _, d_initial, d_constants, d_inputs, factors, d_products = tf.while_loop(
            lambda t, *_: t >= 0, step, (self.order.steps - 1, d_final, zeros, *arrays)
        )
        d_weights = (
            tf.matmul(x.concat(), d.concat(), transpose_a=True)
            for x, d in zip(factors, d_products, strict=True)
        )
        d_sequences = (
            tf.reshape(d.stack(), tf.shape(sequence))
            for d, sequence in zip(d_inputs, operands.inputs, strict=False)
        )
        return (*d_sequences, *[None] * self.loop.num_fixed_inputs, *d_initial, *d_weights, *d_constants)


class _SavedProducts:
    """Reads the products of one step that the forward pass saved, instead of computing them again.

    Args:
      names: names of the weights.
      weights: float32[I, O] each.
      products: the products of all steps, float32[T, B, O] each.
      position: int32[], position of the step.

    Attributes:
      factors: float32[B, I], the tensor that each weight is multiplied with, by the weight's name.
      gradients: float32[B, O], the gradient of each product, by the weight's name; set by the tape.
    """

    def __init__(self, names: Any, weights: Tensors, products: Tensors, position: tf.Tensor):
        self._by_name = dict(zip(names, zip(weights, products, strict=True), strict=True))
        self._position = position
        self.factors: dict[str, tf.Tensor] = {}
        self.gradients: dict[str, tf.Tensor] = {}

    def product(self, name: str, x: tf.Tensor) -> tf.Tensor:
        """Returns the saved product of x float32[B, I] with a weight, with the gradient of a product."""
        weight, saved = self._by_name[name]

        @tf.custom_gradient
        def read(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            def gradient(d: tf.Tensor) -> tf.Tensor:
                self.gradients[name] = d
                return tf.matmul(d, weight, transpose_b=True)

            return tf.identity(saved[self._position]), gradient

        self.factors[name] = x
        return read(x)

    def in_order(self, by_name: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        """Returns the values in the order of the weights."""
        return [by_name[name] for name in self._by_name]


def _write(
    arrays: tuple[tf.TensorArray, ...], position: tf.Tensor, values: Any
) -> tuple[tf.TensorArray, ...]:
    return tuple(array.write(position, value) for array, value in zip(arrays, values, strict=True))


def _split(tensors: Any, lengths: list[int]) -> list[Tensors]:
    """Splits a sequence into consecutive groups of these lengths."""
    rest, groups = tuple(tensors), []
    for length in lengths:
        groups.append(rest[:length])
        rest = rest[length:]
    return groups
