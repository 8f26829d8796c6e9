"""Compares the layers of a GPU with the cells that they stand for, before a training uses them."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from bitext.components.seq2seq.layers.cells import Cell
from bitext.components.seq2seq.layers.device import DeviceRecurrences
from bitext.components.seq2seq.layers.recurrence import scan
from bitext.components.shared.errors import EnvironmentFault

_CHECKED_STEPS, _CHECKED_ROWS = 24, 48
_TOLERANCE = 1e-2
"""The largest difference of a state. A GPU may compute products in TensorFloat-32, with 10 bits."""


def check(recurrences: DeviceRecurrences, cells: Iterable[Cell]) -> None:
    """Compares the layers with the cells on random sequences of several lengths, in both directions.

    cuDNN before 8.9.2 computes padded sequences wrongly, and differently each time
    (github.com/tensorflow/tensorflow/issues/60192).

    Args:
      recurrences: the layers.
      cells: the cells. Those without a layer are left out.

    Raises:
      EnvironmentFault: a layer computes something else.
    """
    for cell in cells:
        if cell not in recurrences:
            continue
        shape = [_CHECKED_STEPS, _CHECKED_ROWS, cell.kernel.shape[0]]
        inputs = tf.random.stateless_normal(shape, [1, 2])
        lengths = tf.range(_CHECKED_ROWS) % _CHECKED_STEPS + 1
        mask = tf.transpose(tf.sequence_mask(lengths, _CHECKED_STEPS))
        real = tf.cast(mask, tf.float32)[:, :, tf.newaxis]
        for reverse in (False, True):
            arguments = cell, inputs, cell.zero_state(_CHECKED_ROWS), mask, reverse
            hidden, final = recurrences.scan(*arguments)
            expected, expected_final = scan(*arguments, training=False)
            pairs = zip((hidden, *final), (expected * real, *expected_final), strict=True)
            difference = max(float(tf.reduce_max(tf.abs(a - b))) for a, b in pairs)
            if not difference <= _TOLERANCE:
                raise EnvironmentFault(
                    f"on this GPU, the layer of {cell.name} computes something else than the cell: a state "
                    f"differs by {difference:.3g}",
                    "install cuDNN 8.9.2 or newer, or set trainer.device_kernels: off",
                )
