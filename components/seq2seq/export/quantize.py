"""A SavedModel with smaller weights.

Only the stored weights are smaller. Every call of a signature widens them once, before any loop, and computes
in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from bitext.components.seq2seq.export.saved_model import Translator

Precision = Literal["float16", "int8"]
INT8_MAX = 127
"""The largest magnitude of a quantized weight. -128 is not used, so that the range is symmetric."""


class QuantizedWeight(tf.Module):
    """One weight in a smaller dtype.

    A matrix is stored as `float16`, or as `int8` with a float32 scale for each row of an embedding and for
    each column of a kernel: its largest magnitude over 127 (Wu et al. 2016, section 6, with the ranges of the
      weights).
    A vector stays float32, because vectors are small.
    """

    def __init__(self, name: str, values: np.ndarray, precision: Precision):
        super().__init__(name="stored")
        self.scale: tf.Variable | None = None
        if values.ndim > 1 and precision == "float16":
            values = values.astype(np.float16)
        elif values.ndim > 1:
            largest = np.abs(values).max(axis=1 if name.endswith("_embedding") else 0, keepdims=True)
            scale = np.maximum(largest, np.finfo(np.float32).tiny * INT8_MAX) / INT8_MAX
            self.scale = tf.Variable(scale, trainable=False)
            values = np.rint(values / scale).astype(np.int8)
        self.values = tf.Variable(values, trainable=False)

    def __call__(self) -> tf.Tensor:
        """The weight as float32."""
        wide = tf.cast(self.values, tf.float32)
        return wide if self.scale is None else wide * self.scale


def save(translator: Translator, precision: Precision, folder: Path) -> None:
    """Writes the SavedModel, with all signatures of `Translator.save`."""
    variables = translator.model.weights
    exported = tf.Module(name="translator")
    exported.weights = [QuantizedWeight(v.path, v.numpy(), precision) for v in variables]
    exported.text = translator.source, translator.target
    signatures = {
        name: replace_weights(variables, exported.weights, function).get_concrete_function(**inputs)
        for name, (function, inputs) in translator.signatures().items()
    }
    tf.saved_model.save(exported, str(folder), signatures=signatures)


def replace_weights(
    variables: Iterable[keras.Variable],
    values: Iterable[Callable[[], tf.Tensor]],
    function: Callable[..., dict[str, tf.Tensor]],
) -> tf.types.experimental.PolymorphicFunction:
    """Returns the function with other values instead of the variables, which are not part of its graph."""

    def computed(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        mapping = [(variable, value()) for variable, value in zip(variables, values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            return function(**inputs)

    return tf.function(computed)
