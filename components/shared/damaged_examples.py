"""Turns TensorFlow's errors about damaged TFRecords into errors with a remedy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from bitext.components.shared.errors import DataError


@contextlib.contextmanager
def reporting_damaged_examples(folder: Path, node: str) -> Iterator[None]:
    """Context manager: re-raises TensorFlow's read errors as a DataError with the folder and the remedy.

    Args:
      folder: the folder of the TFRecords that are read.
      node: the node that writes them.

    Raises:
      DataError: a file is missing, damaged, or holds other features.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        raise DataError(
            f"the examples in {folder} are damaged: {error.message}",
            f"make them again: `bitext run CONFIG --force {node}`",
        ) from error
