"""The encoder and the bridge against Keras layers and NumPy."""

from __future__ import annotations

import keras
import msgspec
import numpy as np
import pytest
import tensorflow as tf

from bitext.components.seq2seq.encoders.recurrent import Encoder
from bitext.components.seq2seq.layers.cells import Cell
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.memory import Encoded
from tests.components.tiny_model import SETTINGS, build

LENGTHS, WIDTH = [5, 3, 1], 5
EMBEDDED = (
    np.random.default_rng(3).normal(size=(len(LENGTHS), WIDTH, SETTINGS.embedding_units)).astype(np.float32)
)
MASK = np.arange(WIDTH) < np.array(LENGTHS)[:, np.newaxis]


def keras_lstm(cell: Cell, backward: bool) -> keras.layers.Layer:
    layer = keras.layers.LSTM(
        cell.units, return_sequences=True, return_state=True, go_backwards=backward, use_cudnn=False
    )
    layer.build((None, None, cell.kernel.shape[0]))
    layer.set_weights([cell.kernel.numpy(), cell.recurrent_kernel.numpy(), cell.bias.numpy()])
    return layer


@pytest.mark.parametrize("bidirectional", [True, False])
def test_two_layers_are_keras_layers_with_a_residual(bidirectional):
    settings = msgspec.structs.replace(SETTINGS, encoder_layers=2, bidirectional=bidirectional)
    encoder, random = Encoder(settings), np.random.default_rng(4)
    for variable in encoder.trainable_variables:
        variable.assign(random.normal(0.0, 0.5, variable.shape))
    encoded = encoder.encode(tf.constant(EMBEDDED.transpose(1, 0, 2)), tf.constant(MASK), Dropout())
    # Keras runs one sentence at a time without padding, so that its masking is not involved.
    for row, length in enumerate(LENGTHS):
        sequence = EMBEDDED[row : row + 1, :length]
        for layer, cells in enumerate(encoder.cells):
            runs = [keras_lstm(cell, bool(number))(sequence) for number, cell in enumerate(cells)]
            outputs = [run[0].numpy() for run in runs]
            joined = np.concatenate([outputs[0], *(out[:, ::-1] for out in outputs[1:])], -1)
            sequence = joined + sequence if layer else joined
            final = [np.concatenate(states, -1) for states in zip(*(run[1:] for run in runs), strict=True)]
            for got, want in zip(encoded.final_states[layer], final, strict=True):
                np.testing.assert_allclose(got[row], want[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(encoded.outputs[row, :length], sequence[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(encoded.outputs[row, length:], 0.0)


@pytest.mark.parametrize("bridge", ["dense", "mean", "copy", "zero"])
@pytest.mark.parametrize(
    ("encoder_layers", "layers", "sources"), [(1, 1, [0]), (2, 2, [0, 1]), (2, 1, [1]), (1, 2, [0, 0])]
)
def test_the_bridge_equals_numpy_and_each_layer_starts_from_its_encoder_layer(
    bridge, encoder_layers, layers, sources
):
    changes = {"encoder_layers": encoder_layers, "decoder_layers": layers}
    settings = msgspec.structs.replace(SETTINGS, bridge=bridge, **changes)
    decoder, random = build(settings).decoder, np.random.default_rng(5)
    outputs = random.normal(size=(len(LENGTHS), WIDTH, 8)).astype(np.float32) * MASK[:, :, np.newaxis]
    final = random.normal(size=(encoder_layers, 2, len(LENGTHS), 8)).astype(np.float32)
    states = tuple(tuple(map(tf.constant, layer)) for layer in final)
    encoded = Encoded(tf.constant(outputs), tf.constant(MASK), states)
    mean = outputs.sum(1) / np.array(LENGTHS)[:, np.newaxis]
    tensors = [tensor for layer in sources for tensor in final[layer]]
    for name, got, tensor in zip(decoder.state_names, decoder.initial_state(encoded), tensors, strict=True):
        want = {"copy": tensor, "zero": np.zeros_like(tensor)}.get(bridge)
        if want is None:
            want = (mean if bridge == "mean" else tensor) @ decoder.bridges[name].numpy()
            want = np.tanh(want) if name.endswith("hidden") else want
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
