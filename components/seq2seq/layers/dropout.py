"""Dropout whose random numbers are a function of (seed, step), so that a resumed training repeats itself."""

from __future__ import annotations

import tensorflow as tf

TOLERANCE = 0.02
"""By how much of itself the share dropped, or the share kept, may differ from what is asked."""


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
        return masked(inputs, self.mask(tf.shape(inputs), rate))

    def mask(self, shape: tf.Tensor | list[tf.Tensor | int], rate: float) -> tf.Tensor | None:
        """What `__call__` multiplies with, for dropout shared by positions or steps: float32 of that shape, 0
        or what makes the mean 1; None where it would change nothing.

        Drawing random bits is most of what dropout costs, and so an element is decided on by as few as keep
        the rate to within a fiftieth of what is asked: eight for 0.1 or 0.3, sixteen for 0.001, or 32.
        """
        if self._seed is None or not rate:
            return None
        kind, sides, dropped = _dice(rate)
        size = tf.reduce_prod(shape)
        words = -(-size * kind.size // tf.uint32.size)
        bits = tf.random.stateless_uniform([words], self.draw(), None, None, tf.uint32)
        thrown = tf.reshape(tf.reshape(tf.bitcast(bits, kind), [-1])[:size], shape)
        return tf.cast(thrown >= tf.constant(dropped, kind), tf.float32) * (sides / (sides - dropped))

    def words(self, embedded: tf.Tensor, rate: float) -> tf.Tensor:
        """Embedded tokens float32[N, M, D] with a share `rate` of them zero as a whole and the others scaled.

        This is word dropout as in Sennrich and Zhang 2019, a token at a time; Gal and Ghahramani 2016
        (section 4.2) drop all of a word's occurrences in a sentence.
        """
        return masked(embedded, self.mask([*tf.unstack(tf.shape(embedded)[:2]), 1], rate))

    @property
    def training(self) -> bool:
        """Whether this is a pass of training."""
        return self._seed is not None

    def draw(self) -> tf.Tensor:
        """The next seed int32[2]."""
        self._drawn += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._drawn)


def _dice(rate: float) -> tuple[tf.DType, int, int]:
    """The dice for a rate: the type of a throw, how many sides they have, and on how many an element goes."""
    for kind in (tf.uint8, tf.uint16, tf.uint32):
        sides = kind.max + 1
        dropped = min(round(rate * sides), sides - 1)
        if abs(dropped / sides - rate) <= TOLERANCE * min(rate, 1.0 - rate):
            break
    return kind, sides, dropped


def masked(inputs: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Inputs dropped out by what `Dropout.mask` drew before; None: as they are."""
    return inputs if mask is None else inputs * mask


NO_DROPOUT = Dropout()
