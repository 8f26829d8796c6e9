"""What TensorFlow says of damaged TFRecords, in our terms."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from bitext.components.shared.errors import DataError


@contextlib.contextmanager
def named(folder: Path, node: str) -> Iterator[None]:
    """Within, examples that cannot be read are told with their folder and the remedy.

    Args:
      folder: where they are.
      node: the component that makes them.

    Raises:
      DataError: they are damaged.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise DataError(
            f"the examples in {folder} are damaged: {error.message}",
            f"make them again with `bitext run --force {node}`",
        ) from error
