"""The training loss against NumPy, and its invariance."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.loss import SoftTargets, masked_loss, predictions, scheduled_sampling
from bitext.components.seq2seq.model import PAD, Seq2Seq
from tests.components.tiny_model import VOCABULARY, build, loss_and_gradients, padded, sources, targets

SMOOTHING = 0.1


@pytest.fixture(scope="module")
def model() -> Seq2Seq:
    return build()


def batch(count: int = 4) -> tuple[list[list[int]], list[list[int]]]:
    random = np.random.default_rng(7)
    return sources(random, count), targets(random, count)


def plain_loss(model: Seq2Seq, source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Computes the cross entropy with the smoothed distribution as an array [tokens, V]."""
    vectors, _ = model.teacher_force(source, target[:, :-1])
    labels = target[:, 1:]
    logits = model.logits(tf.reshape(vectors, [-1, vectors.shape[-1]]))
    distribution = (1 - SMOOTHING) * tf.one_hot(tf.reshape(labels, [-1]), VOCABULARY) + SMOOTHING / VOCABULARY
    losses = tf.nn.softmax_cross_entropy_with_logits(distribution, logits)
    return tf.reduce_sum(tf.where(tf.reshape(labels, [-1]) != PAD, losses, 0.0))


def test_the_sums_equal_numpy(model):
    source, target = batch()
    loss = masked_loss(model, padded(source), padded(target), SMOOTHING, Dropout())
    plain = smoothed = 0.0
    for s, t in zip(source, target, strict=True):
        vectors, _ = model.teacher_force(padded([s]), padded([t[:-1]]))
        logits = vectors.numpy()[0] @ model.output_embedding.numpy().T + model.output_bias.numpy()
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        chosen = log_probs[np.arange(len(t) - 1), t[1:]]
        plain -= chosen.sum()
        smoothed -= (1 - SMOOTHING) * chosen.sum() + SMOOTHING * log_probs.mean(-1).sum()
    assert float(loss.tokens) == sum(len(t) - 1 for t in target)
    np.testing.assert_allclose(loss.cross_entropy, plain, rtol=1e-5)
    np.testing.assert_allclose(loss.smoothed, smoothed, rtol=1e-5)
    log_probs, _ = model.score(padded(source), padded(target))
    np.testing.assert_allclose(loss.cross_entropy, -tf.reduce_sum(log_probs), rtol=1e-5)


def test_without_smoothing_the_two_sums_are_equal(model):
    source, target = map(padded, batch())
    loss = masked_loss(model, source, target, 0.0, Dropout())
    assert float(loss.smoothed) == float(loss.cross_entropy)


