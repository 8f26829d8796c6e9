"""TensorFlow functions without AutoGraph."""

from __future__ import annotations

import functools

import tensorflow as tf

graph_function = functools.partial(tf.function, autograph=False)
"""`tf.function` for code that has its control flow in `tf.cond` and `tf.while_loop`.

AutoGraph converts Python's `if` and `while` on tensors. Here are none, and looking for them takes half of the
time of an export. A Python `if` on a tensor is an error.
"""
without_autograph = tf.autograph.experimental.do_not_convert
"""The same for a function that `tf.data` traces."""
