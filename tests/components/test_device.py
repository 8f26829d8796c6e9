"""The recurrences that a GPU runs as Keras's layers, forced on a CPU, where the layers have the same results.

No test here runs cuDNN itself: that needs a GPU.
"""

from __future__ import annotations

import contextlib

import keras
import msgspec
import numpy as np
import pytest
import tensorflow as tf

from bitext.components.seq2seq.layers import device, device_check
from bitext.components.seq2seq.layers.cells import CELLS, Cell, LSTMCell
from bitext.components.seq2seq.layers.device import DeviceRecurrences, used
from bitext.components.seq2seq.layers.recurrence import scan
from bitext.components.shared.errors import EnvironmentFault
from bitext.components.trainer.updates import Updates
from tests.components.test_trainer import PARAMETERS, open_batches, split  # noqa: F401  (fixtures)
from tests.components.tiny_model import (
    SETTINGS,
    VOCABULARY,
    build,
    initialize,
    loss_and_gradients,
    padded,
    sources,
    targets,
)

STEPS, INPUTS, UNITS = 6, 4, 3
LENGTHS = [6, 1, 4, 2]


def make(kind: type[Cell], layer_norm: bool = False) -> Cell:
    cell = kind(INPUTS, UNITS, "cell", layer_norm)
    random = np.random.default_rng(3)
    for variable in cell.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    return cell


def results(cell: Cell, lengths: list[int], reverse: bool, on_device: bool) -> list[np.ndarray]:
    """Returns outputs, final states and all gradients of one pass over random sequences."""
    random = np.random.default_rng(4)
    rows = len(lengths)
    inputs = tf.constant(random.normal(size=(STEPS, rows, INPUTS)), tf.float32)
    initial = tuple(tf.constant(random.normal(size=(rows, UNITS)), tf.float32) for _ in cell.state_names)
    upstream = tf.constant(random.normal(size=(STEPS, rows, UNITS)), tf.float32)
    mask = tf.transpose(tf.sequence_mask(lengths, STEPS))
    real = tf.cast(mask, tf.float32)[:, :, tf.newaxis]
    recurrences = DeviceRecurrences([cell])
    sources = [inputs, *initial, *(v.value for v in cell.trainable_variables)]

    @tf.function(autograph=False)
    def run() -> list[tf.Tensor]:
        with (
            recurrences.in_use() if on_device else contextlib.nullcontext(),
            tf.GradientTape(persistent=True) as tape,
        ):
            tape.watch([inputs, *initial])
            hidden, final = scan(cell, inputs, initial, mask, reverse)
            hidden *= real
            loss = tf.reduce_sum(hidden * upstream) + sum(tf.reduce_sum(tf.square(f)) for f in final)
        return [hidden, *final, *tape.gradient(loss, sources)]

    return [tensor.numpy() for tensor in run()]


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [LENGTHS, [STEPS] * 2, []])
def test_a_layer_computes_what_the_cell_does(kind, reverse, lengths):
    cell = make(CELLS[kind])
    assert cell in DeviceRecurrences([cell])
    expected = results(cell, lengths, reverse, on_device=False)
    for value, other in zip(results(cell, lengths, reverse, on_device=True), expected, strict=True):
        assert value.shape == other.shape
        np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-5)


class Twisted(LSTMCell):
    """A subclass of a cell with a layer: what it computes is its own."""


