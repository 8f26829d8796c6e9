"""Dropout: rates, scaling and seeds."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.seq2seq.layers.dropout import NO_DROPOUT, TOLERANCE, Dropout

SEED = tf.constant([3, 4])


@pytest.mark.parametrize("rate", [0.001, 0.02, 0.1, 0.3, 0.5, 0.9, 0.99])
def test_the_rate_is_kept_and_the_mean_is_1(rate):
    shape = [300, 7, 191]
    mask = Dropout(SEED).mask(shape, rate).numpy()
    deviation = (rate * (1 - rate) / np.prod(shape)) ** 0.5
    assert mask.shape == tuple(shape)
    tolerance = TOLERANCE * min(rate, 1 - rate)
    assert abs((mask == 0).mean() - rate) < 4 * deviation + tolerance
    np.testing.assert_allclose(mask[mask != 0], 1 / (1 - rate), rtol=1.01 * TOLERANCE)
    assert abs(mask.mean() - 1) < 4 * deviation / (1 - rate)
    # Rows and columns are independent.
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        shares = (mask == 0).mean(others)
        assert abs(shares - rate).max() < 6 * deviation * shape[axis] ** 0.5 + tolerance


@pytest.mark.parametrize("rate", [0.00003, 0.0001, 0.0005])
def test_a_small_rate_is_kept(rate):
    mask = Dropout(SEED).mask([1000, 1000], rate).numpy()
    # The scale of the other elements shows the rate more precisely than a count.
    np.testing.assert_allclose(mask.max() - 1, rate / (1 - rate), rtol=TOLERANCE)
    assert abs((mask == 0).sum() - rate * mask.size) < 4 * (rate * mask.size) ** 0.5


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.floats(0, 1, exclude_max=True))
def test_any_shape_and_any_rate(shape, rate):
    outputs = Dropout(SEED)(tf.ones(shape), rate)
    assert outputs.shape == tuple(shape)
    assert np.isfinite(outputs).all()


def test_elements_and_gradients_that_are_not_dropped_are_scaled():
    inputs = tf.random.stateless_normal([40, 9], [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = Dropout(SEED)(inputs, 0.25)
    gradient = tape.gradient(outputs, inputs)
    np.testing.assert_allclose(outputs, inputs * gradient)
    assert set(np.unique(gradient)) == {0.0, np.float32(4 / 3)}


def test_a_mask_follows_from_the_seed_and_the_number_of_draws():
    one, same, other = Dropout(SEED), Dropout(SEED), Dropout(SEED + 1)
    first, second = (one.mask([1000], 0.5).numpy() for _ in range(2))
    assert (first == same.mask([1000], 0.5).numpy()).all()
    assert 0.4 < (first == second).mean() < 0.6
    assert 0.4 < (first == other.mask([1000], 0.5).numpy()).mean() < 0.6


def test_without_a_seed_or_a_rate_nothing_changes():
    inputs = tf.ones([3, 4])
    assert NO_DROPOUT(inputs, 0.5) is inputs
    assert Dropout(SEED)(inputs, 0.0) is inputs
    assert NO_DROPOUT.mask([3, 4], 0.5) is None
