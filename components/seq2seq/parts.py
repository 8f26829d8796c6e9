"""Computes the rows of tensors some at a time, so that the memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf


def in_parts(
    function: Callable[[slice], Sequence[tf.Tensor]],
    rows: tf.Tensor | int,
    total: tf.Tensor,
    ranks: Sequence[int],
) -> list[tf.Tensor]:
    """Calls a function for some rows after the others, and joins its results.

    Args:
      function: computes tensors float32[R, ...] of the R rows of a slice. It is called once for no rows.
      rows: int32[], the most rows of a slice.
      total: int32[], number of rows.
      ranks: the rank of each tensor.

    Returns:
      The tensors float32[total, ...].
    """

    def add(first: tf.Tensor, *arrays: tf.TensorArray) -> tuple[tf.Tensor | tf.TensorArray, ...]:
        parts = zip(arrays, function(slice(first, first + rows)), strict=True)
        return first + rows, *(array.write(first // rows, part) for array, part in parts)

    arrays = [
        tf.TensorArray(tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=[None] * rank)
        for rank in ranks
    ]
    _, *arrays = tf.while_loop(
        lambda first, *_: tf.logical_or(tf.equal(first, 0), first < total),
        add,
        (tf.constant(0), *arrays),
        parallel_iterations=1,
    )
    return [array.concat() for array in arrays]
