"""Dropout whose masks depend only on (seed, step), so that a resumed training gives the same weights."""

from __future__ import annotations

import tensorflow as tf

TOLERANCE = 0.02
"""Largest relative error of the drop rate and of the keep rate."""


class Dropout:
    """Draws the dropout masks of one forward pass. Without a seed (no training) it changes nothing.

    Args:
      seed: int32[2], different for every training step; None: no training.
    """

    def __init__(self, seed: tf.Tensor | None = None):
        self._seed = seed
        self._seeds_drawn = 0

    def __call__(self, inputs: tf.Tensor, rate: float) -> tf.Tensor:
        """Sets a share `rate` of the elements to zero and scales the others (Srivastava et al. 2014)."""
        return apply_mask(inputs, self.mask(tf.shape(inputs), rate))

    def mask(self, shape: tf.Tensor | list[tf.Tensor | int], rate: float) -> tf.Tensor | None:
        """Draws a mask, for dropout that several positions or steps share.

        Most of the cost of dropout is drawing random bits. So each element uses the fewest bits of 8, 16
        and 32 that keep the rate within `TOLERANCE`: 8 bits for a rate of 0.1 or 0.3, 16 bits for 0.001.

        Args:
          shape: shape of the mask.
          rate: share of zeros.

        Returns:
          float32[shape] of zeros and one other value, such that the expected mean is 1. None: nothing is
          dropped.
        """
        if self._seed is None or not rate:
            return None
        dtype, values, dropped = _bits_per_element(rate)
        size = tf.reduce_prod(shape)
        numbers = -(-size * dtype.size // tf.uint32.size)  # rounded up
        bits = tf.random.stateless_uniform([numbers], self.next_seed(), None, None, tf.uint32)
        drawn = tf.reshape(tf.reshape(tf.bitcast(bits, dtype), [-1])[:size], shape)
        return tf.cast(drawn >= tf.constant(dropped, dtype), tf.float32) * (values / (values - dropped))

    def drop_words(self, embedded: tf.Tensor, rate: float) -> tf.Tensor:
        """Sets the whole embedding of a share `rate` of the tokens to zero and scales the others.

        This is word dropout as in Sennrich and Zhang 2019: each occurrence is drawn independently. Gal and
        Ghahramani 2016 (section 4.2) drop all occurrences of a word in a sentence together.

        Args:
          embedded: float32[N, M, D], N * M tokens.
          rate: share of the tokens.
        """
        return apply_mask(embedded, self.mask([*tf.unstack(tf.shape(embedded)[:2]), 1], rate))

    @property
    def training(self) -> bool:
        """Whether this is a forward pass of training."""
        return self._seed is not None

    def next_seed(self) -> tf.Tensor:
        """Returns the next seed int32[2] of this forward pass."""
        self._seeds_drawn += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._seeds_drawn)


def _bits_per_element(rate: float) -> tuple[tf.DType, int, int]:
    """Returns the smallest dtype for a rate, the number of its values, and how many of them mean "drop"."""
    for dtype in (tf.uint8, tf.uint16, tf.uint32):
        values = dtype.max + 1
        dropped = min(round(rate * values), values - 1)
        if abs(dropped / values - rate) <= TOLERANCE * min(rate, 1.0 - rate):
            break
    return dtype, values, dropped


def apply_mask(inputs: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Multiplies inputs by a mask from `Dropout.mask`; without a mask, returns them unchanged."""
    return inputs if mask is None else inputs * mask


NO_DROPOUT = Dropout()
"""Dropout outside of training: it changes nothing."""
