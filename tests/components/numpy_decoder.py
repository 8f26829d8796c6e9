"""The decoders in NumPy, by the equations of the papers: one sentence, one token at a time.

They read only the weights, the encoder's outputs and the initial state from the model. The encoder and the
bridge have tests of their own.
"""

from __future__ import annotations

import numpy as np

from bitext.components.seq2seq.model import Seq2Seq
from tests.components.numpy_cells import REFERENCES
from tests.components.tiny_model import padded


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


class NumpyDecoder:
    """Decodes one source sentence; attention `general` or `additive` with one head, no layer norm."""

    def __init__(self, model: Seq2Seq, source: list[int]):
        start = model.start(padded([source]))
        self.model, self.decoder, self.attention = model, model.decoder, model.decoder.attention
        self.update = REFERENCES[model.settings.cell]
        self.values = start.memory.values.numpy()[0]
        states = dict(zip(self.decoder.state_names, (s.numpy()[0] for s in start.state), strict=True))
        self.states = [[states[f"{c.name}_{n}"] for n in c.state_names] for c in self.decoder.cells]
        self.vector = np.zeros(model.settings.embedding_units)

    def decode(self, tokens: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the logits [T, V] of every next token, and its alignments [T, S]."""
        embeddings = self.model.target_embedding.numpy()
        outputs = embeddings if self.model.settings.tie_embeddings else self.model.output_embedding.numpy()
        logits, alignments = [], []
        for token in tokens:
            embedded = embeddings[token] * np.sqrt(embeddings.shape[1])
            context, alignment, top = getattr(self, self.model.settings.decoder)(embedded)
            read = np.concatenate([context, top])
            self.vector = np.tanh(read @ self.decoder.read_kernel.numpy())
            if self.model.settings.output_shortcut:
                self.vector += read @ self.decoder.shortcut_kernel.numpy()
            logits.append(outputs @ self.vector + self.model.output_bias.numpy())
            alignments.append(alignment)
        return np.stack(logits), np.stack(alignments)

    def luong(self, embedded: np.ndarray) -> tuple[np.ndarray, ...]:
        top = self.upper(self.run(0, embedded))
        return *self.attend(top), top

    def gnmt(self, embedded: np.ndarray) -> tuple[np.ndarray, ...]:
        hidden = self.run(0, embedded)
        context, alignment = self.attend(hidden)
        return context, alignment, self.upper(hidden, context)

    def input_feeding(self, embedded: np.ndarray) -> tuple[np.ndarray, ...]:
        return self.luong(np.concatenate([embedded, self.vector]))

    def conditional(self, embedded: np.ndarray) -> tuple[np.ndarray, ...]:
        context, alignment = self.attend(self.run(0, embedded))
        return context, alignment, self.upper(self.run(0, context, self.decoder.context_cell), context)

    def upper(self, hidden: np.ndarray, *context: np.ndarray) -> np.ndarray:
        """Runs the layers from the second on, each with a residual connection."""
        for layer in range(1, len(self.states)):
            hidden = self.run(layer, np.concatenate([hidden, *context])) + hidden
        return hidden

    def run(self, layer: int, inputs: np.ndarray, second_cell: object = None) -> np.ndarray:
        """Returns the next hidden state of a layer, by its cell or by the second cell of the layer."""
        cell, state = second_cell or self.decoder.cells[layer], self.states[layer]
        x = inputs @ cell.kernel.numpy() + cell.bias.numpy()
        self.states[layer] = self.update(x, state[0] @ cell.recurrent_kernel.numpy(), state)
        return self.states[layer][0]

    def attend(self, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys = self.values[:, : self.model.settings.encoder_units] @ self.attention.key_kernel.numpy()
        if self.model.settings.attention == "general":
            alignment = softmax(keys @ hidden)
        else:
            query = hidden @ self.attention.query_kernel.numpy()
            alignment = softmax(np.tanh(query + keys) @ self.attention.vector.numpy())
        return alignment @ self.values, alignment
