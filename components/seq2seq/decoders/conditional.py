"""The decoder `conditional`: the attention is between two cells of the first layer."""

from __future__ import annotations

import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.decoders.recurrent import (
    RecurrentDecoder,
    RunLoop,
    as_tensors,
    attend_in_loop,
    query_kernel,
)
from bitext.components.seq2seq.layers.attention import Attention
from bitext.components.seq2seq.layers.cells import State
from bitext.components.seq2seq.layers.dropout import Dropout, apply_mask
from bitext.components.seq2seq.layers.loop import Loop, Product, Tensors, cell_loop
from bitext.components.seq2seq.memory import Memory


class ConditionalDecoder(RecurrentDecoder):
    """The conditional GRU of Sennrich et al. 2017, section 2, with any cell.

    The first layer has two cells. The first cell reads the token. Its state is the query of the attention.
    The second cell starts from this state and reads the context. Its state is the state of the layer.
    """

    attention: Attention

    def __init__(self, settings: ModelSettings):
        super().__init__(settings)
        self.context_cell = self._make_cell(settings.context_units, "layer0_context")

    def _make_loops(self, memory: Memory, dropout: Dropout) -> list[Loop]:
        first, second, attention = self.cells[0], self.context_cell, self.attention
        recurrent_masks = [self._recurrent_mask(memory, dropout) for _ in range(2)]
        weights = {
            "first": first.recurrent_kernel,
            "context": second.kernel,
            "second": second.recurrent_kernel,
            **query_kernel(attention),
        }

        def step(
            inputs: Tensors, state: State, constants: Tensors, product: Product
        ) -> tuple[State, Tensors]:
            values, keys, first_constants, bias_terms, second_constants, attention_constants = constants
            recurrent = product("first", apply_mask(state[0], recurrent_masks[0]))
            state = first.step(inputs[0], recurrent, state, first_constants)
            query = product("query", state[0]) if "query" in weights else state[0]
            heads = Memory(values, keys, memory.mask)
            context, alignment = attend_in_loop(attention, query, heads, attention_constants)
            projected = second.add_bias(product("context", context), bias_terms)
            recurrent = product("second", apply_mask(state[0], recurrent_masks[1]))
            state = second.step(projected, recurrent, state, second_constants)
            return state, (context, alignment)

        heads = attention.split_heads(memory)
        constants = (
            heads.values,
            heads.keys,
            first.constants(),
            second.bias_terms(),
            second.constants(),
            attention.constants(),
        )
        first_loop = Loop(first.project, step, as_tensors(weights), constants, num_outputs=2)
        upper_loops = (cell_loop(cell, self._recurrent_mask(memory, dropout)) for cell in self.cells[1:])
        return [first_loop, *upper_loops]

    def _run_layers(
        self, embedded: tf.Tensor, memory: Memory, run: RunLoop, dropout: Dropout
    ) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = dropout(embedded, self.settings.layer_input_dropout)
        hidden, (context, alignment) = run(0, (inputs,))
        context.set_shape([None, None, self.settings.context_units])
        hidden = dropout(hidden, self.settings.layer_dropout)
        for layer in range(1, len(self.cells)):
            hidden = self._run_layer(layer, hidden, [context], run, dropout)
        return self._attentional_vectors([context], hidden, dropout), alignment
