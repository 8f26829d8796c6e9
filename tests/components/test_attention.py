"""The attention: what its alignments promise, and NumPy's opinion."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from components.seq2seq.attention import LuongAttention, Memory
from components.seq2seq.encoder import Encoded
from tests.components.tiny_model import SETTINGS

KINDS = ("general", "dot", "scaled")
UNITS = SETTINGS.decoder_units
LENGTHS = [4, 1, 0]
WIDTH, QUERIES = 4, 2


def remembered(kind: str, width: int = WIDTH) -> tuple[LuongAttention, Memory, tf.Tensor]:
    """An attention, a memory of sentences of LENGTHS, and queries."""
    attention = LuongAttention(msgspec.structs.replace(SETTINGS, attention=kind))
    random = np.random.default_rng(6)
    for variable in attention.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    queries = tf.constant(random.normal(size=(len(LENGTHS), QUERIES, UNITS)), tf.float32)
    values = np.zeros([len(LENGTHS), width, UNITS], np.float32)
    # Padding holds what would win every alignment, were it looked at.
    values[:] = 50.0 * np.sign(queries.numpy()[:, :1])
    for row, length in zip(values, LENGTHS, strict=True):
        row[:length] = random.normal(size=(length, UNITS))
    mask = tf.sequence_mask(LENGTHS, width)
    return attention, attention.remember(Encoded(tf.constant(values), mask, ())), queries


@pytest.mark.parametrize("kind", KINDS)
def test_alignments_and_contexts_are_numpys(kind):
    attention, memory, queries = remembered(kind)
    alignment = attention.align(queries, memory).numpy()
    contexts = attention.read(alignment, memory).numpy()
    for row, length in enumerate(LENGTHS):
        values = memory.values.numpy()[row, :length]
        keys = values @ attention.key_kernel.numpy() if kind == "general" else values
        scores = queries.numpy()[row] @ keys.T
        if kind == "scaled":
            scores = scores / np.sqrt(UNITS)
        odds = np.exp(scores - scores.max(-1, initial=-np.inf, keepdims=True)) if length else scores
        expected = odds / odds.sum(-1, keepdims=True) if length else odds
        np.testing.assert_allclose(alignment[row, :, :length], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(contexts[row], expected @ values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_sums_to_one_over_real_tokens_and_is_zero_on_padding(kind):
    attention, memory, queries = remembered(kind)
    alignment = attention.align(queries, memory).numpy()
    assert (alignment >= 0).all()
    np.testing.assert_allclose(alignment.sum(-1)[:2], 1.0, rtol=1e-6)
    np.testing.assert_array_equal(alignment[1, :, 1:], 0.0)
    np.testing.assert_array_equal(alignment[2], 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_more_padding_changes_nothing(kind):
    attention, memory, queries = remembered(kind)
    _, wide, _ = remembered(kind, WIDTH + 3)
    wider = LuongAttention.read(attention.align(queries, wide), wide)
    np.testing.assert_allclose(
        wider, attention.read(attention.align(queries, memory), memory), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_of_padding_alone_has_finite_gradients(kind):
    attention, memory, queries = remembered(kind)
    with tf.GradientTape() as tape:
        tape.watch((queries, memory.values, memory.keys))
        total = tf.reduce_sum(tf.square(attention.read(attention.align(queries, memory), memory)))
    for gradient in tape.gradient(total, [queries, memory.values, memory.keys]):
        assert np.isfinite(gradient).all()
        np.testing.assert_array_equal(gradient[2], 0.0)
