"""The decoders against NumPy, their dropout, their gradients and their graphs."""

from __future__ import annotations

from unittest import mock

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from bitext.components.seq2seq.decoders import recurrent as decoder_module
from bitext.components.seq2seq.layers import recurrence
from bitext.components.seq2seq.layers.cells import CELLS
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.loss import masked_loss
from bitext.components.trainer import OptimizerParameters, Parameters, ScheduleParameters
from bitext.components.trainer.optimizer import Optimizer
from tests.components.architectures import DECODERS, RATES
from tests.components.numpy_decoder import NumpyDecoder
from tests.components.tiny_model import (
    SETTINGS,
    VOCABULARY,
    build,
    initialize,
    loss_and_gradients,
    padded,
)
from tests.components.toy_cell import LeakyCell

SOURCES, TARGETS = [[6, 5, 11, 2], [9, 2]], [[1, 7, 4, 2], [1, 8, 2]]
SOURCE, TARGET = padded(SOURCES), padded(TARGETS)
TWO_LAYERS = msgspec.structs.replace(SETTINGS, encoder_layers=2, decoder_layers=2)
SEED = tf.constant([1, 2])


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("cell", "attention", "tied", "lexical"),
    [("lstm", "general", True, False), ("gru", "additive", False, True)],
)
def test_scores_and_alignments_equal_numpy(decoder, cell, attention, tied, lexical):
    widths = {"encoder_units": 12, "decoder_layers": 3}
    kinds = {"decoder": decoder, "cell": cell, "attention": attention, "tie_embeddings": tied}
    reads = {"attend_embeddings": lexical, "output_shortcut": lexical}
    model = build(msgspec.structs.replace(SETTINGS, **widths, **kinds, **reads), source_vocabulary=VOCABULARY)
    vectors, alignments = model.teacher_force(SOURCE, TARGET)
    for row, (source, fed) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        logits, alignment = NumpyDecoder(model, source).decode(fed)
        got = model.logits(vectors[row, : len(fed)])
        np.testing.assert_allclose(got, logits, rtol=1e-4, atol=1e-4)
        got = alignments[row, : len(fed), : len(source)]
        np.testing.assert_allclose(got, alignment, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def undropped() -> dict[str, np.ndarray]:
    """The output of each decoder in training without dropout."""
    models = {d: build(msgspec.structs.replace(TWO_LAYERS, decoder=d)) for d in DECODERS}
    return {d: m.teacher_force(SOURCE, TARGET, Dropout(SEED))[0].numpy() for d, m in models.items()}


@pytest.mark.parametrize("rate", [r for r in RATES if r != "memory_dropout"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_dropout_acts_in_the_decoder_in_training_only(rate, decoder, undropped, monkeypatch):
    model = build(msgspec.structs.replace(TWO_LAYERS, decoder=decoder, **{rate: 0.5}))
    start = model.start(SOURCE)
    # The encoder has no dropout: memory and initial state are fixed.
    monkeypatch.setattr(model, "start", lambda *_: start)
    plain, dropped = (model.teacher_force(SOURCE, TARGET, d)[0].numpy() for d in (Dropout(), Dropout(SEED)))
    np.testing.assert_allclose(plain, undropped[decoder], rtol=1e-5, atol=1e-6)
    assert np.abs(dropped - plain).max() > 1e-3


@pytest.mark.parametrize("rate", [r for r in RATES if r != "output_dropout"])
def test_every_dropout_acts_in_the_encoder_in_training_only(rate):
    model = build(msgspec.structs.replace(TWO_LAYERS, **{rate: 0.5}))
    plain, dropped = (model.start(SOURCE, d).memory.values.numpy() for d in (Dropout(), Dropout(SEED)))
    undropped = build(TWO_LAYERS).start(SOURCE, Dropout(SEED)).memory.values
    np.testing.assert_allclose(plain, undropped, rtol=1e-5, atol=1e-6)
    assert np.abs(dropped - plain).max() > 1e-3


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("decoder", DECODERS)
def test_gradients_under_every_dropout_are_those_of_autodiff(decoder, layer_norm, monkeypatch):
    kinds = {"decoder": decoder, "attention": "additive", "attention_heads": 2, "layer_norm": layer_norm}
    model = build(msgspec.structs.replace(TWO_LAYERS, **kinds, **dict.fromkeys(RATES, 0.3)))
    loss, gradients = loss_and_gradients(model, SOURCE, TARGET)

    unroll = recurrence.unroll
    without_custom_gradient = mock.Mock(
        side_effect=lambda loop, inputs, initial, mask=None, reverse=False, training=True: unroll(
            loop, inputs, initial, mask, reverse, training=False
        )
    )
    for module in (recurrence, decoder_module):
        monkeypatch.setattr(module, "unroll", without_custom_gradient)
    same, expected = loss_and_gradients(model, SOURCE, TARGET)
    assert without_custom_gradient.call_count > 4  # Two layers in two directions, and the decoder.
    np.testing.assert_allclose(loss.smoothed, same.smoothed, rtol=1e-5)
    for got, want in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_cell_that_defines_step_only_is_trained(decoder, monkeypatch):
    monkeypatch.setitem(CELLS, "rnn", LeakyCell)
    model = build(msgspec.structs.replace(TWO_LAYERS, decoder=decoder, cell="rnn"))
    variables = [v.value for v in model.trainable_variables]

    @tf.function
    def compiled() -> tuple[tf.Tensor, list[tf.Tensor]]:
        loss, gradients = loss_and_gradients(model, SOURCE, TARGET)
        return loss.smoothed, gradients

    with tf.GradientTape() as tape:
        start = model.start(SOURCE)
        state, total = start.state, tf.constant(0.0)
        for t in range(TARGET.shape[1] - 1):
            log_probs, _, state = model.step(TARGET[:, t : t + 1], t, state, start.memory)
            labels = tf.one_hot(TARGET[:, t + 1], VOCABULARY) * tf.cast(
                TARGET[:, t + 1 : t + 2] != 0, tf.float32
            )
            total -= tf.reduce_sum(log_probs[:, 0] * labels)
    before, gradients = compiled()
    np.testing.assert_allclose(before, total, rtol=1e-5)
    for got, want in zip(gradients, tape.gradient(total, variables), strict=True):
        want = tf.convert_to_tensor(want)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())
    for _ in range(30):
        for variable, gradient in zip(variables, compiled()[1], strict=True):
            variable.assign_sub(0.02 * gradient)
    assert compiled()[0] < 0.5 * before


class TestCompiledTraining:
    TOKENS = tf.TensorSpec([None, None], tf.int32)
    BATCHES = ((SOURCE, TARGET), (padded([[4, 7, 5, 10, 2]]), padded([[1, 5, 2]])))

    @pytest.fixture(scope="class", params=DECODERS)
    def training(self, request):
        layers = {"encoder_layers": 1, "decoder_layers": 2, "bidirectional": False}
        settings = msgspec.structs.replace(SETTINGS, decoder=request.param, **layers)
        model = initialize(
            msgspec.structs.replace(settings, **dict.fromkeys(RATES, 0.2)), VOCABULARY, VOCABULARY
        )
        variables = [v.value for v in model.trainable_variables]
        parameters = Parameters(
            steps=30,
            schedule=ScheduleParameters(kind="constant", warmup_steps=1),
            optimizer=OptimizerParameters(learning_rate=0.03, average_decay=0.0),
        )
        optimizer = Optimizer(parameters, variables)

        @tf.function(input_signature=[self.TOKENS, self.TOKENS])
        def update(source: tf.Tensor, target: tf.Tensor) -> None:
            dropout = Dropout(tf.stack([1, tf.cast(optimizer.step, tf.int32)]))
            with tf.GradientTape() as tape:
                loss = masked_loss(model, source, target, 0.1, dropout)
                mean = loss.smoothed / loss.tokens
            optimizer.apply(tape.gradient(mean, variables))

        return model, update

    def test_the_loss_falls(self, training):
        model, update = training

        def total() -> float:
            return sum(float(masked_loss(model, *batch, 0.1, Dropout()).smoothed) for batch in self.BATCHES)

        before = total()
        for step in range(30):
            update(*self.BATCHES[step % 2])
        # Lower than the entropy of the word frequencies.
        assert total() < 0.6 * before

    def test_only_a_decoder_whose_steps_read_the_attention_attends_in_a_loop(self, training):
        """`luong` and `gnmt` compute all positions at once: none of their loops has a softmax in its body."""
        model, update = training
        definition = update.get_concrete_function().graph.as_graph_def()
        functions = {f.signature.name: f.node_def for f in definition.library.function}

        def operations(name: str) -> set[str]:
            kinds = set()
            for node in functions[name]:
                called = [a.func.name for a in node.attr.values() if a.HasField("func")]
                kinds |= {node.op}.union(*map(operations, called))
            return kinds

        nodes = [*definition.node, *(node for nodes in functions.values() for node in nodes)]
        bodies = {node.attr["body"].func.name for node in nodes if node.op in ("While", "StatelessWhile")}
        assert len(bodies) >= 4  # Encoder and decoder, forward and backward.
        attends_in_loop = any("Softmax" in operations(body) for body in bodies)
        assert attends_in_loop == (model.settings.decoder in ("input_feeding", "conditional"))