def test_the_gradient_is_that_of_the_smoothed_distribution(model):
    source, target = map(padded, batch())
    loss, gradients = loss_and_gradients(model, source, target, SMOOTHING)
    variables = [v.value for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        total = plain_loss(model, source, target)
    np.testing.assert_allclose(loss.smoothed, total, rtol=1e-5)
    for a, b in zip(gradients, tape.gradient(total, variables), strict=True):
        np.testing.assert_allclose(a, tf.convert_to_tensor(b), rtol=1e-4, atol=1e-4)


def test_padding_and_rows_of_padding_change_nothing(model):
    source, target = batch()
    loss, gradients = loss_and_gradients(model, padded(source), padded(target), SMOOTHING)
    more, more_gradients = loss_and_gradients(
        model, padded([*source, []], width=11), padded([*target, []], width=13), SMOOTHING
    )
    for a, b in ((loss.smoothed, more.smoothed), (loss.cross_entropy, more.cross_entropy)):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert float(loss.tokens) == float(more.tokens)
    for a, b in zip(gradients, more_gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


class TestSoftTargets:
    """`consistency`: the cross entropy with the predictions of another model is added."""

    def test_loss_and_gradient_are_those_of_the_whole_distribution(self, model):
        teacher, (source, target) = build(seed=5), map(padded, batch())
        variables = [v.value for v in model.trainable_variables]
        soft = SoftTargets(predictions(teacher, source, target), tf.constant(0.7))
        with tf.GradientTape() as tape:
            loss = masked_loss(
                model, source, target, SMOOTHING, Dropout(tf.constant([1, 2])), soft_targets=soft
            )
        gradients = tape.gradient(loss.smoothed, variables)
        with tf.GradientTape() as tape:
            vectors, _ = model.teacher_force(source, target[:, :-1])
            log_probs = tf.nn.log_softmax(model.logits(vectors[target[:, 1:] != PAD]))
            divergence = -tf.reduce_sum(soft.probabilities * log_probs)
            total = plain_loss(model, source, target) + 0.7 * divergence
        np.testing.assert_allclose(loss.smoothed, total, rtol=1e-5)
        for a, b in zip(gradients, tape.gradient(total, variables), strict=True):
            np.testing.assert_allclose(tf.convert_to_tensor(a), tf.convert_to_tensor(b), rtol=1e-4, atol=1e-4)

    def test_predictions_are_those_of_the_steps(self, model):
        source, target = batch(3)
        p = predictions(model, padded(source), padded(target)).numpy()
        assert p.shape == (sum(len(t) - 1 for t in target), VOCABULARY)
        labels = np.concatenate([t[1:] for t in target])
        log_probs, _ = model.score(padded(source), padded(target))
        chosen = np.log(p[np.arange(len(labels)), labels]).sum()
        np.testing.assert_allclose(chosen, tf.reduce_sum(log_probs), rtol=1e-5)

    def test_the_own_predictions_as_targets_have_no_gradient_of_their_own(self, model):
        source, target = map(padded, batch())
        variables = [v.value for v in model.trainable_variables]
        dropout = Dropout(tf.constant([1, 2]))

        def gradients(soft: SoftTargets | None) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                loss = masked_loss(model, source, target, 0.0, dropout, soft_targets=soft)
            return [tf.convert_to_tensor(g) for g in tape.gradient(loss.smoothed, variables)]

        own = SoftTargets(predictions(model, source, target), tf.constant(3.0))
        for a, b in zip(gradients(own), gradients(None), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


class TestScheduledSampling:
    def sample_inputs(self, model: Seq2Seq, rate: float, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
        source, target = map(padded, batch(40))
        true = target[:, :-1]
        return true.numpy(), scheduled_sampling(
            model, source, true, rate, Dropout(tf.constant([1, step]))
        ).numpy()

    def test_at_rate_zero_the_inputs_are_the_true_tokens(self, model):
        true, inputs = self.sample_inputs(model, 0.0)
        np.testing.assert_array_equal(inputs, true)

    def test_bos_and_padding_are_never_replaced(self, model):
        true, inputs = self.sample_inputs(model, 1.0)
        np.testing.assert_array_equal(inputs[:, 0], true[:, 0])
        np.testing.assert_array_equal(inputs[true == PAD], PAD)
        assert (inputs != true).any()

    def test_replacements_are_drawn_from_the_predictions_after_the_true_tokens(self, model):
        source, target = map(padded, batch(1))
        true = tf.repeat(target[:, :-1], 2000, axis=0)
        vectors, _ = model.teacher_force(source, true[:1])
        # Padding, <s> and </s>, the ids below 3, are never drawn.
        p = tf.nn.softmax(model.logits(vectors[0, 0][None])[:, 3:]).numpy()[0]
        inputs = scheduled_sampling(
            model, tf.repeat(source, 2000, axis=0), true, 1.0, Dropout(tf.constant([1, 1]))
        )
        drawn = np.bincount(inputs.numpy()[:, 1], minlength=VOCABULARY) / 2000
        assert drawn[:3].tolist() == [0, 0, 0]
        np.testing.assert_allclose(drawn[3:], p, atol=0.05)

    def test_the_rate_is_the_share_replaced(self, model):
        differ = [
            np.mean((inputs != true)[:, 1:][true[:, 1:] != PAD])
            for true, inputs in (self.sample_inputs(model, rate) for rate in (0.5, 1.0))
        ]
        assert differ[0] == pytest.approx(differ[1] / 2, abs=0.15)

    def test_the_loss_is_that_of_the_sampled_inputs(self, model):
        source, target = map(padded, batch())
        seed, labels = tf.constant([1, 2]), target.numpy()[:, 1:]
        plain, never, always = (
            masked_loss(model, source, target, SMOOTHING, Dropout(seed), rate) for rate in (None, 0.0, 1.0)
        )
        np.testing.assert_allclose(never.smoothed, plain.smoothed, rtol=1e-6)
        assert float(always.tokens) == float(plain.tokens)

        inputs = scheduled_sampling(model, source, target[:, :-1], 1.0, Dropout(seed))
        assert (inputs != target[:, :-1]).numpy().any()
        vectors, _ = model.teacher_force(source, inputs)
        log_probs = tf.nn.log_softmax(model.logits(tf.reshape(vectors, [-1, vectors.shape[-1]]))).numpy()
        label_log_probs = log_probs[np.arange(labels.size), labels.ravel()]
        expected = -label_log_probs[labels.ravel() != PAD].sum()
        np.testing.assert_allclose(always.cross_entropy, expected, rtol=1e-5)
        assert abs(float(plain.cross_entropy) - expected) > 0.1


def test_teacher_forcing_feeds_the_true_tokens(model):
    """Without teacher forcing, a change of the predictions would change the vectors of later positions."""
    source, target = map(padded, batch(1))
    biased = model.output_bias.numpy()
    vectors, _ = model.teacher_force(source, target)
    model.output_bias.assign(biased + np.linspace(-9, 9, VOCABULARY).astype(np.float32))
    again, _ = model.teacher_force(source, target)
    model.output_bias.assign(biased)
    np.testing.assert_array_equal(vectors, again)
    # The vectors of two targets are equal up to their first difference, and differ after it.
    other = target.numpy().copy()
    other[0, 1] = 4 if other[0, 1] != 4 else 5
    changed, _ = model.teacher_force(source, tf.constant(other))
    np.testing.assert_array_equal(changed[:, :1], vectors[:, :1])
    assert (changed.numpy()[:, 1:] != vectors.numpy()[:, 1:]).any()


def test_word_dropout_drops_whole_embeddings():
    embedded = tf.ones([30, 20, 5])
    dropped = Dropout(tf.constant([3, 4])).drop_words(embedded, 0.3).numpy()
    assert (dropped == dropped[:, :, :1]).all()
    assert abs((dropped[:, :, 0] == 0).mean() - 0.3) < 0.08
    np.testing.assert_array_equal(Dropout().drop_words(embedded, 0.3), embedded)
