"""A Transformer decoder learns a task. Other files test that it has the properties of every decoder.

Search and sampling: `test_search`. Steps, padding and batches: `test_model`. SavedModel: `test_export`.
TensorFlow Lite: `test_quantize`. Warm-up requests: `test_warm_up`.
"""

from __future__ import annotations

import keras
import msgspec
import numpy as np
import tensorflow as tf

from bitext.components.seq2seq.decoding.search import beam_search
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.loss import masked_loss
from bitext.components.seq2seq.model import BOS, EOS, Seq2Seq
from tests.components.tiny_model import VOCABULARY, padded
from tests.components.transformer_decoder import TRANSFORMER, TransformerDecoder

STEPS, BATCH = 400, 32
SETTINGS = msgspec.structs.replace(
    TRANSFORMER, embedding_units=24, encoder_units=32, decoder_units=32, embedding_dropout=0.05
)


def pairs(random: np.random.Generator, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Sources of two to five tokens, and the same tokens in reverse order."""
    rows = [random.integers(4, VOCABULARY, random.integers(2, 6)).tolist() for _ in range(count)]
    return padded([[*row, EOS] for row in rows], 6), padded([[BOS, *row[::-1], EOS] for row in rows], 8)


def test_it_learns_to_reverse_a_sentence():
    keras.utils.set_random_seed(1)
    model = Seq2Seq(SETTINGS, VOCABULARY, VOCABULARY, make_decoder=TransformerDecoder)
    variables = [v.value for v in model.trainable_variables]
    random, optimizer = np.random.default_rng(1), keras.optimizers.Adam(0.003)
    optimizer.build(model.trainable_variables)

    @tf.function
    def update(source: tf.Tensor, target: tf.Tensor, step: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = masked_loss(model, source, target, 0.0, Dropout(tf.stack([1, step])))
            mean = loss.smoothed / loss.tokens
        optimizer.apply(tape.gradient(mean, variables), model.trainable_variables)

    for step in range(STEPS):
        update(*pairs(random, BATCH), tf.constant(step))
    source, target = pairs(random, 100)
    best = beam_search(model, model.start(source), 3, 1.0, 7).tokens[:, 0]
    columns = best.shape[1]
    correct = (best.numpy() == target.numpy()[:, 1 : 1 + columns]).all(1)
    assert correct.mean() > 0.9
