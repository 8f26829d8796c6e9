"""Runs a cell or a `Loop` over a sequence, with the large matrix products outside the loop in both passes.

The forward pass computes the products that do not depend on the state before the loop (`Cell.project`). The
backward pass computes the gradient of a weight, which is a sum over the steps, as one product after the loop.
cuDNN does the same on a GPU (Appleyard et al. 2016), where `device` runs the cells that it has. Elsewhere in
training, `bptt` runs a cell that has its own `backward`. `autodiff` runs everything else and differentiates
it under a tape.
"""

from __future__ import annotations

import tensorflow as tf

from bitext.components.seq2seq.layers import device
from bitext.components.seq2seq.layers.autodiff import DifferentiablePass, ForwardPass
from bitext.components.seq2seq.layers.bptt import scan_with_backward
from bitext.components.seq2seq.layers.cells import Cell, CellWithBackward, State
from bitext.components.seq2seq.layers.loop import Loop, Order, Tensors, cell_loop


def scan(
    cell: Cell,
    inputs: tf.Tensor,
    initial: State,
    mask: tf.Tensor | None = None,
    reverse: bool = False,
    recurrent_mask: tf.Tensor | None = None,
    training: bool = True,
) -> tuple[tf.Tensor, State]:
    """Runs a cell over a sequence.

    Args:
      cell: the cell.
      inputs: float32[T, B, I], time first.
      initial: the state before the first step, float32[B, U] each.
      mask: bool[T, B], false on padding, where the state does not change; None: there is no padding.
      reverse: whether the loop runs from the last position to the first.
      recurrent_mask: float32[B, U], multiplied with the hidden state before each step (recurrent dropout with
        one mask for all steps: Gal and Ghahramani 2016); None: no dropout.
      training: whether a gradient is needed.

    Returns:
      The hidden states float32[T, B, U] in the order of the inputs, and the state after the last step.
    """
    hidden, _, final = unroll(cell_loop(cell, recurrent_mask), (inputs,), initial, mask, reverse, training)
    return hidden, final


def unroll(
    loop: Loop,
    inputs: Tensors,
    initial: State,
    mask: tf.Tensor | None = None,
    reverse: bool = False,
    training: bool = True,
) -> tuple[tf.Tensor, Tensors, State]:
    """Runs a loop over a sequence.

    Args:
      loop: what is computed at every step.
      inputs: float32[T, B, I] each, time first.
      initial, mask, reverse: as in `scan`.
      training: whether a gradient is needed. If not, the graph holds no custom gradient, and an export can be
        loaded without one.

    Returns:
      The first tensor of the states float32[T, B, U] and the other outputs float32[T, B, O] each, both in the
      order of the inputs, and the state after the last step.
    """
    cell, recurrences = loop.cell, device.used() if training else None
    if recurrences and cell and loop.recurrent_mask is None and cell in recurrences:
        hidden, final = recurrences.scan(cell, inputs[0], initial, mask, reverse)
        return hidden, (), final
    inputs = loop.project(inputs[0]), *inputs[1:]
    order = Order(tf.shape(inputs[0])[0], reverse)
    if training and isinstance(cell, CellWithBackward) and not cell.gains:
        hidden, final = scan_with_backward(cell, inputs[0], initial, mask, order, loop.recurrent_mask)
        return hidden, (), final
    if training:
        hidden, outputs, final = DifferentiablePass(loop, mask, order).run(inputs, initial)
    else:
        hidden, outputs, final = _run_forward(loop, inputs, initial, mask, order)
    hidden.set_shape([None, None, initial[0].shape[-1]])
    return hidden, outputs, final


def _run_forward(
    loop: Loop, inputs: Tensors, initial: State, mask: tf.Tensor | None, order: Order
) -> tuple[tf.Tensor, Tensors, State]:
    """Runs a loop without a gradient. Inputs are projected; arguments and results as in `unroll`.

    A reversed loop is a forward loop over reversed inputs. In an exported graph, every loop must write its
    t-th result at position t: converters to other formats (tf2onnx) ignore the position and append.
    """
    if not order.reverse:
        return ForwardPass(loop, mask, order).run(inputs, initial)
    inputs = tuple(_reversed(sequence) for sequence in inputs)
    # TensorFlow.js reverses a boolean tensor wrongly (backend WASM).
    mask = None if mask is None else tf.cast(_reversed(tf.cast(mask, tf.int32)), tf.bool)
    hidden, outputs, final = ForwardPass(loop, mask, Order(order.steps, reverse=False)).run(inputs, initial)
    return _reversed(hidden), tuple(_reversed(sequence) for sequence in outputs), final


def _reversed(sequence: tf.Tensor) -> tf.Tensor:
    return tf.reverse(sequence, [0])
