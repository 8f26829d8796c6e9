"""Measures the time to load a SavedModel, and to translate one sentence.

    python -m benchmarks.latency SAVED_MODEL CORES < SENTENCES

Uses TensorFlow only, with one sentence in each call. Prints {"load": seconds, "1": [milliseconds, ...],
"5": [...]}: for each beam size, the time of each sentence, measured after all were translated once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

BEAMS = (1, 5)


def measure(saved_model: str, cores: int, sentences: list[str]) -> dict[str, Any]:
    """Measures the loading of the model, and the translation of each sentence."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    import tensorflow as tf  # after the affinity is set, because it starts a thread for each core

    start = time.perf_counter()
    model = tf.saved_model.load(saved_model)
    times: dict[str, Any] = {"load": time.perf_counter() - start}
    default = model.signatures["default_search"]()
    translate = model.signatures["translate_nbest"]
    for beam in BEAMS:
        search = default | {"beam_size": tf.constant(beam)}

        def translate_one(sentence: str, search: dict[str, Any] = search) -> None:
            translate(text=tf.constant([sentence]), **search)["text"].numpy()

        for sentence in sentences:
            translate_one(sentence)
        times[str(beam)] = [milliseconds(translate_one, sentence) for sentence in sentences]
    return times


def milliseconds(function: Callable[[str], None], argument: str) -> float:
    """Returns the duration of a call."""
    start = time.perf_counter()
    function(argument)
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), sys.stdin.read().splitlines())))
