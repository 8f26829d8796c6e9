"""A SavedModel whose weights are stored as float16 or int8.

Every call of a signature converts the weights to float32 once, before any loop, and computes in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.shared.graphs import graph_function

Precision = Literal["float16", "int8"]
INT8_MAX = 127
"""The largest magnitude of a quantized weight. -128 is not used, so that the range is symmetric."""


class QuantizedWeight(tf.Module):
    """One weight, stored as float16 or int8.

    An int8 matrix has a float32 scale for each row of an embedding, or for each column of a kernel: the
    largest magnitude in the row or column, divided by 127 (Wu et al. 2016, section 6, with the ranges of the
    weights).
    Vectors stay float32, because they are small.

    Args:
      name: path of the variable; `*_embedding` is an embedding.
      values: float32 values of the weight.
      precision: dtype of a matrix.
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
        """Returns the weight as float32."""
        weight = tf.cast(self.values, tf.float32)
        return weight if self.scale is None else weight * self.scale


def save(translator: Translator, precision: Precision, folder: Path) -> None:
    """Writes a quantized SavedModel into a folder, with all signatures of `Translator.save`."""
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
    """Returns a function that computes with other values instead of the variables.

    Args:
      variables: the variables that `function` reads. They are not part of the new function's graph.
      values: for each variable, a function that returns its value.
      function: a function with named tensors as inputs and outputs.
    """

    def computed(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        mapping = [(variable, value()) for variable, value in zip(variables, values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            return function(**inputs)

    return graph_function(computed)
