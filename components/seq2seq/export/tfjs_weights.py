"""Weights of 16 or 8 bits in the graph models of TensorFlow.js, which restores float32 when it loads them."""

from __future__ import annotations

import dataclasses

import numpy as np

from bitext.components.seq2seq.export.quantize import Precision
from bitext.components.seq2seq.export.saved_model import Translator

_LEVELS = 255


@dataclasses.dataclass(frozen=True)
class StoredWeight:
    """A constant as its file has it.

    Attributes:
      values: the stored values: float16, or uint8 for the precision `int8`.
      scale, offset: of the uint8 values, which mean `value * scale + offset`.
    """

    values: np.ndarray
    scale: float = 1.0
    offset: float = 0.0

    def manifest(self) -> dict[str, object]:
        """Returns the entry `quantization` of the weight in `weightsManifest`."""
        entry: dict[str, object] = {"dtype": self.values.dtype.name, "original_dtype": "float32"}
        return entry if self.values.dtype == np.float16 else entry | {"scale": self.scale, "min": self.offset}

    def restored(self) -> np.ndarray:
        """Returns the float32 values that TensorFlow.js computes with."""
        return (self.values.astype(np.float64) * self.scale + self.offset).astype(np.float32)


def store(values: np.ndarray, precision: Precision) -> StoredWeight | None:
    """Returns a constant in fewer bits.

    Args:
      values: the constant.
      precision: `float16`; or `int8`: 256 evenly spaced values from the smallest to the largest, because
        TensorFlow.js has one scale for each constant.

    Returns:
      None for what stays as it is: vectors, which are small, and integers.
    """
    if values.ndim < 2 or values.size == 0 or values.dtype != np.float32:
        return None
    if precision == "float16":
        return StoredWeight(values.astype(np.float16))
    smallest, largest = float(values.min()), float(values.max())
    scale = (largest - smallest) / _LEVELS or 1.0
    return StoredWeight(
        np.rint((values.astype(np.float64) - smallest) / scale).astype(np.uint8), scale, smallest
    )


def round_weights(translator: Translator, precision: Precision) -> None:
    """Replaces the weights of a model by those that TensorFlow.js restores."""
    for variable in translator.model.weights:
        stored = store(variable.numpy(), precision)
        if stored is not None:
            variable.assign(stored.restored())
