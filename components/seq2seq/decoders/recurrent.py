"""The decoders: from the tokens so far to what is known of the next, with attention over the memory.

Where the attention sits (`ModelSettings.decoder`) decides what can be done for all positions at once in
training. A decoder is a list of loops, each a recurrence of its own, and what lies between and above them.
One token (`Decoder.step`) or a whole sequence (`Decoder.unroll`), both run the same loops through
`Decoder._through`.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.encoders.recurrent import Encoded
from bitext.components.seq2seq.layers.attention import Attention, Memory, make_attention
from bitext.components.seq2seq.layers.cells import CELLS, Cell, State, times
from bitext.components.seq2seq.layers.dropout import NO_DROPOUT, Dropout, masked
from bitext.components.seq2seq.layers.recurrence import Loop, Product, Tensors, cell_loop, unroll

Run = Callable[[int, Tensors], tuple[tf.Tensor, Tensors]]
"""Runs a loop: its number and inputs float32[B, N, I] each -> the first tensor of its states
float32[B, N, U], and its outputs float32[B, N, O] each."""


def make_decoder(settings: ModelSettings) -> Decoder:
    """The decoder the settings ask for."""
    kinds: dict[str, type[Decoder]] = {
        "luong": Decoder,
        "gnmt": Decoder,
        "input_feeding": InputFeedingDecoder,
        "conditional": ConditionalDecoder,
    }
    return kinds[settings.decoder](settings)


class Decoder(keras.layers.Layer):
    """Layers of cells, the attention after the last (`luong`) or the first (`gnmt`), and the attentional
    layer tanh(W [context; hidden]) that the output layer reads. No loop sees its own attention."""

    def __init__(self, settings: ModelSettings):
        super().__init__(name="decoder")
        self.settings = settings
        self.attention = make_attention(settings)
        self.cells: list[Cell] = []
        context = 0 if settings.decoder in ("luong", "input_feeding") else settings.encoder_units
        width = settings.embedding_units + self.fed_units
        for layer in range(settings.decoder_layers):
            self.cells.append(self._cell(width, f"layer{layer}"))
            width = settings.decoder_units + context
        read = settings.decoder_units + (settings.encoder_units if self.attention else 0)
        self.read_kernel = self._matrix("read_kernel", read, settings.embedding_units)
        self.bridges = {}
        if settings.bridge in ("dense", "mean"):
            for name in self.cell_state_names:
                units = settings.encoder_units, settings.decoder_units
                self.bridges[name] = self._matrix(f"bridge_{name}", *units)

    @property
    def fed_units(self) -> int:
        """Width of what the first layer is fed beside the embedded token."""
        return 0

    def _cell(self, width: int, name: str) -> Cell:
        settings = self.settings
        return CELLS[settings.cell](width, settings.decoder_units, name, settings.layer_norm)

    def _matrix(self, name: str, rows: int, columns: int) -> keras.Variable:
        return self.add_weight(name=name, shape=(rows, columns), initializer="glorot_uniform")

    @property
    def cell_state_names(self) -> list[str]:
        """A name for every tensor of the cells' states, in order: `layer0_hidden`, `layer0_cell`, ..."""
        return [f"{cell.name}_{name}" for cell in self.cells for name in cell.state_names]

    @property
    def state_widths(self) -> dict[str, int]:
        """The width of every tensor of the decoder's state, by name and in order."""
        return dict.fromkeys(self.cell_state_names, self.settings.decoder_units)

    @property
    def state_names(self) -> list[str]:
        """A name for every tensor of the decoder's state, in order."""
        return list(self.state_widths)

    def initial_state(self, encoded: Encoded) -> State:
        """The state before `<s>`: the encoder's last through the bridge; float32[B, U] each.

        Stacked layers begin where the encoder's ended, top with top (Sutskever et al. 2014); where the
        encoder has fewer, the lowest begin with its first. The hidden state passes a tanh, as one that a cell
        put out; an LSTM's cell state does not.
        """
        settings = self.settings
        real = tf.cast(encoded.mask, tf.float32)
        tokens = tf.maximum(tf.reduce_sum(real, 1, keepdims=True), 1.0)
        mean = tf.reduce_sum(encoded.outputs, 1) / tokens
        state = []
        lowest = len(encoded.final) - len(self.cells)
        for layer, cell in enumerate(self.cells):
            for kind, last in zip(cell.state_names, encoded.final[max(0, lowest + layer)], strict=True):
                if settings.bridge == "zero":
                    state.append(tf.zeros([tf.shape(real)[0], settings.decoder_units]))
                elif settings.bridge == "copy":
                    state.append(last)
                else:
                    kernel = self.bridges[f"{cell.name}_{kind}"]
                    bridged = tf.matmul(mean if settings.bridge == "mean" else last, kernel)
                    state.append(tf.tanh(bridged) if kind == "hidden" else bridged)
        return tuple(state)

    def remember(self, encoded: Encoded) -> Memory:
        """What the attention needs of the source, its keys projected once."""
        if self.attention is None:
            return Memory(encoded.outputs, encoded.outputs[:, :, :0], encoded.mask)
        return self.attention.remember(encoded)

    def laid_out(self, memory: Memory) -> Memory:
        """The memory as the attention looks at it, for many steps."""
        return memory if self.attention is None else self.attention.laid_out(memory)

    def step(self, embedded: tf.Tensor, state: State, memory: Memory) -> tuple[tf.Tensor, tf.Tensor, State]:
        """One token of each of K hypotheses of B sentences.

        Args:
          embedded: float32[B, K, D], the token before.
          state: float32[B * K, U] each.
          memory: of the B sentences.

        Returns:
          The attentional vectors float32[B, K, D], which the output layer scores, the alignments
          float32[B, K, S] (zeros without attention) and the next state.
        """
        loops, following = self._loops(memory, NO_DROPOUT), list[State]()
        before, width = self._shares(state), tf.shape(embedded)[:2]

        def flat(inputs: tf.Tensor) -> tf.Tensor:
            return tf.reshape(inputs, [-1, inputs.shape[-1]])

        def wide(outputs: tf.Tensor) -> tf.Tensor:
            return tf.reshape(outputs, tf.concat([width, tf.shape(outputs)[1:]], 0))

        def run(number: int, inputs: Tensors) -> tuple[tf.Tensor, Tensors]:
            new, outputs = loops[number].once(tuple(map(flat, inputs)), before[number])
            following.append(new)
            return tf.ensure_shape(wide(new[0]), [None, None, new[0].shape[-1]]), tuple(map(wide, outputs))

        vectors, alignment = self._through(embedded, memory, run, NO_DROPOUT)
        return vectors, alignment, tuple(tensor for new in following for tensor in new)

    def unroll(
        self, embedded: tf.Tensor, state: State, memory: Memory, dropout: Dropout
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A whole sequence: embedded float32[B, T, D], state float32[B, U] each -> what `step` gives for each
        token, side by side: float32[B, T, D] and float32[B, T, S]."""
        loops, before = self._loops(memory, dropout), self._shares(state)

        def turn(sequence: tf.Tensor) -> tf.Tensor:
            return tf.transpose(sequence, [1, 0, 2])

        def run(number: int, inputs: Tensors) -> tuple[tf.Tensor, Tensors]:
            sequences, training = tuple(map(turn, inputs)), dropout.training
            hidden, outputs, _ = unroll(loops[number], sequences, before[number], training=training)
            return turn(hidden), tuple(map(turn, outputs))

        return self._through(embedded, memory, run, dropout)

    def _shares(self, state: State) -> list[State]:
        """The loops' shares of the state."""
        many = len(self.cells[0].state_names)
        return [state[i : i + many] for i in range(0, len(state), many)]

    def _loops(self, memory: Memory, dropout: Dropout) -> list[Loop]:
        return [cell_loop(cell, self._kept(memory, dropout)) for cell in self.cells]

    def _kept(self, memory: Memory, dropout: Dropout) -> tf.Tensor | None:
        """A mask float32[B, U] of recurrent dropout."""
        shape = [tf.shape(memory.mask)[0], self.settings.decoder_units]
        return dropout.mask(shape, self.settings.recurrent_dropout)

    def _through(
        self, embedded: tf.Tensor, memory: Memory, run: Run, dropout: Dropout
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """All layers and the attention for N tokens, whether they follow each other or not: attentional
        vectors float32[B, N, D] and alignments float32[B, N, S] of embedded tokens float32[B, N, D]."""
        queried = 0 if self.settings.decoder == "gnmt" else len(self.cells) - 1
        alignment = tf.zeros(tf.concat([tf.shape(embedded)[:2], tf.shape(memory.mask)[1:]], 0))
        hidden, contexts = embedded, list[tf.Tensor]()
        for layer in range(len(self.cells)):
            hidden = self._layer(layer, hidden, contexts, run, dropout)
            if layer == queried and self.attention is not None:
                queries = self.attention.queries(hidden)
                context, alignment = self.attention.attend(queries, memory, self.attention.constants())
                contexts = [context]
        return self._read(contexts, hidden, dropout), alignment

    def _layer(
        self, layer: int, below: tf.Tensor, contexts: list[tf.Tensor], run: Run, dropout: Dropout
    ) -> tf.Tensor:
        """A layer's outputs float32[B, N, U], dropped out and with what is below added to them."""
        inputs = dropout(tf.concat([below, *contexts], -1), self.settings.layer_input_dropout)
        hidden, _ = run(layer, (inputs,))
        hidden = dropout(hidden, self.settings.layer_dropout)
        return hidden + below if layer else hidden

    def _read(self, contexts: list[tf.Tensor], hidden: tf.Tensor, dropout: Dropout) -> tf.Tensor:
        vectors = tf.tanh(times(tf.concat([*contexts, hidden], -1), self.read_kernel))
        return dropout(vectors, self.settings.output_dropout)


class ConditionalDecoder(Decoder):
    """The first layer is two cells with the attention between them (Sennrich et al. 2017, section 2): the
    first reads the token and queries, the second reads the context, and its state is the layer's."""

    attention: Attention

    def __init__(self, settings: ModelSettings):
        super().__init__(settings)
        self.second = self._cell(settings.encoder_units, "layer0_context")

    def _loops(self, memory: Memory, dropout: Dropout) -> list[Loop]:
        first, second, attention = self.cells[0], self.second, self.attention
        kept = [self._kept(memory, dropout) for _ in range(2)]
        weights = {
            "first": first.recurrent_kernel,
            "context": second.kernel,
            "second": second.recurrent_kernel,
            **_query_kernel(attention),
        }

        def step(
            inputs: Tensors, state: State, constants: Tensors, product: Product
        ) -> tuple[State, Tensors]:
            values, keys, of_first, shifts, of_second, of_attention = constants
            state = first.update(inputs[0], product("first", masked(state[0], kept[0])), state, of_first)
            query = product("query", state[0]) if "query" in weights else state[0]
            context, alignment = _attend(attention, query, Memory(values, keys, memory.mask), of_attention)
            projected = second.shift(product("context", context), shifts)
            state = second.update(projected, product("second", masked(state[0], kept[1])), state, of_second)
            return state, (context, alignment)

        laid_out = attention.laid_out(memory)
        constants = (
            laid_out.values,
            laid_out.keys,
            first.constants(),
            second.shifts(),
            second.constants(),
            attention.constants(),
        )
        bottom = Loop(first.project, step, _tensors(weights), constants, outputs=2)
        return [bottom, *(cell_loop(cell, self._kept(memory, dropout)) for cell in self.cells[1:])]

    def _through(
        self, embedded: tf.Tensor, memory: Memory, run: Run, dropout: Dropout
    ) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = dropout(embedded, self.settings.layer_input_dropout)
        hidden, (context, alignment) = run(0, (inputs,))
        context = tf.ensure_shape(context, [None, None, self.settings.encoder_units])
        hidden = dropout(hidden, self.settings.layer_dropout)
        for layer in range(1, len(self.cells)):
            hidden = self._layer(layer, hidden, [context], run, dropout)
        return self._read([context], hidden, dropout), alignment


class InputFeedingDecoder(Decoder):
    """The attentional vector is an input of the first layer at the next step (Luong et al. 2015, section
    3.3): one loop of everything, its state the vector and the cells' states."""

    attention: Attention

    @property
    def fed_units(self) -> int:
        """The attentional vector's."""
        return self.settings.embedding_units

    @property
    def state_widths(self) -> dict[str, int]:
        """The attentional vector is the first."""
        return {"attentional": self.settings.embedding_units, **super().state_widths}

    def initial_state(self, encoded: Encoded) -> State:
        """No attention yet: zeros."""
        nothing = tf.zeros([tf.shape(encoded.mask)[0], self.settings.embedding_units])
        return nothing, *super().initial_state(encoded)

    def _shares(self, state: State) -> list[State]:
        return [state]

    @property
    def _rates(self) -> dict[str, tuple[float, int]]:
        """The dropout inside the loop: its rate, and the width of what is dropped."""
        settings, rates = self.settings, {}
        for layer in range(len(self.cells)):
            width = settings.decoder_units if layer else settings.embedding_units
            rates[f"input{layer}"] = settings.layer_input_dropout, width
            rates[f"output{layer}"] = settings.layer_dropout, settings.decoder_units
        rates["vector"] = settings.output_dropout, settings.embedding_units
        return {name: (rate, width) for name, (rate, width) in rates.items() if rate}

    def _loops(self, memory: Memory, dropout: Dropout) -> list[Loop]:
        cells, attention, units = self.cells, self.attention, self.settings.embedding_units
        many, layers = len(cells[0].state_names), range(len(self.cells))
        dropped = list(self._rates) if dropout.training else []
        kept = [self._kept(memory, dropout) for _ in layers]
        weights = {
            # Of the first layer's kernel, what is fed: the tokens' part is outside the loop.
            "input0": tf.convert_to_tensor(cells[0].kernel)[units:],
            **{f"input{layer}": cells[layer].kernel for layer in layers[1:]},
            **{f"recurrent{layer}": cells[layer].recurrent_kernel for layer in layers},
            "read": self.read_kernel,
            **_query_kernel(attention),
        }

        def step(
            inputs: Tensors, state: State, constants: Tensors, product: Product
        ) -> tuple[State, Tensors]:
            projected, masks = inputs[0], dict(zip(dropped, inputs[1:], strict=True))
            values, keys, shifts, of_cells, of_attention = constants
            below, following = state[0], list[tf.Tensor]()
            for layer in layers:
                before = state[1 + layer * many : 1 + (layer + 1) * many]
                projected += product(f"input{layer}", masked(below, masks.get(f"input{layer}")))
                recurrent = product(f"recurrent{layer}", masked(before[0], kept[layer]))
                shifted = cells[layer].shift(projected, shifts[layer])
                new = cells[layer].update(shifted, recurrent, before, of_cells[layer])
                following.extend(new)
                hidden = masked(new[0], masks.get(f"output{layer}"))
                below, projected = hidden + below if layer else hidden, 0.0
            query = product("query", below) if "query" in weights else below
            context, alignment = _attend(attention, query, Memory(values, keys, memory.mask), of_attention)
            vector = tf.tanh(product("read", tf.concat([context, below], -1)))
            return (masked(vector, masks.get("vector")), *following), (alignment,)

        laid_out = attention.laid_out(memory)
        constants = (
            laid_out.values,
            laid_out.keys,
            tuple(cell.shifts() for cell in cells),
            tuple(cell.constants() for cell in cells),
            attention.constants(),
        )
        of_tokens = tf.convert_to_tensor(cells[0].kernel)[:units]
        return [
            Loop(
                lambda tokens: times(tokens, of_tokens),
                step,
                _tensors(weights),
                constants,
                outputs=1,
                fixed=len(dropped),
            )
        ]

    def _through(
        self, embedded: tf.Tensor, memory: Memory, run: Run, dropout: Dropout
    ) -> tuple[tf.Tensor, tf.Tensor]:
        settings = self.settings
        inputs = dropout(embedded, settings.layer_input_dropout)
        shape = tf.unstack(tf.shape(embedded)[:2])
        rates = self._rates.values() if dropout.training else []
        masks = [dropout.mask([*shape, width], rate) for rate, width in rates]
        vectors, (alignment,) = run(0, (inputs, *masks))
        return vectors, alignment


def _query_kernel(attention: Attention) -> dict[str, keras.Variable]:
    """What makes queries of hidden states, where they are not queries as they are."""
    return {} if attention.query_kernel is None else {"query": attention.query_kernel}


def _tensors(weights: dict[str, tf.Tensor | keras.Variable]) -> dict[str, tf.Tensor]:
    return {name: tf.convert_to_tensor(weight) for name, weight in weights.items()}


def _attend(
    attention: Attention, queries: tf.Tensor, memory: Memory, constants: Tensors
) -> tuple[tf.Tensor, tf.Tensor]:
    """Contexts float32[B * K, E] and alignments float32[B * K, S] of queries float32[B * K, Q]."""
    many = tf.shape(memory.mask)[0]
    # No sentences at all are no hypotheses either: the number of them cannot be told from the shapes.
    each = tf.shape(queries)[0] // tf.maximum(many, 1)
    shaped = tf.reshape(queries, [many, each, queries.shape[-1]])
    contexts, alignments = attention.attend(shaped, memory, constants)
    rows = tf.shape(queries)[0]
    return (
        tf.reshape(contexts, [rows, contexts.shape[-1]]),
        tf.reshape(alignments, [rows, tf.shape(memory.mask)[1]]),
    )
