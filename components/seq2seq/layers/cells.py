"""One step of a recurrent cell, cut where the work can be hoisted out of the recurrence.

A cell is a function `step(inputs @ W + b, hidden @ U, state, constants)`. The first product does not depend
on the state, so a whole sequence's is one large product (`project`); only `hidden @ U` and the element-wise
`step` are sequential. Whole sequences (`recurrence`, `slopes`) and single tokens go through both.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

State = tuple[tf.Tensor, ...]
Slopes = Callable[[], tuple[tf.Tensor, ...]]
"""Makes what `Cell.pull` needs of a step, float32[B, ...] each, if the step is to be learnt from."""
EPSILON = 1e-5


class Cell(keras.layers.Layer):
    """Base of the cells.

    With `layer_norm`, both products are normalised, each by itself and with a gain (Ba et al. 2016, equations
    20 to 22), and so is an LSTM's cell state on its way out.

    Attributes:
      units: width U of the hidden state.
      gates: how many blocks of `units` columns the products have.
      state_names: a name for every tensor of the state; the first is the hidden state, the cell's output.
      slopes: how many tensors `pull` needs of a step.
      summed: whether `projected` and `recurrent` are used by their sum alone and so have one gradient.
    """

    gates: int
    state_names: tuple[str, ...] = ("hidden",)
    slopes: int
    summed = True

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
            self.gains = [self._gain("gain", self.gates * units), *self.more_gains()]
            self.input_gain = self._gain("input_gain", self.gates * units)

    def _gain(self, name: str, width: int) -> keras.Variable:
        return self.add_weight(name=name, shape=(width,), initializer="ones")

    def more_gains(self) -> list[keras.Variable]:
        """Gains of what a cell normalises beside its products."""
        return []

    def constants(self) -> tuple[tf.Tensor, ...]:
        """What `update` needs beside the products: the gains of layer normalisation, or nothing."""
        return tuple(tf.convert_to_tensor(gain) for gain in self.gains)

    def initial_bias(self, shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        """Zeros, where the cell knows no better."""
        return tf.zeros(shape, dtype or "float32")

    def project(self, inputs: tf.Tensor) -> tf.Tensor:
        """The part of the gates free of the state: float32[..., I] to float32[..., gates * U]."""
        return times(inputs, self.kernel, lambda product: self.shift(product, self.shifts()))

    def shifts(self) -> tuple[tf.Tensor, ...]:
        """What `shift` needs: the bias, and the gain of layer normalisation."""
        return tuple(map(tf.convert_to_tensor, [self.bias, self.input_gain] if self.gains else [self.bias]))

    def shift(self, product: tf.Tensor, shifts: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """What `project` does to the product `inputs @ kernel`, float32[N, gates * U]."""
        return tf.nn.bias_add(_normed(product, shifts[1:]), shifts[0])

    def update(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> State:
        """The state after a step; arguments as `step` has them."""
        return self.step(projected, recurrent, state, constants)[0]

    def step(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> tuple[State, Slopes]:
        """One step.

        Args:
          projected: float32[B, gates * U], `project(inputs)` at this step.
          recurrent: float32[B, gates * U], `hidden @ recurrent_kernel`.
          state: one float32[B, U] for each of `state_names`.
          constants: the cell's own, from `constants()`.

        Returns:
          The state after it, and what makes its slopes: those of a step without layer normalisation.
        """
        raise NotImplementedError

    def pull(
        self, slopes: tuple[tf.Tensor, ...], d_state: State
    ) -> tuple[tf.Tensor, tf.Tensor, tuple[tf.Tensor | None, ...]]:
        """The gradient of a step, from that of the state after it.

        Args:
          slopes: the step's, in the order `step` gives them.
          d_state: the gradient of the state after the step, float32[B, U] each.

        Returns:
          The gradients of `projected`, of `recurrent`, and of the state before the step as far as it is used
          beside the product `recurrent`; None: it is not.
        """
        raise NotImplementedError

    def zero_state(self, batch: tf.Tensor) -> State:
        """A state of zeros for `batch` rows."""
        return tuple(tf.zeros([batch, self.units]) for _ in self.state_names)


class SimpleRNNCell(Cell):
    """h' = tanh(W x + U h + b) (Elman 1990)."""

    gates = 1
    slopes = 1

    def step(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> tuple[State, Slopes]:
        hidden = tf.tanh(projected + _normed(recurrent, constants))
        return (hidden,), lambda: (hidden,)

    def pull(
        self, slopes: tuple[tf.Tensor, ...], d_state: State
    ) -> tuple[tf.Tensor, tf.Tensor, tuple[tf.Tensor | None, ...]]:
        d = _through_tanh(slopes[0], d_state[0])
        return d, d, (None,)


class LSTMCell(Cell):
    """Long short-term memory with forget gates (Gers et al. 2000); gate order i, f, c, o as in Keras."""

    gates = 4
    slopes = 3
    state_names = ("hidden", "cell")

    def more_gains(self) -> list[keras.Variable]:
        """The cell state's."""
        return [self._gain("cell_gain", self.units)]

    def initial_bias(self, shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        """Ones for the forget gate (Jozefowicz et al. 2015), zeros elsewhere."""
        block = tf.zeros([shape[0] // 4], dtype or "float32")
        return tf.concat([block, block + 1.0, block, block], 0)

    def step(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> tuple[State, Slopes]:
        i, f, c, o = tf.split(projected + _normed(recurrent, constants), 4, axis=-1)
        i, f, c, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(c), tf.sigmoid(o)
        cell = f * state[1] + i * c
        out = tf.tanh(_normed(cell, constants[1:]))

        def slopes() -> tuple[tf.Tensor, ...]:
            gates = [
                _through_sigmoid(i, c),
                _through_sigmoid(f, state[1]),
                _through_tanh(c, i),
                _through_sigmoid(o, out),
            ]
            return tf.concat(gates, -1), _through_tanh(out, o), f

        return (o * out, cell), slopes

    def pull(
        self, slopes: tuple[tf.Tensor, ...], d_state: State
    ) -> tuple[tf.Tensor, tf.Tensor, tuple[tf.Tensor | None, ...]]:
        gates, out, f = slopes
        d_hidden, d_cell = d_state
        d_cell += d_hidden * out
        d = tf.concat([d_cell, d_cell, d_cell, d_hidden], -1) * gates
        return d, d, (None, d_cell * f)


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al. 2014) with the reset after the product, as cuDNN and Keras have it."""

    gates = 3
    slopes = 3
    summed = False

    def step(
        self, projected: tf.Tensor, recurrent: tf.Tensor, state: State, constants: tuple[tf.Tensor, ...]
    ) -> tuple[State, Slopes]:
        xz, xr, xh = tf.split(projected, 3, axis=-1)
        hz, hr, hh = tf.split(_normed(recurrent, constants), 3, axis=-1)
        update, reset = tf.sigmoid(xz + hz), tf.sigmoid(xr + hr)
        candidate = tf.tanh(xh + reset * hh)
        change = state[0] - candidate

        def slopes() -> tuple[tf.Tensor, ...]:
            inner = _through_tanh(candidate, 1.0 - update)
            gates = [_through_sigmoid(update, change), _through_sigmoid(reset, hh * inner), inner]
            return tf.concat(gates, -1), reset, update

        return (candidate + update * change,), slopes

    def pull(
        self, slopes: tuple[tf.Tensor, ...], d_state: State
    ) -> tuple[tf.Tensor, tf.Tensor, tuple[tf.Tensor | None, ...]]:
        gates, reset, update = slopes
        (d,) = d_state
        d_projected = tf.concat([d, d, d], -1) * gates
        d_gates, d_inner = tf.split(d_projected, [2 * self.units, self.units], -1)
        return d_projected, tf.concat([d_gates, d_inner * reset], -1), (d * update,)


CELLS: dict[str, type[Cell]] = {"lstm": LSTMCell, "gru": GRUCell, "rnn": SimpleRNNCell}


def times(
    inputs: tf.Tensor, kernel: tf.Tensor, then: Callable[[tf.Tensor], tf.Tensor] = lambda product: product
) -> tf.Tensor:
    """inputs float32[..., I] @ kernel float32[I, O] as one matrix product, a matrix until `then` was done."""
    flat = then(tf.matmul(tf.reshape(inputs, [-1, kernel.shape[0]]), kernel))
    return tf.reshape(flat, tf.concat([tf.shape(inputs)[:-1], [kernel.shape[1]]], 0))


def _through_sigmoid(value: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    """d times the slope of the sigmoid where its value is `value`."""
    return tf.raw_ops.SigmoidGrad(y=value, dy=d)


def _through_tanh(value: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    """d times the slope of tanh where its value is `value`."""
    return tf.raw_ops.TanhGrad(y=value, dy=d)


def normalise(inputs: tf.Tensor) -> tf.Tensor:
    """Mean 0 and variance 1 over the last axis (Ba et al. 2016)."""
    centred = inputs - tf.reduce_mean(inputs, -1, keepdims=True)
    return centred * tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + EPSILON)


def _normed(inputs: tf.Tensor, gains: tuple[tf.Tensor, ...]) -> tf.Tensor:
    """Normalised with the first of the gains, or as they are where there is none."""
    return normalise(inputs) * gains[0] if gains else inputs


def _orthogonal_blocks(gates: int) -> Callable[..., tf.Tensor]:
    """An initialiser: every gate's square block orthogonal by itself (Saxe et al. 2014)."""

    def initialise(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        block = keras.initializers.Orthogonal(seed=keras.random.SeedGenerator())
        return tf.concat([block((shape[0], shape[0]), dtype=dtype) for _ in range(gates)], 1)

    return initialise
