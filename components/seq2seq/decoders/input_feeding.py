"""The decoder `input_feeding`: the next step reads the attentional vector."""

from __future__ import annotations

import tensorflow as tf

from bitext.components.seq2seq.decoders.recurrent import (
    RecurrentDecoder,
    RunLoop,
    as_tensors,
    attend_in_loop,
    query_kernel,
)
from bitext.components.seq2seq.layers.attention import Attention
from bitext.components.seq2seq.layers.cells import State, multiply
from bitext.components.seq2seq.layers.dropout import Dropout, apply_mask
from bitext.components.seq2seq.layers.loop import Loop, Product, Tensors
from bitext.components.seq2seq.memory import Encoded, Memory


class InputFeedingDecoder(RecurrentDecoder):
    """The first layer also reads the attentional vector of the step before (Luong et al. 2015, section 3.3).

    One loop runs all layers and the attention. Its state is the attentional vector and the cells' states.
    """

    attention: Attention

    @property
    def fed_units(self) -> int:
        """Width of the attentional vector."""
        return self.settings.embedding_units

    @property
    def state_spec(self) -> tuple[tf.TensorSpec, ...]:
        """The specs of the attentional vector and of the cells' states, in this order."""
        vector = tf.TensorSpec([None, self.settings.embedding_units], tf.float32, "attentional")
        return vector, *super().state_spec

    def initial_state(self, encoded: Encoded) -> State:
        """Returns the state before `<s>`: an attentional vector of zeros, and the cells' initial states."""
        vector = tf.zeros([tf.shape(encoded.mask)[0], self.settings.embedding_units])
        return vector, *super().initial_state(encoded)

    def _split_state(self, state: State) -> list[State]:
        return [state]

    @property
    def _loop_dropout(self) -> dict[str, tuple[float, int]]:
        """The rate and the width of each mask that is applied inside the loop, by name."""
        settings, masks = self.settings, {}
        for layer in range(len(self.cells)):
            width = settings.decoder_units if layer else settings.embedding_units
            masks[f"input{layer}"] = settings.layer_input_dropout, width
            masks[f"output{layer}"] = settings.layer_dropout, settings.decoder_units
        masks["vector"] = settings.output_dropout, settings.embedding_units
        return {name: (rate, width) for name, (rate, width) in masks.items() if rate}

    def _make_loops(self, memory: Memory, dropout: Dropout) -> list[Loop]:
        cells, attention, units = self.cells, self.attention, self.settings.embedding_units
        layers, mask_names = range(len(cells)), list(self._loop_dropout) if dropout.training else []
        recurrent_masks = [self._recurrent_mask(memory, dropout) for _ in layers]
        weights = {
            # The rows of the first kernel that read the attentional vector. `project` multiplies by the rows
            # that read the token.
            "input0": tf.convert_to_tensor(cells[0].kernel)[units:],
            **{f"input{layer}": cells[layer].kernel for layer in layers[1:]},
            **{f"recurrent{layer}": cells[layer].recurrent_kernel for layer in layers},
            "read": self.read_kernel,
            **({} if self.shortcut_kernel is None else {"shortcut": self.shortcut_kernel}),
            **query_kernel(attention),
        }

        def step(
            inputs: Tensors, state: State, constants: Tensors, product: Product
        ) -> tuple[State, Tensors]:
            projected, masks = inputs[0], dict(zip(mask_names, inputs[1:], strict=True))
            values, keys, bias_terms, cell_constants, attention_constants = constants
            below, before, after = state[0], split_cell_states(state[1:]), list[tf.Tensor]()
            for layer in layers:
                projected += product(f"input{layer}", apply_mask(below, masks.get(f"input{layer}")))
                recurrent = product(f"recurrent{layer}", apply_mask(before[layer][0], recurrent_masks[layer]))
                biased = cells[layer].add_bias(projected, bias_terms[layer])
                new = cells[layer].step(biased, recurrent, before[layer], cell_constants[layer])
                after.extend(new)
                hidden = apply_mask(new[0], masks.get(f"output{layer}"))
                below = hidden + below if layer else hidden
                projected = 0.0  # only the first layer has a product that is computed before the loop
            query = product("query", below) if "query" in weights else below
            heads = Memory(values, keys, memory.mask)
            context, alignment = attend_in_loop(attention, query, heads, attention_constants)
            read = tf.concat([context, below], -1)
            vector = tf.tanh(product("read", read))
            if "shortcut" in weights:
                vector += product("shortcut", read)
            return (apply_mask(vector, masks.get("vector")), *after), (alignment,)

        split_cell_states, heads = super()._split_state, attention.split_heads(memory)
        constants = (
            heads.values,
            heads.keys,
            tuple(cell.bias_terms() for cell in cells),
            tuple(cell.constants() for cell in cells),
            attention.constants(),
        )
        token_kernel = tf.convert_to_tensor(cells[0].kernel)[:units]
        return [
            Loop(
                lambda tokens: multiply(tokens, token_kernel),
                step,
                as_tensors(weights),
                constants,
                num_outputs=1,
                num_fixed_inputs=len(mask_names),
            )
        ]

    def _run_layers(
        self, embedded: tf.Tensor, memory: Memory, run: RunLoop, dropout: Dropout
    ) -> tuple[tf.Tensor, tf.Tensor]:
        settings = self.settings
        inputs = dropout(embedded, settings.layer_input_dropout)
        shape = tf.unstack(tf.shape(embedded)[:2])
        rates_and_widths = self._loop_dropout.values() if dropout.training else []
        masks = [dropout.mask([*shape, width], rate) for rate, width in rates_and_widths]
        vectors, (alignment,) = run(0, (inputs, *masks))
        return vectors, alignment
