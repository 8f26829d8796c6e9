"""Dropout whose random numbers are a function of (seed, step), so that a resumed training repeats itself."""

from __future__ import annotations

import tensorflow as tf


class Dropout:
    """Draws the masks of one pass through the model. With `seed` None (no training) it changes nothing.

    Args:
      seed: int32[2], different for every training step.
    """

    def __init__(self, seed: tf.Tensor | None = None):
        self._seed = seed
        self._drawn = 0

    def __call__(self, inputs: tf.Tensor, rate: float) -> tf.Tensor:
        """Inputs with a share `rate` of the elements zero and the others scaled (Srivastava et al. 2014)."""
        if self._seed is None or not rate:
            return inputs
        self._drawn += 1
        seed = tf.random.experimental.stateless_fold_in(self._seed, self._drawn)
        return tf.nn.experimental.stateless_dropout(inputs, rate, seed, rng_alg="philox")
