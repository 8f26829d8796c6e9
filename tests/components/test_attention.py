"""The attention against NumPy, and properties of its alignments."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from bitext.components.seq2seq.layers.attention import Attention, make_attention
from bitext.components.seq2seq.memory import Encoded, Memory
from tests.components.tiny_model import SETTINGS

KINDS = [(kind, heads) for kind in ("general", "dot", "scaled", "additive") for heads in (1, 2)]
UNITS = SETTINGS.decoder_units
LENGTHS = [4, 1, 0]
WIDTH, QUERIES = 4, 2


def make(kind: tuple[str, int], width: int = WIDTH) -> tuple[Attention, Memory, tf.Tensor]:
    """Returns an attention, a memory of sentences of LENGTHS, and hidden states for the queries."""
    attention = make_attention(msgspec.structs.replace(SETTINGS, attention=kind[0], attention_heads=kind[1]))
    assert attention is not None
    random = np.random.default_rng(6)
    for variable in attention.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    queries = tf.constant(random.normal(size=(len(LENGTHS), QUERIES, UNITS)), tf.float32)
    values = np.zeros([len(LENGTHS), width, UNITS], np.float32)
    # Without a mask, padding would have the highest scores.
    values[:] = 50.0 * np.sign(queries.numpy()[:, :1])
    for row, length in zip(values, LENGTHS, strict=True):
        row[:length] = random.normal(size=(length, UNITS))
    mask = tf.sequence_mask(LENGTHS, width)
    return attention, attention.project_keys(Encoded(tf.constant(values), mask, ())), queries


def attend(attention: Attention, memory: Memory, hidden: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return attention.attend(attention.queries(hidden), memory, attention.constants())


def in_numpy(kind: str, attention: Attention, values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Computes alignments [H, N, S] of one sentence's real tokens, by the equations of the papers."""
    head_columns = [
        slice(h * UNITS // attention.heads, (h + 1) * UNITS // attention.heads)
        for h in range(attention.heads)
    ]
    keys = values @ attention.key_kernel.numpy() if kind in ("general", "additive") else values
    queries = hidden @ attention.query_kernel.numpy() if kind == "additive" else hidden
    rows = []
    for columns in head_columns:
        q, k = queries[:, columns], keys[:, columns]
        if kind == "additive":
            scores = np.tanh(q[:, None] + k[None]) @ attention.vector.numpy()[columns]
        else:
            scores = q @ k.T / (np.sqrt(q.shape[1]) if kind == "scaled" else 1.0)
        p = np.exp(scores - scores.max(-1, initial=-np.inf, keepdims=True)) if len(values) else scores
        rows.append(p / p.sum(-1, keepdims=True) if len(values) else p)
    return np.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_alignments_and_contexts_equal_numpy(kind):
    attention, memory, hidden = make(kind)
    contexts, alignment = attend(attention, memory, hidden)
    for row, length in enumerate(LENGTHS):
        values = memory.values.numpy()[row, :length]
        heads = in_numpy(kind[0], attention, values, hidden.numpy()[row])
        columns = np.split(values, attention.heads, axis=1)
        expected = np.concatenate([a @ v for a, v in zip(heads, columns, strict=True)], 1)
        np.testing.assert_allclose(alignment[row, :, :length], heads.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(contexts[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_context_holds_the_embeddings_of_what_is_attended(kind):
    """`attend_embeddings`: the heads share the columns of the outputs and of the embeddings after them."""
    attention, memory, hidden = make(kind)
    random = np.random.default_rng(7)
    embedded = random.normal(size=(*memory.mask.shape, 6)).astype(np.float32)
    encoded = Encoded(memory.values, memory.mask, (), tf.constant(embedded))
    contexts, alignment = attend(attention, attention.project_keys(encoded), hidden)
    _, alignment_without = attend(attention, memory, hidden)
    np.testing.assert_allclose(alignment, alignment_without)
    for row, length in enumerate(LENGTHS):
        outputs = memory.values.numpy()[row, :length]
        heads = in_numpy(kind[0], attention, outputs, hidden.numpy()[row])
        columns = np.split(np.concatenate([outputs, embedded[row, :length]], 1), attention.heads, axis=1)
        expected = np.concatenate([a @ v for a, v in zip(heads, columns, strict=True)], 1)
        np.testing.assert_allclose(contexts[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_sums_to_one_over_real_tokens_and_is_zero_on_padding(kind):
    _, alignment = attend(*make(kind))
    assert (alignment.numpy() >= 0).all()
    np.testing.assert_allclose(alignment.numpy().sum(-1)[:2], 1.0, rtol=1e-6)
    np.testing.assert_array_equal(alignment[1, :, 1:], 0.0)
    np.testing.assert_array_equal(alignment[2], 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_more_padding_changes_nothing(kind):
    contexts, _ = attend(*make(kind))
    wider, _ = attend(*make(kind, WIDTH + 3))
    np.testing.assert_allclose(wider, contexts, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_of_padding_alone_has_finite_gradients(kind):
    attention, memory, hidden = make(kind)
    with tf.GradientTape() as tape:
        tape.watch((hidden, memory.values, memory.keys))
        total = tf.reduce_sum(tf.square(attend(attention, memory, hidden)[0]))
    for gradient in tape.gradient(total, [hidden, memory.values, memory.keys]):
        assert np.isfinite(gradient).all()
        np.testing.assert_array_equal(gradient[2], 0.0)
