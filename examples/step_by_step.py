"""A search of your own over `encode` and `decode_step`, here greedy, and a picture of what it attended to.

Usage: python examples/step_by_step.py serving/tatoeba/1 "Where is the station?" alignment.png
It prints the translation. The picture has a row for each of its tokens and a column for each token of the
source: the darker the square, the more the model looked there. Needs `pip install matplotlib`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

LONGEST = 100


def greedy(signatures: Any, text: str) -> tuple[list[int], np.ndarray]:
    """The likeliest token after each, until the end; and where each looked, float[tokens, source tokens]."""
    info = {name: int(value) for name, value in signatures["info"]().items()}
    encoded = signatures["encode"](text=tf.constant([text]))
    memory = {name: value for name, value in encoded.items() if name.startswith("memory")}
    # What else there is are the decoder's states. Each step gives the next ones under the same names.
    state = {name: value for name, value in encoded.items() if name not in memory}
    tokens, looked = [info["bos"]], []
    while tokens[-1] != info["eos"] and len(tokens) <= LONGEST:
        out = signatures["decode_step"](token=tf.constant(tokens[-1:]), **memory, **state)
        state = {name: out[name] for name in state}
        log_probs = out["log_probs"].numpy()[0]
        log_probs[[info["pad"], info["bos"]]] = -np.inf
        tokens.append(int(log_probs.argmax()))
        looked.append(out["alignment"].numpy()[0])
    return tokens[1:], np.stack(looked)


def labels(signatures: Any, tokens: list[int]) -> list[str]:
    """What each token reads by itself."""
    eos = int(signatures["info"]()["eos"])
    texts = signatures["detokenize"](tokens=tf.constant([[token] for token in tokens]))["text"].numpy()
    return ["</s>" if token == eos else text.decode() for token, text in zip(tokens, texts)]


def text_of(signatures: Any, tokens: list[int]) -> str:
    """What the tokens of a sentence read."""
    return signatures["detokenize"](tokens=tf.constant([tokens]))["text"].numpy()[0].decode()


def draw(looked: np.ndarray, rows: list[str], columns: list[str], path: str) -> None:
    """The alignment float[rows, columns] as a PNG."""
    figure = Figure(figsize=(2 + 0.4 * len(columns), 2 + 0.4 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(looked, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.xaxis.tick_top()
    figure.savefig(path, dpi=100)


def main(folder: str, text: str, picture: str) -> None:
    model = tf.saved_model.load(folder)
    tokens, looked = greedy(model.signatures, text)
    print(text_of(model.signatures, tokens))
    source = model.signatures["tokenize"](text=tf.constant([text]))["tokens"].numpy()[0].tolist()
    # Source tokens read as themselves where both languages have one vocabulary; else their numbers must do.
    shared = text_of(model.signatures, source) == text
    columns = labels(model.signatures, source) if shared else [str(token) for token in source]
    draw(looked, labels(model.signatures, tokens), columns, picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
