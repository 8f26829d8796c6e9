"""`scan` and its gradients against a plain Python loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from bitext.components.seq2seq.layers.cells import CELLS, Cell, State
from bitext.components.seq2seq.layers.recurrence import scan
from tests.components.toy_cell import LeakyCell

STEPS, BATCH, INPUTS, UNITS = 5, 3, 4, 3
LENGTHS = [5, 2, 0]

KINDS: dict[str, type[Cell]] = CELLS | {"toy": LeakyCell}


def make(kind: str, layer_norm: bool = False) -> Cell:
    cell = KINDS[kind](INPUTS, UNITS, "cell", layer_norm)
    random = np.random.default_rng(3)
    for variable in cell.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    return cell


RECURRENT_MASK = tf.constant(np.random.default_rng(7).integers(0, 2, (BATCH, UNITS)) * 2.0, tf.float32)


def data(cell: Cell, steps: int = STEPS) -> tuple[tf.Tensor, State]:
    """Returns inputs and an initial state. The first STEPS inputs are the same for any number of steps."""
    random = np.random.default_rng(4)
    state = tuple(tf.constant(random.normal(size=(BATCH, UNITS)), tf.float32) for _ in cell.state_names)
    return tf.constant(random.normal(size=(steps, BATCH, INPUTS)), tf.float32), state


def real(steps: int = STEPS) -> tf.Tensor:
    return tf.transpose(tf.sequence_mask(LENGTHS, steps))


def plain_scan(
    cell: Cell,
    inputs: tf.Tensor,
    state: State,
    mask: tf.Tensor | None,
    reverse: bool,
    recurrent_mask: tf.Tensor | None = None,
) -> tuple[tf.Tensor, State]:
    """Computes `scan` one step at a time."""
    outputs = {}
    for t in reversed(range(STEPS)) if reverse else range(STEPS):
        hidden = state[0] if recurrent_mask is None else state[0] * recurrent_mask
        recurrent = tf.matmul(hidden, cell.recurrent_kernel)
        new = cell.step(cell.project(inputs[t]), recurrent, state, cell.constants())
        if mask is not None:
            new = tuple(tf.where(mask[t][:, None], n, s) for n, s in zip(new, state, strict=True))
        state = new
        outputs[t] = state[0]
    return tf.stack([outputs[t] for t in range(STEPS)]), state


def weighted_sum(outputs: tf.Tensor, final: State, mask: tf.Tensor | None) -> tf.Tensor:
    """Returns a scalar that depends on every output at a real position and on the final state."""
    random = np.random.default_rng(5)
    weights = tf.constant(random.normal(size=(STEPS, BATCH, UNITS)), tf.float32)
    if mask is not None:
        weights *= tf.cast(mask[:STEPS], tf.float32)[:, :, None]
    total = tf.reduce_sum(tf.sin(outputs[:STEPS]) * weights)
    for state in final:
        total += tf.reduce_sum(state * tf.constant(random.normal(size=(BATCH, UNITS)), tf.float32))
    return total


def gradients(run, cell: Cell, inputs: tf.Tensor, state: State, mask: tf.Tensor | None) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        tape.watch((inputs, state))
        total = weighted_sum(*run(cell, inputs, state), mask)
    watched = [inputs, *state, *(v.value for v in cell.trainable_variables)]
    return [g.numpy() for g in tape.gradient(total, watched)]


CASES = [
    case
    for case in itertools.product(KINDS, [False, True], [False, True], ["plain", "layer_norm", "dropout"])
    if case[0] != "toy" or case[3] != "layer_norm"  # The toy cell has no layer normalization.
]


@pytest.mark.parametrize(("kind", "masked", "reverse", "extra"), CASES)
def test_values_and_gradients_are_those_of_a_plain_loop(kind, masked, reverse, extra):
    cell = make(kind, layer_norm=extra == "layer_norm")
    recurrent_mask = RECURRENT_MASK if extra == "dropout" else None
    inputs, state = data(cell)
    mask = real() if masked else None
    got, final = scan(cell, inputs, state, mask, reverse, recurrent_mask)
    want, last = plain_scan(cell, inputs, state, mask, reverse, recurrent_mask)
    for a, b in zip((got, *final), (want, *last), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    compiled = tf.function(lambda inputs, state: scan(cell, inputs, state, mask, reverse, recurrent_mask))
    got_gradients = gradients(lambda _, i, s: compiled(i, s), cell, inputs, state, mask)
    expected = gradients(
        lambda c, i, s: plain_scan(c, i, s, mask, reverse, recurrent_mask), cell, inputs, state, mask
    )
    eager = gradients(lambda c, i, s: scan(c, i, s, mask, reverse, recurrent_mask), cell, inputs, state, mask)
    for a, b, c in zip(got_gradients, expected, eager, strict=True):
        assert np.abs(b).max() > 0.01
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(c, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "reverse"), itertools.product(KINDS, [False, True]))
def test_more_padding_changes_nothing(kind, reverse):
    cell = make(kind)
    inputs, state = data(cell)
    longer, _ = data(cell, STEPS + 3)
    np.testing.assert_array_equal(inputs, longer[:STEPS])
    mask, wide = real(), real(STEPS + 3)
    outputs, final = scan(cell, inputs, state, mask, reverse)
    wide_outputs, wide_final = scan(cell, longer, state, wide, reverse)
    np.testing.assert_allclose(outputs[mask], wide_outputs[:STEPS][mask], rtol=1e-6, atol=1e-7)
    for a, b in zip(final, wide_final, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    # A sentence that consists of padding does not change the state.
    np.testing.assert_array_equal(wide_final[0][2], state[0][2])

    short = gradients(lambda c, i, s: scan(c, i, s, mask, reverse), cell, inputs, state, mask)
    long = gradients(lambda c, i, s: scan(c, i, s, wide, reverse), cell, longer, state, wide)
    np.testing.assert_array_equal(long[0][STEPS:], 0.0)
    long[0] = long[0][:STEPS]
    for a, b in zip(short, long, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
