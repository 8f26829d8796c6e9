"""The decoders `luong` and `gnmt`, and the base class of the other recurrent decoders.

A recurrent decoder defines its loops (`_make_loops`) and the layers between and above them (`_run_layers`).
`step` (one token) and `unroll` (a whole sequence) run both. No loop of `luong` and `gnmt` reads their own
attention, so in training they compute the attention of all positions in one product.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.decoders.base import Decoder
from bitext.components.seq2seq.layers.attention import Attention, make_attention
from bitext.components.seq2seq.layers.cells import CELLS, Cell, State, multiply
from bitext.components.seq2seq.layers.dropout import NO_DROPOUT, Dropout
from bitext.components.seq2seq.layers.loop import Loop, Tensors, cell_loop
from bitext.components.seq2seq.layers.recurrence import unroll
from bitext.components.seq2seq.memory import Encoded, Memory

RunLoop = Callable[[int, Tensors], tuple[tf.Tensor, Tensors]]
"""Runs a loop.

Its arguments are the index of the loop and the inputs float32[B, N, I] each. It returns the first tensor of
the states float32[B, N, U] and the other outputs float32[B, N, O] each.
"""


class RecurrentDecoder(Decoder):
    """Recurrent layers, with the attention after the last layer (`luong`) or after the first (`gnmt`).

    The output layer reads the attentional vector, tanh(W [context; hidden]), to which `output_shortcut` adds
    V [context; hidden].

    The decoder's state is a tuple of float32[B * K, U]: the states of the cells, one after the other.
    """

    def __init__(self, settings: ModelSettings):
        super().__init__(settings)
        self.attention = make_attention(settings)
        self.attends = self.attention is not None
        self.key_units = self.attention.key_units if self.attention is not None else 0
        self.cells: list[Cell] = []
        context = 0 if settings.decoder in ("luong", "input_feeding") else settings.context_units
        width = settings.embedding_units + self.fed_units
        for layer in range(settings.decoder_layers):
            self.cells.append(self._make_cell(width, f"layer{layer}"))
            width = settings.decoder_units + context
        width = settings.decoder_units + (settings.context_units if self.attends else 0)
        self.read_kernel = self._make_matrix("read_kernel", width, settings.embedding_units)
        self.shortcut_kernel: keras.Variable | None = None
        if settings.output_shortcut:
            self.shortcut_kernel = self._make_matrix("shortcut_kernel", width, settings.embedding_units)
        self.bridges = {}
        if settings.bridge in ("dense", "mean"):
            for name in self._cell_state_names():
                units = settings.encoder_units, settings.decoder_units
                self.bridges[name] = self._make_matrix(f"bridge_{name}", *units)

    @property
    def fed_units(self) -> int:
        """Width of the vector that the first layer reads in addition to the embedded token."""
        return 0

    def _make_cell(self, width: int, name: str) -> Cell:
        settings = self.settings
        return CELLS[settings.cell](width, settings.decoder_units, name, settings.layer_norm)

    def _make_matrix(self, name: str, rows: int, columns: int) -> keras.Variable:
        return self.add_weight(name=name, shape=(rows, columns), initializer="glorot_uniform")

    def _cell_state_names(self) -> list[str]:
        """A name for every tensor of the cells' states, in order: `layer0_hidden`, `layer0_cell`, ..."""
        return [f"{cell.name}_{name}" for cell in self.cells for name in cell.state_names]

    @property
    def state_spec(self) -> tuple[tf.TensorSpec, ...]:
        """The specs of the cells' states, in order."""
        shape = [None, self.settings.decoder_units]
        return tuple(tf.TensorSpec(shape, tf.float32, name) for name in self._cell_state_names())

    def initial_state(self, encoded: Encoded) -> State:
        """Computes the state before `<s>`, float32[B, U] each, from the encoder's final states by the bridge.

        The top layer starts from the encoder's top layer, the layer below it from the layer below, and so on
        (Sutskever et al. 2014). If the encoder has fewer layers, the lowest layers start from its first.
        A projected hidden state passes through tanh, as the output of a cell does; an LSTM's cell state does
        not.
        """
        settings = self.settings
        real = tf.cast(encoded.mask, tf.float32)
        token_counts = tf.maximum(tf.reduce_sum(real, 1, keepdims=True), 1.0)
        mean = tf.reduce_sum(encoded.outputs, 1) / token_counts
        state = []
        offset = len(encoded.final_states) - len(self.cells)
        for layer, cell in enumerate(self.cells):
            final_state = encoded.final_states[max(0, offset + layer)]
            for state_name, final in zip(cell.state_names, final_state, strict=True):
                if settings.bridge == "zero":
                    state.append(tf.zeros([tf.shape(real)[0], settings.decoder_units]))
                elif settings.bridge == "copy":
                    state.append(final)
                else:
                    kernel = self.bridges[f"{cell.name}_{state_name}"]
                    bridged = tf.matmul(mean if settings.bridge == "mean" else final, kernel)
                    state.append(tf.tanh(bridged) if state_name == "hidden" else bridged)
        return tuple(state)

    def project_keys(self, encoded: Encoded) -> Memory:
        """Projects the keys of the attention, once per sentence."""
        if self.attention is None:
            return super().project_keys(encoded)
        return self.attention.project_keys(encoded)

    def split_heads(self, memory: Memory) -> Memory:
        """Splits values and keys into the heads of the attention."""
        return memory if self.attention is None else self.attention.split_heads(memory)

    def step(
        self, embedded: tf.Tensor, position: tf.Tensor, state: State, memory: Memory
    ) -> tuple[tf.Tensor, tf.Tensor, State]:
        """Reads one token; see `Decoder.step`. A recurrence does not depend on the position."""
        loops, states_after = self._make_loops(memory, NO_DROPOUT), list[State]()
        states_before, batch_shape = self._split_state(state), tf.shape(embedded)[:2]

        def flatten(inputs: tf.Tensor) -> tf.Tensor:
            return tf.reshape(inputs, [-1, inputs.shape[-1]])

        def unflatten(outputs: tf.Tensor) -> tf.Tensor:
            return tf.reshape(outputs, tf.concat([batch_shape, tf.shape(outputs)[1:]], 0))

        def run(index: int, inputs: Tensors) -> tuple[tf.Tensor, Tensors]:
            new, outputs = loops[index].single_step(tuple(map(flatten, inputs)), states_before[index])
            states_after.append(new)
            hidden = unflatten(new[0])
            hidden.set_shape([None, None, new[0].shape[-1]])  # not tf.ensure_shape, which TensorFlow.js lacks
            return hidden, tuple(map(unflatten, outputs))

        vectors, alignment = self._run_layers(embedded, memory, run, NO_DROPOUT)
        return vectors, alignment, tuple(tensor for new in states_after for tensor in new)

    def unroll(
        self, embedded: tf.Tensor, state: State, memory: Memory, dropout: Dropout
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads whole sequences; see `Decoder.unroll`."""
        loops, initial = self._make_loops(memory, dropout), self._split_state(state)

        def swap_time(sequence: tf.Tensor) -> tf.Tensor:
            return tf.transpose(sequence, [1, 0, 2])

        def run(index: int, inputs: Tensors) -> tuple[tf.Tensor, Tensors]:
            sequences, training = tuple(map(swap_time, inputs)), dropout.training
            hidden, outputs, _ = unroll(loops[index], sequences, initial[index], training=training)
            return swap_time(hidden), tuple(map(swap_time, outputs))

        return self._run_layers(embedded, memory, run, dropout)

    def _split_state(self, state: State) -> list[State]:
        """Returns the state of each loop."""
        size = len(self.cells[0].state_names)
        return [state[i : i + size] for i in range(0, len(state), size)]

    def _make_loops(self, memory: Memory, dropout: Dropout) -> list[Loop]:
        return [cell_loop(cell, self._recurrent_mask(memory, dropout)) for cell in self.cells]

    def _recurrent_mask(self, memory: Memory, dropout: Dropout) -> tf.Tensor | None:
        """Draws a mask float32[B, U] of recurrent dropout; None: no dropout."""
        shape = [tf.shape(memory.mask)[0], self.settings.decoder_units]
        return dropout.mask(shape, self.settings.recurrent_dropout)

    def _run_layers(
        self, embedded: tf.Tensor, memory: Memory, run: RunLoop, dropout: Dropout
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs all layers and the attention for N consecutive tokens, or for one token of N hypotheses.

        Args:
          embedded: float32[B, N, D].
          memory: of the B sentences.
          run: runs one of the loops.
          dropout: of this forward pass.

        Returns:
          Attentional vectors float32[B, N, D] and alignments float32[B, N, S].
        """
        query_layer = 0 if self.settings.decoder == "gnmt" else len(self.cells) - 1
        alignment = tf.zeros(tf.concat([tf.shape(embedded)[:2], tf.shape(memory.mask)[1:]], 0))
        hidden, contexts = embedded, list[tf.Tensor]()
        for layer in range(len(self.cells)):
            hidden = self._run_layer(layer, hidden, contexts, run, dropout)
            if layer == query_layer and self.attention is not None:
                queries = self.attention.queries(hidden)
                context, alignment = self.attention.attend(queries, memory, self.attention.constants())
                contexts = [context]
        return self._attentional_vectors(contexts, hidden, dropout), alignment

    def _run_layer(
        self, layer: int, below: tf.Tensor, contexts: list[tf.Tensor], run: RunLoop, dropout: Dropout
    ) -> tf.Tensor:
        """Returns a layer's outputs float32[B, N, U] after dropout and the residual connection."""
        inputs = dropout(tf.concat([below, *contexts], -1), self.settings.layer_input_dropout)
        hidden, _ = run(layer, (inputs,))
        hidden = dropout(hidden, self.settings.layer_dropout)
        return hidden + below if layer else hidden

    def _attentional_vectors(
        self, contexts: list[tf.Tensor], hidden: tf.Tensor, dropout: Dropout
    ) -> tf.Tensor:
        """Computes the attentional vectors float32[B, N, D]."""
        read = tf.concat([*contexts, hidden], -1)
        vectors = tf.tanh(multiply(read, self.read_kernel))
        if self.shortcut_kernel is not None:
            vectors += multiply(read, self.shortcut_kernel)
        return dropout(vectors, self.settings.output_dropout)


def query_kernel(attention: Attention) -> dict[str, keras.Variable]:
    """Returns the kernel that projects queries, as a weight of a loop; empty if there is none."""
    return {} if attention.query_kernel is None else {"query": attention.query_kernel}


def as_tensors(weights: dict[str, tf.Tensor | keras.Variable]) -> dict[str, tf.Tensor]:
    """Converts the weights of a loop to tensors."""
    return {name: tf.convert_to_tensor(weight) for name, weight in weights.items()}


def attend_in_loop(
    attention: Attention, queries: tf.Tensor, memory: Memory, constants: Tensors
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the attention inside a loop, for decoders that attend at every step.

    Args:
      attention: the attention.
      queries: float32[B * K, Q].
      memory: of B sentences.
      constants: from `attention.constants()`.

    Returns:
      Contexts float32[B * K, C] and alignments float32[B * K, S].
    """
    sentences, rows = tf.shape(memory.mask)[0], tf.shape(queries)[0]
    # In an empty batch there are no rows, and the number of hypotheses is 0.
    hypotheses = rows // tf.maximum(sentences, 1)
    by_sentence = tf.reshape(queries, [sentences, hypotheses, queries.shape[-1]])
    contexts, alignments = attention.attend(by_sentence, memory, constants)
    return (
        tf.reshape(contexts, [rows, contexts.shape[-1]]),
        tf.reshape(alignments, [rows, tf.shape(memory.mask)[1]]),
    )
