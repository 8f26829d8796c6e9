"""The whole model: one step at a time or all at once, in any batch, in every architecture."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.decoders.base import Decoder
from bitext.components.seq2seq.decoding.search import beam_search
from bitext.components.seq2seq.model import PAD, Seq2Seq
from tests.components.architectures import ARCHITECTURES, ATTENDING, DECODERS, RATES, label
from tests.components.tiny_model import (
    SETTINGS,
    build,
    initialize,
    loss_and_gradients,
    padded,
    sources,
    targets,
)
from tests.components.transformer_decoder import TRANSFORMER, TransformerDecoder

MODELS: list[tuple[ModelSettings, type[Decoder] | None]] = [
    *((settings, None) for settings in ARCHITECTURES),
    (TRANSFORMER, TransformerDecoder),
]
MODEL_NAMES = [label(settings) for settings in ARCHITECTURES] + ["Transformer"]
RANDOM = np.random.default_rng(8)
SOURCES, TARGETS = sources(RANDOM, 3), targets(RANDOM, 3, longest=4)


def step_by_step(model: Seq2Seq, source: tf.Tensor, target: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities float32[B, T, V] and alignments float32[B, T, S], a token at a time."""
    start = model.start(source)
    state, scores, alignments = start.state, [], []
    for t in range(target.shape[1]):
        log_probs, alignment, state = model.step(target[:, t : t + 1], t, state, start.memory)
        scores.append(log_probs[:, 0])
        alignments.append(alignment[:, 0])
    return np.stack(scores, 1), np.stack(alignments, 1)


