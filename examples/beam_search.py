"""Beam search in Python over `encode` and `decode_step`. It finds what the signature `translate_nbest` finds.

Usage: python examples/beam_search.py serving/tatoeba/1 "Where is the station?"
It prints the score and the text of each translation, best first. A search of your own can begin here.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import tensorflow as tf


def beam_search(
    signatures: Any, text: str, beam_size: int, alpha: float, max_length: int
) -> list[tuple[float, list[int]]]:
    """Returns the scores and the tokens of the best translations, best first."""
    info = {name: value.numpy() for name, value in signatures["info"]().items()}
    encoded = signatures["encode"](text=tf.constant([text]))
    memory = {name: value for name, value in encoded.items() if name.startswith("memory")}
    state = {name: value for name, value in encoded.items() if name not in memory}
    source_length, least = int(encoded["memory_length"][0]), int(info["min_length"])
    if info["max_length_factor"]:
        max_length = min(max_length, max(least, info["max_length_factor"] * source_length + 10))

    def penalty(length: int) -> Any:
        return np.float32((5 + length) / 6) ** np.float32(alpha)

    tokens, totals = [[int(info["bos"])]], np.zeros(1, np.float32)
    coverage, finished = np.zeros([1, source_length], np.float32), []
    for length in range(1, max_length + 1):
        out = signatures["decode_step"](token=tf.constant([t[-1] for t in tokens]), **memory, **state)
        log_probs = out["log_probs"].numpy()
        log_probs[:, [info["pad"], info["bos"]] + [info["eos"]] * (length < least)] = -np.inf
        extended = (totals[:, np.newaxis] + log_probs).ravel()
        best = np.argsort(-extended, kind="stable")[: 2 * beam_size]
        parents, chosen = np.divmod(best, log_probs.shape[1])
        coverage, totals = (coverage + out["alignment"].numpy())[parents], extended[best]
        tokens = [[*tokens[parent], int(token)] for parent, token in zip(parents, chosen)]
        ends = (chosen == info["eos"]) | (length == max_length)
        for i in np.flatnonzero(ends[:beam_size] & np.isfinite(totals[:beam_size])):
            attended = np.log(np.clip(coverage[i], 1e-4, 1.0)).sum()
            score = totals[i] / penalty(length) + info["coverage_penalty"] * attended
            finished.append((float(score), tokens[i][1:]))
        finished = sorted(finished, key=lambda pair: -pair[0])[:beam_size]
        goes_on = ~ends & np.isfinite(totals) & ~(beam_size == 1 and ends[0])
        if len(finished) == beam_size:  # the others must be able to beat the worst of these
            goes_on &= totals / penalty(max_length) > finished[-1][0]
        kept = np.flatnonzero(goes_on)[:beam_size]
        if not len(kept):
            break
        tokens, totals, coverage = [tokens[i] for i in kept], totals[kept], coverage[kept]
        state = {name: tf.gather(out[name], parents[kept]) for name in state}
    return finished


def main(folder: str, text: str) -> None:
    signatures = tf.saved_model.load(folder).signatures
    search = {name: value.numpy() for name, value in signatures["default_search"]().items()}
    found = beam_search(signatures, text, search["beam_size"], search["length_penalty"], search["max_length"])
    for score, tokens in found:
        translation = signatures["detokenize"](tokens=tf.constant([tokens]))["text"].numpy()[0]
        print(f"{score:6.2f}  {translation.decode()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
