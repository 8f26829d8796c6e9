"""Sentences translated a second, text in, text out, after loading; and an evaluation.

    python -m benchmarks.decoding MULTI30K           # all figures
    python -m benchmarks.decoding MULTI30K MODEL     # the loops, once

Of test_2016_flickr, 1,000 sentences, with the usual model of `benchmarks.multi30k`, which is trained first if
it was not. Beside it, what a Python program makes of the signature `decode_step`, one sentence after the
other and in batches: in a process of its own in every round, with the threads that TensorFlow gives it.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.commands import bitext, child, outputs_of
from benchmarks.multi30k import CONFIG, USUAL, options, sentences
from benchmarks.report import Result, hand_over, progress, result
from bitext.components.shared.parallel import share_cores

ROUNDS = 5
BATCH = 64
ALONE = 100
"""Of the sentences, how many are enough to time the loop that takes one after the other."""
LOOPS = ("one by one", f"{BATCH} at a time")


def measure(folder: str) -> list[Result]:
    """All figures."""
    progress("the model, if there is none yet")
    bitext("run", CONFIG, *options(folder, USUAL), "--to", "Trainer")
    model = outputs_of(CONFIG, "Trainer", *options(folder, USUAL))["model"]
    stock = dict(os.environ)
    share_cores()
    lines = [line.encode() for line in sentences(folder, "test_2016_flickr", "en")]
    from bitext.components.translation.search import Search
    from bitext.components.translation.translator import LineTranslator

    translators = {beam: LineTranslator(model, Search(beam_size=beam)) for beam in (1, 5)}
    for translator in translators.values():
        translator.translate(lines)
    rates: dict[str, list[float]] = {name: [] for name in ("beam 5", "greedy", *LOOPS)}
    for number in range(ROUNDS):
        rates["beam 5"].append(rate(lambda: translators[5].translate(lines), len(lines)))
        rates["greedy"].append(rate(lambda: translators[1].translate(lines), len(lines)))
        found = json.loads(child("decoding", folder, str(model), environment=stock))
        for name, loop in zip(LOOPS, found, strict=True):
            rates[name].append(loop)
        last = ", ".join(f"{name} {several[-1]:.0f}" for name, several in rates.items())
        progress(f"round {number + 1}: sentences a second: {last}")
    alone, batches = (
        [ours / loop for ours, loop in zip(rates["greedy"], rates[name], strict=True)] for name in LOOPS
    )
    return [
        result("beam 5", rates["beam 5"], "sentences/s", at_least=150),
        result("greedy", rates["greedy"], "sentences/s", at_least=600),
        *(result(f"a Python loop over decode_step, greedy, {n}", rates[n], "sentences/s") for n in LOOPS),
        result(f"greedy, of the loop {LOOPS[0]}", alone, "times", at_least=4),
        result(f"greedy, of the loop {LOOPS[1]}", batches, "times"),
        result("evaluation of 1,000 sentences, beam 5", evaluations(folder, model), "s", at_most=20),
    ]


def rate(work: Callable[[], object], many: int) -> float:
    """How many a second."""
    begun = time.perf_counter()
    work()
    return many / (time.perf_counter() - begun)


def loops(folder: str, model: Path) -> list[float]:
    """Sentences a second of each of LOOPS, in a process that has not touched TensorFlow's threads."""
    import tensorflow as tf

    from bitext.components.translation.lines import length_sorted_batches
    from bitext.components.translation.translator import find_saved_model

    lines = [line.encode() for line in sentences(folder, "test_2016_flickr", "en")]
    batches = [
        [lines[i] for i in batch] for batch in length_sorted_batches([len(line) for line in lines], BATCH)
    ]
    alone = [[line] for line in lines[:: len(lines) // ALONE][:ALONE]]
    loaded = tf.saved_model.load(str(find_saved_model(model)))
    signature = loaded.signatures.__getitem__

    def translate(parts: list[list[bytes]]) -> None:
        for part in parts:
            greedy(signature, part)

    found = []
    for parts in (alone, batches):
        translate(parts)  # every shape seen once
        found.append(rate(functools.partial(translate, parts), sum(map(len, parts))))
    return found


def greedy(signature: Callable[[str], Callable[..., dict[str, Any]]], lines: list[bytes]) -> list[bytes]:
    """What a program of its own does with an export: `encode`, then step by step until all have ended."""
    import numpy as np
    import tensorflow as tf

    info = {name: int(value) for name, value in signature("info")().items()}
    longest = int(signature("default_search")()["max_length"])
    encoded = signature("encode")(text=tf.constant(lines))
    memory = {name: value for name, value in encoded.items() if name.startswith("memory")}
    state = {name: value for name, value in encoded.items() if name not in memory}
    step = signature("decode_step")
    tokens = [np.full(len(lines), info["bos"], np.int32)]
    ended = np.zeros(len(lines), bool)
    while not ended.all() and len(tokens) <= longest:
        out = step(token=tf.constant(tokens[-1]), **memory, **state)
        state = {name: out[name] for name in state}
        log_probs = out["log_probs"].numpy()
        log_probs[:, [info["pad"], info["bos"]]] = -np.inf
        tokens.append(np.where(ended, info["pad"], log_probs.argmax(1)).astype(np.int32))
        ended |= tokens[-1] == info["eos"]
    found = signature("detokenize")(tokens=tf.constant(np.stack(tokens[1:], 1)))
    texts: list[bytes] = found["text"].numpy().tolist()
    return texts


def evaluations(folder: str, model: Path) -> list[float]:
    """Seconds of the Evaluator's work on the test split, loading and scores included, after imports."""
    from bitext.components import artifacts
    from bitext.components.component import Context
    from bitext.components.evaluator import Parameters, executor
    from bitext.pipeline import config

    examples = outputs_of(CONFIG, "ExampleGen", *options(folder, USUAL))["examples"]
    given = config.load(Path(CONFIG)).evaluator
    assert isinstance(given, Parameters)
    taken = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as place:
            evaluation = artifacts.ModelEvaluation(Path(place) / "evaluation")
            blessing = artifacts.ModelBlessing(Path(place) / "blessing")
            evaluation.path.mkdir()
            blessing.path.mkdir()
            context = Context(Path(place), Path(place), beam_pipeline=lambda: None, say=progress)
            begun = time.perf_counter()
            executor.run(
                given,
                context,
                examples=[artifacts.Examples(examples)],
                model=artifacts.Model(model),
                evaluation=evaluation,
                blessing=blessing,
            )
            taken.append(time.perf_counter() - begun)
    return taken


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(loops(sys.argv[1], Path(sys.argv[2]))))
    else:
        hand_over(measure(sys.argv[1]))
