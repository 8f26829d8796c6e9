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
        return tf.nn.experimental.stateless_dropout(inputs, rate, self.draw(), rng_alg="philox")

    def mask(self, shape: list[tf.Tensor], rate: float) -> tf.Tensor | None:
        """What `__call__` would multiply with, for dropout shared by positions or steps; None where it would
        change nothing."""
        return None if self._seed is None or not rate else self(tf.ones(shape), rate)

    def words(self, embedded: tf.Tensor, rate: float) -> tf.Tensor:
        """Embedded tokens float32[B, T, D] with a share `rate` of them zero as a whole and the others scaled.

        This is word dropout as in Sennrich and Zhang 2019, a token at a time; Gal and Ghahramani 2016
        (section 4.2) drop all of a word's occurrences in a sentence.
        """
        mask = self.mask([*tf.unstack(tf.shape(embedded)[:2]), 1], rate)
        return embedded if mask is None else embedded * mask

    @property
    def training(self) -> bool:
        """Whether this is a pass of training."""
        return self._seed is not None

    def draw(self) -> tf.Tensor:
        """The next seed int32[2]."""
        self._drawn += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._drawn)


NO_DROPOUT = Dropout()
