"""A SavedModel with smaller weights: every signature computes as before, from weights it widens first.

Only what is stored is smaller. A call widens the weights once, before any loop, and computes in float32.
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
HIGHEST = 127
"""The largest magnitude of an int8: -128 is not used, so that zero is in the middle."""


class Stored(tf.Module):
    """One weight, stored smaller.

    Matrices become `float16`, or `int8` with a float32 scale for each row of an embedding and each column of
    a kernel, its largest magnitude over 127 (Wu et al. 2016, section 6, with the ranges of the weights).
    Vectors are few, and stay as they are.
    """

    def __init__(self, name: str, values: np.ndarray, precision: Precision):
        super().__init__(name="stored")
        self.scale: tf.Variable | None = None
        if values.ndim > 1 and precision == "float16":
            values = values.astype(np.float16)
        elif values.ndim > 1:
            largest = np.abs(values).max(axis=1 if name.endswith("_embedding") else 0, keepdims=True)
            scale = np.maximum(largest, np.finfo(np.float32).tiny * HIGHEST) / HIGHEST
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
    exported.weights = [Stored(v.path, v.numpy(), precision) for v in variables]
    exported.text = translator.source, translator.target
    signatures = {
        name: with_weights(variables, exported.weights, function).get_concrete_function(**inputs)
        for name, (function, inputs) in translator.signatures().items()
    }
    tf.saved_model.save(exported, str(folder), signatures=signatures)


def with_weights(
    variables: Iterable[keras.Variable],
    values: Iterable[Callable[[], tf.Tensor]],
    function: Callable[..., dict[str, tf.Tensor]],
) -> tf.types.experimental.PolymorphicFunction:
    """The function with other values in the place of the variables: none of these is part of its graph."""

    def computed(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        mapping = [(variable, value()) for variable, value in zip(variables, values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            return function(**inputs)

    return tf.function(computed)
