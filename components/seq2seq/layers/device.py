"""Recurrences on a GPU: Keras's LSTM and GRU layers, which run cuDNN's kernels there.

The weights are those of the cells. Each pass converts them to the layout of the layer, so that checkpoints
and exports have no trace of it. An export never runs these layers, because it does not train.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterable, Iterator

import keras
import tensorflow as tf

from bitext.components.seq2seq.layers.cells import Cell, GRUCell, LSTMCell, State

_LAYERS: dict[type[Cell], type[keras.layers.Layer]] = {
    LSTMCell: keras.layers.LSTM,
    GRUCell: keras.layers.GRU,
}
"""The layer of each kind of cell. A subclass of a cell may compute something else, so it has none."""
_used: contextvars.ContextVar[DeviceRecurrences | None] = contextvars.ContextVar("device", default=None)


def is_available() -> bool:
    """Whether this process has a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def used() -> DeviceRecurrences | None:
    """Returns the recurrences that the current pass runs on a device; None: it runs none."""
    return _used.get()


class DeviceRecurrences:
    """The cells of a model that Keras's layers can run.

    Args:
      cells: the cells. Those with layer normalization, and simple recurrent networks, have no layer here.
    """

    def __init__(self, cells: Iterable[Cell]):
        self._layers = {
            id(cell): _layer_of(cell) for cell in cells if type(cell) in _LAYERS and not cell.gains
        }

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Context manager: training passes in it run these recurrences as layers."""
        token = _used.set(self)
        try:
            yield
        finally:
            _used.reset(token)

    def __contains__(self, cell: object) -> bool:
        """Whether a cell can run as a layer."""
        return id(cell) in self._layers

    def scan(
        self, cell: Cell, inputs: tf.Tensor, initial: State, mask: tf.Tensor | None, reverse: bool
    ) -> tuple[tf.Tensor, State]:
        """Runs a cell over a sequence. Arguments and results are as of `recurrence.scan`.

        The hidden states are zero on padding, which is on the right. cuDNN takes neither an empty batch nor
        padding on the left: an empty batch gets a row, and a reversed sequence is reversed within its length.
        """
        layer, rows = self._layers[id(cell)], tf.shape(inputs)[1]
        extra = [[0, tf.cast(tf.equal(rows, 0), tf.int32)], [0, 0]]
        sequence = tf.pad(tf.transpose(inputs, [1, 0, 2]), [*extra, [0, 0]])
        is_real = None if mask is None else tf.pad(tf.transpose(mask), extra, constant_values=True)
        states = [tf.pad(tensor, extra) for tensor in initial]
        if reverse:
            sequence = _reversed(sequence, is_real)
        seeds = [tf.zeros(v.shape, v.dtype) for v in layer.non_trainable_variables]
        (hidden, *final), _ = layer.stateless_call(
            _weights(cell), seeds, sequence, initial_state=states, mask=is_real, training=True
        )
        if reverse:
            hidden = _reversed(hidden, is_real)
        if is_real is not None:
            hidden *= tf.cast(is_real, tf.float32)[:, :, tf.newaxis]
        return tf.transpose(hidden[:rows], [1, 0, 2]), tuple(tensor[:rows] for tensor in final)


def _layer_of(cell: Cell) -> keras.layers.Layer:
    """Returns the layer that computes what a cell does. Its own weights are never used."""
    layer = _LAYERS[type(cell)](
        cell.units,
        return_sequences=True,
        return_state=True,
        kernel_initializer="zeros",
        recurrent_initializer="zeros",
        seed=0,
    )
    layer.build((None, None, cell.kernel.shape[0]))
    return layer


def _weights(cell: Cell) -> list[tf.Tensor]:
    """Returns the weights of a cell in the layout of its layer.

    Both have the same order of the gates. Keras's GRU has a second bias, of the recurrent product, which is 0
    here.
    """
    kernel, recurrent, bias = map(tf.convert_to_tensor, (cell.kernel, cell.recurrent_kernel, cell.bias))
    return [kernel, recurrent, tf.stack([bias, tf.zeros_like(bias)]) if isinstance(cell, GRUCell) else bias]


def _reversed(sequence: tf.Tensor, is_real: tf.Tensor | None) -> tf.Tensor:
    """Reverses the real tokens of each sequence float32[B, T, U]; padding stays on the right."""
    if is_real is None:
        return tf.reverse(sequence, [1])
    lengths = tf.reduce_sum(tf.cast(is_real, tf.int32), 1)
    return tf.reverse_sequence(sequence, lengths, seq_axis=1)
