"""The type of the matrix products in training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """Context manager: allows TensorFlow to compute matrix products in bfloat16 if `name` is `bfloat16`."""
    option = "auto_mixed_precision_onednn_bfloat16"
    before = tf.config.optimizer.get_experimental_options().get(option, False)
    tf.config.optimizer.set_experimental_options({option: name == "bfloat16"})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({option: before})
