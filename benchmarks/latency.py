"""How long a client waits: to load the model, and for the translation of one sentence.

    python -m benchmarks.latency SAVED_MODEL CORES < SENTENCES

Uses stock TensorFlow with one sentence in each call. Prints {"load": seconds, "1": [milliseconds, ...],
"5": [...]}: by beam size, the time of each sentence after all have been translated once.
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
    """Loads the model and translates the sentences."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    import tensorflow as tf  # after the affinity is set: it starts a thread for each core

    start = time.perf_counter()
    model = tf.saved_model.load(saved_model)
    times: dict[str, Any] = {"load": time.perf_counter() - start}
    default = model.signatures["default_search"]()
    translate = model.signatures["translate_nbest"]
    for beam in BEAMS:
        search = default | {"beam_size": tf.constant(beam)}

        def once(sentence: str, search: dict[str, Any] = search) -> None:
            translate(text=tf.constant([sentence]), **search)["text"].numpy()

        for sentence in sentences:
            once(sentence)
        times[str(beam)] = [milliseconds(once, sentence) for sentence in sentences]
    return times


def milliseconds(function: Callable[[str], None], argument: str) -> float:
    """Returns how long a call takes."""
    start = time.perf_counter()
    function(argument)
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), sys.stdin.read().splitlines())))
