"""One step of a recurrent cell, without the products that can be computed outside the loop.

A step is `step(inputs @ W + b, hidden @ U, state, constants)`. The first product does not depend on the
state, so `project` computes it for a whole sequence at once. Only `hidden @ U` and the element-wise `step`
are sequential.

A cell needs `step` only: `recurrence` differentiates it. A cell that also has a hand-written backward pass
(`CellWithBackward`) trains faster.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

State = tuple[tf.Tensor, ...]
"""A cell's state: float32[B, U] for each of its `state_names`."""
Residuals = Callable[[], tuple[tf.Tensor, ...]]
"""Computes the tensors float32[B, ...] that the backward pass of a step needs. Called in training only."""
EPSILON = 1e-5
"""Added to the variance in layer normalization."""


class Cell(keras.layers.Layer):
    """Base class of the cells.

    A subclass sets `gates` and `state_names` and implements `step`. If `step` needs other weights, it reads
    them from `constants`: weights that it reads from `self` get no gradient. `keras.layers.RNN(cell)` runs a
    cell, too.

    With `layer_norm`, both products are normalized, each with its own gain (Ba et al. 2016, equations 20 to
    22).

    Attributes:
      units: width U of the hidden state.
      gates: number of blocks of `units` columns in the kernels.
      state_names: a name for every tensor of the state. The first is the hidden state, which is the output.
    """

    gates: int = 1
    state_names: tuple[str, ...] = ("hidden",)

    def __init__(self, input_units: int, units: int, name: str, layer_norm: bool = False):
        super().__init__(name=name)
        self.units = units
        self.gains: list[keras.Variable] = []
        self.kernel = self.add_weight(
            name="kernel", shape=(input_units, self.gates * units), initializer="glorot_uniform"
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(units, self.gates * units),
            initializer=_orthogonal_blocks(self.gates),
        )
        self.bias = self.add_weight(name="bias", shape=(self.gates * units,), initializer=self.initial_bias)
        if layer_norm:
            self.gains = [self._gain("gain", self.gates * units), *self.extra_gains()]
            self.input_gain = self._gain("input_gain", self.gates * units)

    def _gain(self, name: str, width: int) -> keras.Variable:
        return self.add_weight(name=name, shape=(width,), initializer="ones")

    def extra_gains(self) -> list[keras.Variable]:
        """Creates the gains of the tensors that the cell normalizes in addition to the two products."""
        return []

    def initial_bias(self, shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        """Initializer of the bias: zeros unless a subclass overrides it."""
        return tf.zeros(shape, dtype or "float32")

    def constants(self) -> tuple[tf.Tensor, ...]:
        """Tensors that every `step` needs: the gains of layer normalization, or nothing."""
        return tuple(tf.convert_to_tensor(gain) for gain in self.gains)

    def project(self, inputs: tf.Tensor) -> tf.Tensor:
        """Computes the part of the gates that does not depend on the state.

        Args:
          inputs: float32[..., I].

        Returns:
          float32[..., gates * U].
        """
        return self.add_bias(multiply(inputs, self.kernel), self.bias_terms())

    def bias_terms(self) -> tuple[tf.Tensor, ...]:
        """Tensors that `add_bias` needs: the bias and, with layer normalization, the gain of the product."""
        return tuple(map(tf.convert_to_tensor, [self.bias, self.input_gain] if self.gains else [self.bias]))

    def add_bias(self, product: tf.Tensor, bias_terms: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """Normalizes `inputs @ kernel` float32[..., gates * U] if it has a gain, and adds the bias."""
        return tf.nn.bias_add(_layer_norm(product, bias_terms[1:]), bias_terms[0])

    def step(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> State:
        """Computes the next state.

        Args:
          projected: float32[B, gates * U], `project(inputs)` at this step.
          recurrent: float32[B, gates * U], `hidden @ recurrent_kernel`.
          state: float32[B, U] for each of `state_names`.
          constants: from `constants()`.

        Returns:
          The state after the step.
        """
        raise NotImplementedError

    def zero_state(self, batch: tf.Tensor | int) -> State:
        """A state of zeros for `batch` rows."""
        return tuple(tf.zeros([batch, self.units]) for _ in self.state_names)

    @property
    def state_size(self) -> list[int]:
        """Widths of the state's tensors, for `keras.layers.RNN`."""
        return [self.units for _ in self.state_names]

    def call(self, inputs: tf.Tensor, states: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """One step as `keras.layers.RNN` calls it: inputs float32[B, I] -> the output and the next state."""
        recurrent = tf.matmul(states[0], self.recurrent_kernel)
        state = self.step(self.project(inputs), recurrent, tuple(states), self.constants())
        return state[0], list(state)


class CellWithBackward(Cell):
    """A cell with a hand-written backward pass, which `bptt` uses in training.

    Attributes:
      num_residuals: number of tensors that `backward` needs of a step.
    """

    num_residuals: int

    def step(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> State:
        """Computes the next state."""
        return self.step_with_residuals(projected, recurrent, state, constants)[0]

    def step_with_residuals(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> tuple[State, Residuals]:
        """Computes the next state and a function that computes the residuals of the step.

        The residuals are valid without layer normalization only. Arguments as in `step`.
        """
        raise NotImplementedError

    def backward(
        self, residuals: tuple[tf.Tensor, ...], d_state: State
    ) -> tuple[tf.Tensor, tf.Tensor, tuple[tf.Tensor | None, ...]]:
        """Vector-Jacobian product of one step.

        Args:
          residuals: the residuals of the step, in the order of `step_with_residuals`.
          d_state: gradient of the state after the step, float32[B, U] each.

        Returns:
          The gradients of `projected`, of `recurrent`, and of each tensor of the state before the step. The
          last do not include the use of the hidden state in the product `recurrent`. None: there is no other
          use.
        """
        raise NotImplementedError


class SimpleRNNCell(CellWithBackward):
    """Simple recurrent network: h' = tanh(W x + U h + b) (Elman 1990)."""

    gates = 1
    num_residuals = 1

    def step_with_residuals(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> tuple[State, Residuals]:
        hidden = tf.tanh(projected + _layer_norm(recurrent, constants))
        return (hidden,), lambda: (hidden,)

    def backward(
        self, residuals: tuple[tf.Tensor, ...], d_state: State
    ) -> tuple[tf.Tensor, tf.Tensor, tuple[tf.Tensor | None, ...]]:
        d = _tanh_gradient(residuals[0], d_state[0])
        return d, d, (None,)


class LSTMCell(CellWithBackward):
    """Long short-term memory with forget gates (Gers et al. 2000). Gate order i, f, c, o, as in Keras.

    With `layer_norm`, the cell state is normalized before the output gate, too.
    """

    gates = 4
    num_residuals = 3
    state_names = ("hidden", "cell")

    def extra_gains(self) -> list[keras.Variable]:
        """Creates the gain of the cell state."""
        return [self._gain("cell_gain", self.units)]

    def initial_bias(self, shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        """Ones for the forget gate (Jozefowicz et al. 2015), zeros elsewhere."""
        zeros = tf.zeros([shape[0] // 4], dtype or "float32")
        return tf.concat([zeros, zeros + 1.0, zeros, zeros], 0)

    def step_with_residuals(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> tuple[State, Residuals]:
        i, f, c, o = tf.split(projected + _layer_norm(recurrent, constants), 4, axis=-1)
        i, f, c, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(c), tf.sigmoid(o)
        cell = f * state[1] + i * c
        out = tf.tanh(_layer_norm(cell, constants[1:]))

        def residuals() -> tuple[tf.Tensor, ...]:
            gates = [
                _sigmoid_gradient(i, c),
                _sigmoid_gradient(f, state[1]),
                _tanh_gradient(c, i),
                _sigmoid_gradient(o, out),
            ]
            return tf.concat(gates, -1), _tanh_gradient(out, o), f

        return (o * out, cell), residuals

    def backward(
        self, residuals: tuple[tf.Tensor, ...], d_state: State
    ) -> tuple[tf.Tensor, tf.Tensor, tuple[tf.Tensor | None, ...]]:
        gates, out, f = residuals
        d_hidden, d_cell = d_state
        d_cell += d_hidden * out
        d = tf.concat([d_cell, d_cell, d_cell, d_hidden], -1) * gates
        return d, d, (None, d_cell * f)


class GRUCell(CellWithBackward):
    """Gated recurrent unit (Cho et al. 2014), with the reset gate after the product as in cuDNN and Keras."""

    gates = 3
    num_residuals = 3

    def step_with_residuals(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> tuple[State, Residuals]:
        xz, xr, xh = tf.split(projected, 3, axis=-1)
        hz, hr, hh = tf.split(_layer_norm(recurrent, constants), 3, axis=-1)
        update, reset = tf.sigmoid(xz + hz), tf.sigmoid(xr + hr)
        candidate = tf.tanh(xh + reset * hh)
        change = state[0] - candidate

        def residuals() -> tuple[tf.Tensor, ...]:
            inner = _tanh_gradient(candidate, 1.0 - update)
            gates = [_sigmoid_gradient(update, change), _sigmoid_gradient(reset, hh * inner), inner]
            return tf.concat(gates, -1), reset, update

        return (candidate + update * change,), residuals

    def backward(
        self, residuals: tuple[tf.Tensor, ...], d_state: State
    ) -> tuple[tf.Tensor, tf.Tensor, tuple[tf.Tensor | None, ...]]:
        gates, reset, update = residuals
        (d,) = d_state
        d_projected = tf.concat([d, d, d], -1) * gates
        d_gates, d_inner = tf.split(d_projected, [2 * self.units, self.units], -1)
        return d_projected, tf.concat([d_gates, d_inner * reset], -1), (d * update,)


CELLS: dict[str, type[Cell]] = {"lstm": LSTMCell, "gru": GRUCell, "rnn": SimpleRNNCell}
"""The cells by their name in `ModelSettings.cell`."""


def multiply(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes `inputs @ kernel` as one matrix product.

    Args:
      inputs: float32[..., I].
      kernel: float32[I, O].

    Returns:
      float32[..., O].
    """
    flat = tf.matmul(tf.reshape(inputs, [-1, kernel.shape[0]]), kernel)
    return tf.reshape(flat, tf.concat([tf.shape(inputs)[:-1], [kernel.shape[1]]], 0))


def _sigmoid_gradient(value: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    """Multiplies d by the derivative of the sigmoid at the point where the sigmoid is `value`."""
    return tf.raw_ops.SigmoidGrad(y=value, dy=d)


def _tanh_gradient(value: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    """Multiplies d by the derivative of tanh at the point where tanh is `value`."""
    return tf.raw_ops.TanhGrad(y=value, dy=d)


def normalize(inputs: tf.Tensor) -> tf.Tensor:
    """Normalizes to mean 0 and variance 1 over the last axis (Ba et al. 2016)."""
    centered = inputs - tf.reduce_mean(inputs, -1, keepdims=True)
    return centered * tf.math.rsqrt(tf.reduce_mean(tf.square(centered), -1, keepdims=True) + EPSILON)


def _layer_norm(inputs: tf.Tensor, gains: tuple[tf.Tensor, ...]) -> tf.Tensor:
    """Normalizes the inputs and multiplies them by the first gain; without gains, returns them unchanged."""
    return normalize(inputs) * gains[0] if gains else inputs


def _orthogonal_blocks(gates: int) -> Callable[..., tf.Tensor]:
    """Returns an initializer that makes each gate's square block an orthogonal matrix (Saxe et al. 2014)."""

    def initialize(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        block = keras.initializers.Orthogonal(seed=keras.random.SeedGenerator())
        return tf.concat([block((shape[0], shape[0]), dtype=dtype) for _ in range(gates)], 1)

    return initialize
