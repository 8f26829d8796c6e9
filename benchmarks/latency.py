"""How long a client waits for the model: to load it, and for one sentence of what it is given.

    python -m benchmarks.latency SAVED_MODEL CORES < SENTENCES

Stock TensorFlow, one sentence a call. Prints {"load": seconds, "1": [milliseconds, ...], "5": [...]}: the
beam, and what each sentence took after all had been translated once.
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
    """Loads and translates."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    import tensorflow as tf  # which makes as many threads as there are cores for it

    begun = time.perf_counter()
    model = tf.saved_model.load(saved_model)
    found: dict[str, Any] = {"load": time.perf_counter() - begun}
    default = model.signatures["default_search"]()
    translate = model.signatures["translate_nbest"]
    for beam in BEAMS:
        search = default | {"beam_size": tf.constant(beam)}

        def once(sentence: str, search: dict[str, Any] = search) -> None:
            translate(text=tf.constant([sentence]), **search)["text"].numpy()

        for sentence in sentences:
            once(sentence)
        found[str(beam)] = [milliseconds(once, sentence) for sentence in sentences]
    return found


def milliseconds(function: Callable[[str], None], argument: str) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    function(argument)
    return 1000 * (time.perf_counter() - begun)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), sys.stdin.read().splitlines())))
