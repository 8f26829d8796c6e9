"""The cells against NumPy and Keras."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from bitext.components.seq2seq.layers.cells import CELLS, EPSILON, Cell
from bitext.components.seq2seq.layers.recurrence import scan
from tests.components.numpy_cells import REFERENCES

UNITS, INPUTS, BATCH = 3, 4, 2


def make(kind: str, seed: int = 0, layer_norm: bool = False) -> Cell:
    cell = CELLS[kind](INPUTS, UNITS, "cell", layer_norm)
    random = np.random.default_rng(seed)
    for variable in cell.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    return cell


def normalize(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return gain * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPSILON)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_a_step_equals_the_published_equations(kind, layer_norm):
    cell, random = make(kind, layer_norm=layer_norm), np.random.default_rng(1)
    x = random.normal(size=(BATCH, INPUTS)).astype(np.float32)
    state = tuple(random.normal(size=(BATCH, UNITS)).astype(np.float32) for _ in cell.state_names)
    wx, uh = x @ cell.kernel.numpy(), state[0] @ cell.recurrent_kernel.numpy()
    state_after = cell.step(cell.project(x), uh, state, cell.constants())
    if layer_norm:
        wx, uh = normalize(wx, cell.input_gain.numpy()), normalize(uh, cell.gains[0].numpy())
    cell_norm = [lambda c: normalize(c, cell.gains[1].numpy())] if layer_norm and kind == "lstm" else []
    expected = REFERENCES[kind](wx + cell.bias.numpy(), uh, state, *cell_norm)
    for got, want in zip(state_after, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_a_keras_layer_with_these_weights_gives_the_same_sequence(kind):
    cell = make(kind)
    kinds = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
    layer = kinds[kind](UNITS, return_sequences=True, return_state=True)
    inputs = np.random.default_rng(2).normal(size=(BATCH, 5, INPUTS)).astype(np.float32)
    layer.build(inputs.shape)
    bias = cell.bias.numpy()
    if kind == "gru":  # Keras keeps a second bias, of the recurrent product.
        bias = np.stack([bias, np.zeros_like(bias)])
    layer.set_weights([cell.kernel.numpy(), cell.recurrent_kernel.numpy(), bias])
    expected, *final = layer(inputs)
    outputs, state = scan(cell, tf.constant(inputs.transpose(1, 0, 2)), cell.zero_state(BATCH))
    np.testing.assert_allclose(outputs.numpy().transpose(1, 0, 2), expected, rtol=1e-4, atol=1e-5)
    for got, want in zip(state, final, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_a_keras_rnn_runs_the_cell(kind, layer_norm):
    cell = make(kind, layer_norm=layer_norm)
    inputs = np.random.default_rng(2).normal(size=(BATCH, 5, INPUTS)).astype(np.float32)
    expected, *final = keras.layers.RNN(cell, return_sequences=True, return_state=True)(inputs)
    outputs, state = scan(cell, tf.constant(inputs.transpose(1, 0, 2)), cell.zero_state(BATCH))
    np.testing.assert_allclose(outputs.numpy().transpose(1, 0, 2), expected, rtol=1e-4, atol=1e-5)
    for got, want in zip(state, final, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", CELLS)
def test_every_gate_starts_orthogonal(kind):
    cell = CELLS[kind](INPUTS, UNITS, "cell")
    blocks = np.split(cell.recurrent_kernel.numpy(), cell.gates, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block @ block.T, np.eye(UNITS), atol=1e-5)
    assert all(not np.allclose(a, b) for a, b in itertools.pairwise(blocks))


def test_the_forget_gate_starts_open():
    bias = CELLS["lstm"](INPUTS, UNITS, "cell").bias.numpy()
    np.testing.assert_array_equal(bias, np.repeat([0.0, 1.0, 0.0, 0.0], UNITS))