@pytest.mark.parametrize(
    "cell",
    [make(CELLS["rnn"]), make(CELLS["lstm"], layer_norm=True), make(CELLS["gru"], True), make(Twisted)],
)
def test_other_cells_have_no_layer(cell):
    assert cell not in DeviceRecurrences([cell])


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({}, 3),  # two directions of the encoder, and the decoder
        ({"cell": "gru", "bidirectional": False, "encoder_layers": 2}, 3),
        ({"decoder": "gnmt", "decoder_layers": 2}, 4),
        ({"decoder": "input_feeding"}, 2),  # a step of this decoder is more than a cell
        ({"decoder": "conditional"}, 2),
        ({"recurrent_dropout": 0.3}, 0),
        ({"layer_norm": True}, 0),
        ({"cell": "rnn"}, 0),
    ],
)
def test_loss_and_gradients_of_a_model_are_the_same(monkeypatch, changes, layers):
    random = np.random.default_rng(1)
    source, target = padded(sources(random, 5), 7), padded(targets(random, 5), 8)
    model = build(msgspec.structs.replace(SETTINGS, **changes))
    loss, gradients = loss_and_gradients(model, source, target, 0.1)
    recurrences, scanned = DeviceRecurrences(model.cells), []
    original = DeviceRecurrences.scan

    def counting(self, cell, *args):
        scanned.append(cell)
        return original(self, cell, *args)

    monkeypatch.setattr(DeviceRecurrences, "scan", counting)
    with recurrences.in_use():
        other_loss, others = loss_and_gradients(model, source, target, 0.1)
    assert len(scanned) == layers
    np.testing.assert_allclose(other_loss.smoothed, loss.smoothed, rtol=1e-5)
    for gradient, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(other, gradient, rtol=1e-3, atol=1e-5)


def test_the_model_has_no_other_weights_and_only_training_uses_layers():
    model = build()
    names = [v.path for v in model.weights]
    recurrences = DeviceRecurrences(model.cells)
    with recurrences.in_use():
        assert used() is recurrences
        graph = tf.function(model.score).get_concrete_function(
            tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None], tf.int32)
        )
    assert used() is None
    assert [v.path for v in model.weights] == names
    assert len(graph.captured_inputs) <= len(names)  # no weight of a layer is captured


def test_keras_would_choose_cudnn_for_these_layers():
    """The conditions of cuDNN, as far as they do not depend on the machine."""
    for kind in ("lstm", "gru"):
        cell = make(CELLS[kind])
        layer = DeviceRecurrences([cell])._layers[id(cell)]
        assert layer.use_cudnn == "auto"
        assert (layer.dropout, layer.recurrent_dropout, layer.unroll) == (0.0, 0.0, False)
        assert layer.cell.use_bias
        assert layer.cell.activation is keras.activations.tanh
        assert layer.cell.recurrent_activation is keras.activations.sigmoid
        assert getattr(layer.cell, "reset_after", True)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_layer_that_computes_something_else_is_refused(kind, monkeypatch):
    cells = [make(CELLS["rnn"]), make(CELLS[kind])]
    recurrences = DeviceRecurrences(cells)
    device_check.check(recurrences, cells)
    original = keras.layers.Layer.stateless_call

    def wrong_at_the_end(self, *args, **options):
        (hidden, *final), rest = original(self, *args, **options)
        return (hidden, final[0] + 0.1, *final[1:]), rest

    monkeypatch.setattr(keras.layers.Layer, "stateless_call", wrong_at_the_end)
    with pytest.raises(EnvironmentFault, match="the layer of cell computes something else"):
        device_check.check(recurrences, cells)


def test_the_training_uses_the_layers_where_there_is_a_gpu(split, monkeypatch):  # noqa: F811
    def updates(**changes) -> Updates:
        parameters = msgspec.structs.replace(PARAMETERS, model=SETTINGS, **changes)
        network = initialize(parameters.model, VOCABULARY, VOCABULARY)
        return Updates(network, parameters, open_batches(split, 1))

    plain = updates()
    assert plain.recurrences is None
    assert not device.is_available()
    monkeypatch.setattr(device, "is_available", lambda: True)
    on_device = updates()
    assert updates(device_kernels="off").recurrences is None
    assert on_device.recurrences is not None
    assert all(cell in on_device.recurrences for cell in on_device.model.cells)
    source, target = tf.constant([[5, 3, 0], [6, 7, 3]]), tf.constant([[2, 8, 3, 0], [2, 9, 4, 3]])
    expected, sums = (u.sums(source, target, 0) for u in (plain, on_device))
    for gradient, other in zip(sums.gradients, expected.gradients, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-3, atol=1e-6)
