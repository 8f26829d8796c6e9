"""Greedy search in Python over the signatures `encode` and `decode_step`, and a picture of the attention.

Usage: python examples/step_by_step.py serving/tatoeba/1 "Where is the station?" alignment.png
It prints the translation. The picture has a row for each token of the translation and a column for each token
of the source; a darker square is a larger attention weight. Needs `pip install matplotlib`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

MAX_LENGTH = 100


def greedy(signatures: Any, text: str) -> tuple[list[int], np.ndarray]:
    """Returns the tokens of the greedy search and their attention, float[tokens, source tokens]."""
    info = {name: int(value) for name, value in signatures["info"]().items()}
    encoded = signatures["encode"](text=tf.constant([text]))
    memory = {name: value for name, value in encoded.items() if name.startswith("memory")}
    # The other outputs are the decoder's states. Each step returns the next states under the same names.
    state = {name: value for name, value in encoded.items() if name not in memory}
    tokens, alignments = [info["bos"]], []
    while tokens[-1] != info["eos"] and len(tokens) <= MAX_LENGTH:
        out = signatures["decode_step"](token=tf.constant(tokens[-1:]), **memory, **state)
        state = {name: out[name] for name in state}
        log_probs = out["log_probs"].numpy()[0]
        log_probs[[info["pad"], info["bos"]]] = -np.inf
        tokens.append(int(log_probs.argmax()))
        alignments.append(out["alignment"].numpy()[0])
    return tokens[1:], np.stack(alignments)


def labels(signatures: Any, tokens: list[int]) -> list[str]:
    """Returns the text of each token."""
    eos = int(signatures["info"]()["eos"])
    texts = signatures["detokenize"](tokens=tf.constant([[token] for token in tokens]))["text"].numpy()
    return ["</s>" if token == eos else text.decode() for token, text in zip(tokens, texts)]


def text_of(signatures: Any, tokens: list[int]) -> str:
    """Returns the text of a sentence's tokens."""
    return signatures["detokenize"](tokens=tf.constant([tokens]))["text"].numpy()[0].decode()


def draw(alignment: np.ndarray, rows: list[str], columns: list[str], path: str) -> None:
    """Draws the alignment, float[rows, columns], to a PNG file."""
    figure = Figure(figsize=(2 + 0.4 * len(columns), 2 + 0.4 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(alignment, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.xaxis.tick_top()
    figure.savefig(path, dpi=100)


def main(folder: str, text: str, picture: str) -> None:
    model = tf.saved_model.load(folder)
    tokens, alignment = greedy(model.signatures, text)
    print(text_of(model.signatures, tokens))
    source = model.signatures["tokenize"](text=tf.constant([text]))["tokens"].numpy()[0].tolist()
    # `detokenize` knows the target vocabulary. Without a shared vocabulary, columns show token numbers.
    shared = text_of(model.signatures, source) == text
    columns = labels(model.signatures, source) if shared else [str(token) for token in source]
    draw(alignment, labels(model.signatures, tokens), columns, picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