def teacher_forced(model: Seq2Seq, source: tf.Tensor, target: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities float32[B, T, V] and alignments float32[B, T, S], by teacher forcing."""
    vectors, alignments = model.teacher_force(source, target)
    scores = tf.nn.log_softmax(model.logits(tf.reshape(vectors, [-1, vectors.shape[-1]])))
    return scores.numpy().reshape([*target.shape, -1]), alignments.numpy()


@pytest.mark.parametrize(("settings", "make_decoder"), MODELS, ids=MODEL_NAMES)
def test_every_architecture_trains_and_decodes(settings, make_decoder):
    """Steps equal teacher forcing, every weight has a gradient, and search decodes."""
    reads_a_memory = settings.attention != "none" or settings.bridge == "mean"
    rates = [rate for rate in RATES if reads_a_memory or rate != "memory_dropout"]
    rates = dict.fromkeys(rates, 0.2)
    model = build(msgspec.structs.replace(settings, **rates), make_decoder=make_decoder)
    source, target = padded(SOURCES), padded(TARGETS)
    for got, want in zip(
        step_by_step(model, source, target[:, :-1]),
        teacher_forced(model, source, target[:, :-1]),
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)

    _, gradients = loss_and_gradients(model, source, target, 0.1)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.isfinite(gradient).all()
        assert np.any(gradient)
        variable.assign_sub(1e-3 * gradient)

    hypotheses = beam_search(model, model.start(source), 2, 1.0, 3)
    assert (hypotheses.length.numpy() >= 1).all()
    # Rescoring shows that no hypothesis read the state, memory or alignment of another one.
    for rank in range(2):
        translation = tf.concat([target[:, :1], hypotheses.tokens[:, rank]], 1)
        rescored, _ = model.score(source, translation)
        np.testing.assert_allclose(hypotheses.log_prob[:, rank], rescored, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("settings", "make_decoder"), MODELS, ids=MODEL_NAMES)
def test_order_padding_and_rows_of_padding_change_nothing_in_any_architecture(settings, make_decoder):
    model = build(settings, make_decoder=make_decoder)
    source, target = padded(SOURCES), padded(TARGETS)
    # The same rows in reverse order, wider, and after a row of padding.
    reversed_rows = [3, 2, 1]
    wide = padded([[], *SOURCES[::-1]], source.shape[1] + 2)
    wide_target = padded([[], *TARGETS[::-1]], target.shape[1] + 2)

    log_probs, _ = model.score(source, target)
    wide_log_probs, alignment = (tensor.numpy() for tensor in model.score(wide, wide_target))
    np.testing.assert_allclose(wide_log_probs[reversed_rows], log_probs, rtol=1e-4)
    assert np.isfinite(wide_log_probs).all()
    if settings.attention != "none":
        real = np.broadcast_to(wide.numpy()[:, np.newaxis] != PAD, alignment.shape)
        np.testing.assert_allclose(alignment.sum(-1), real.any(-1), rtol=1e-5)
        np.testing.assert_array_equal(alignment[~real], 0.0)

    hypotheses, wide_hypotheses = (
        beam_search(model, model.start(tokens), 2, 1.0, 3) for tokens in (source, wide)
    )
    length = wide_hypotheses.length.numpy()[reversed_rows]
    np.testing.assert_array_equal(length, hypotheses.length)
    longest = length.max()
    np.testing.assert_array_equal(
        wide_hypotheses.tokens.numpy()[reversed_rows, :, :longest], hypotheses.tokens
    )
    np.testing.assert_allclose(wide_hypotheses.score.numpy()[reversed_rows], hypotheses.score, rtol=1e-4)
    assert np.isfinite(wide_hypotheses.score).all()

    loss, gradients = loss_and_gradients(model, source, target)
    wide_loss, wide_gradients = loss_and_gradients(model, wide, wide_target)
    np.testing.assert_allclose(wide_loss.smoothed, loss.smoothed, rtol=1e-5)
    for got, want in zip(wide_gradients, gradients, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())


def test_the_architectures_cover_every_valid_pair_of_choices():
    attending = [{n: getattr(s, n) for n in ATTENDING} for s in ARCHITECTURES if s.attention != "none"]
    covered = {pair for chosen in attending for pair in itertools.combinations(chosen.items(), 2)}
    pairs = {
        ((a, x), (b, y))
        for a, b in itertools.combinations(ATTENDING, 2)
        for x, y in itertools.product(ATTENDING[a], ATTENDING[b])
    }
    need_equal_units = ("attention", "dot"), ("attention", "scaled"), ("bridge", "copy")
    assert pairs - covered == {
        (("decoder_layers", 1), ("decoder", "gnmt")),
        *((("encoder_units", 12), other) for other in need_equal_units),
    }


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("attention", "layer_norm"), [("general", True), ("additive", True), ("general", False)]
)
def test_gradients_are_those_of_the_steps(decoder, attention, layer_norm):
    chosen = {"decoder": decoder, "attention": attention, "layer_norm": layer_norm}
    settings = msgspec.structs.replace(SETTINGS, **chosen, decoder_layers=2, attention_heads=2)
    model, source, target = build(settings), padded(SOURCES), padded(TARGETS)
    variables = [v.value for v in model.trainable_variables]
    labels = tf.one_hot(target[:, 1:], model.target_size)
    with tf.GradientTape() as tape:
        start = model.start(source)
        state, total = start.state, tf.constant(0.0)
        for t in range(target.shape[1] - 1):
            log_probs, _, state = model.step(target[:, t : t + 1], t, state, start.memory)
            real = tf.cast(target[:, t + 1] != 0, tf.float32)[:, tf.newaxis]
            total -= tf.reduce_sum(log_probs[:, 0] * labels[:, t] * real)
    expected = tape.gradient(total, variables)

    @tf.function
    def compiled(source: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        loss, gradients = loss_and_gradients(model, source, target)
        return loss.smoothed, gradients

    loss, gradients = compiled(source, target)
    np.testing.assert_allclose(loss, total, rtol=1e-5)
    for got, want in zip(gradients, expected, strict=True):
        want = tf.convert_to_tensor(want)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())


def test_a_sentence_scores_the_same_in_any_batch():
    model = build()
    batch, _ = model.score(padded(SOURCES, width=9), padded(TARGETS, width=10))
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        single, alignment = model.score(padded([source]), padded([target]))
        np.testing.assert_allclose(batch[row], single[0], rtol=1e-5)
        assert alignment.shape == (1, len(target) - 1, len(source))


def test_one_embedding_serves_both_sides_only_when_shared():
    shared, separate = build(), build(source_vocabulary=7)
    assert shared.source_embedding is shared.target_embedding is shared.output_embedding
    assert separate.source_embedding.shape[0] == 7
    assert separate.output_embedding is separate.target_embedding
    assert build(msgspec.structs.replace(SETTINGS, tie_embeddings=False)).output_embedding.shape == (12, 6)


def test_equal_seeds_give_equal_weights():
    one, two, other = (initialize(SETTINGS, 12, 12, True, seed) for seed in (1, 1, 2))
    for a, b in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a.numpy() != b.numpy()).any() for a, b in zip(one.weights, other.weights, strict=True))


def test_every_weight_has_its_own_name():
    deep = msgspec.structs.replace(SETTINGS, encoder_layers=2, decoder_layers=2)
    names = [v.path for v in build(deep).weights]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"encoder_units": 7}, "encoder_units must be even"),
        ({"attention": "dot", "encoder_units": 8, "decoder_units": 6}, "needs encoder_units equal"),
        ({"attention": "none", "bridge": "zero"}, "attention none needs a bridge"),
        ({"attention": "none", "decoder": "conditional"}, "decoder conditional needs an attention"),
        ({"decoder": "gnmt"}, "gnmt needs two decoder_layers"),
        ({"bridge": "copy", "encoder_units": 8, "decoder_units": 6}, "bridge copy needs encoder_units equal"),
        ({"attention_heads": 5}, "attention_heads 5 must divide"),
        ({"attend_embeddings": True, "attention": "none"}, "attend_embeddings needs an attention"),
        (
            {"attend_embeddings": True, "embedding_units": 6},
            "attention_heads 4 must divide embedding_units. Received: 6",
        ),
        ({"cell": "transformer"}, "cell"),
        ({"units": 8}, "units"),
    ],
)
def test_impossible_architectures_are_refused(wrong, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(wrong, ModelSettings)
