"""Measures the speed of translation after loading, from text to text, and the duration of an evaluation.

    python -m benchmarks.decoding MULTI30K           # all figures
    python -m benchmarks.decoding MULTI30K MODEL     # only the Python loops

Translates the 1,000 sentences of test_2016_flickr with the model `PEER_MODEL` of `benchmarks.multi30k`, which
is trained first if necessary. For comparison, Python loops over the signature `decode_step` translate them,
one sentence at a time and in batches. Each round runs the loops in a new process, with TensorFlow's default
threads.
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
from benchmarks.constraints import constraint_costs
from benchmarks.multi30k import CONFIG, PEER_MODEL, options, sentences
from benchmarks.report import Result, print_results, progress, result
from bitext.components.shared.parallel import share_cores

ROUNDS = 5
BATCH = 64
ONE_BY_ONE = 100
"""Number of sentences that the loop over single sentences translates."""
LOOPS = ("one by one", f"{BATCH} at a time")


def measure(folder: str) -> list[Result]:
    """Measures all figures of this benchmark."""
    progress("the model, if there is none yet")
    bitext("run", CONFIG, *options(folder, PEER_MODEL), "--to", "Trainer")
    model = outputs_of(CONFIG, "Trainer", *options(folder, PEER_MODEL))["model"]
    unchanged_environment = dict(os.environ)  # before share_cores
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
        loop_rates = json.loads(child("decoding", folder, str(model), environment=unchanged_environment))
        for name, loop_rate in zip(LOOPS, loop_rates, strict=True):
            rates[name].append(loop_rate)
        round_rates = ", ".join(f"{name} {values[-1]:.0f}" for name, values in rates.items())
        progress(f"round {number + 1}, sentences per second: {round_rates}")
    single, batched = (
        [greedy_rate / loop_rate for greedy_rate, loop_rate in zip(rates["greedy"], rates[name], strict=True)]
        for name in LOOPS
    )
    return [
        result("beam 5", rates["beam 5"], "sentences/s", at_least=150),
        result("greedy", rates["greedy"], "sentences/s", at_least=600),
        *(result(f"a Python loop over decode_step, greedy, {n}", rates[n], "sentences/s") for n in LOOPS),
        result(f"greedy, of the loop {LOOPS[0]}", single, "times", at_least=4),
        result(f"greedy, of the loop {LOOPS[1]}", batched, "times"),
        *constraint_costs(model, lines),
        result("evaluation of 1,000 sentences, beam 5", evaluations(folder, model), "s", at_most=20),
    ]


def rate(function: Callable[[], object], items: int) -> float:
    """Calls a function that processes so many items, and returns items per second."""
    start = time.perf_counter()
    function()
    return items / (time.perf_counter() - start)


def loops(folder: str, model: Path) -> list[float]:
    """Measures sentences per second of each of LOOPS, with TensorFlow's default threads."""
    import tensorflow as tf

    from bitext.components.translation.lines import length_sorted_batches
    from bitext.components.translation.translator import find_saved_model

    lines = [line.encode() for line in sentences(folder, "test_2016_flickr", "en")]
    batches = [
        [lines[i] for i in batch] for batch in length_sorted_batches([len(line) for line in lines], BATCH)
    ]
    single = [[line] for line in lines[:: len(lines) // ONE_BY_ONE][:ONE_BY_ONE]]
    loaded = tf.saved_model.load(str(find_saved_model(model)))
    signature = loaded.signatures.__getitem__

    def translate(batches: list[list[bytes]]) -> None:
        for batch in batches:
            greedy(signature, batch)

    rates = []
    for inputs in (single, batches):
        translate(inputs)  # traces every shape
        rates.append(rate(functools.partial(translate, inputs), sum(map(len, inputs))))
    return rates


def greedy(signature: Callable[[str], Callable[..., dict[str, Any]]], lines: list[bytes]) -> list[bytes]:
    """Translates by greedy search in Python: `encode`, then `decode_step` until all have ended."""
    import numpy as np
    import tensorflow as tf

    info = {name: int(value) for name, value in signature("info")().items()}
    max_length = int(signature("default_search")()["max_length"])
    encoded = signature("encode")(text=tf.constant(lines))
    memory = {name: value for name, value in encoded.items() if name.startswith("memory")}
    state = {name: value for name, value in encoded.items() if name not in memory}
    step = signature("decode_step")
    tokens = [np.full(len(lines), info["bos"], np.int32)]
    ended = np.zeros(len(lines), bool)
    while not ended.all() and len(tokens) <= max_length:
        out = step(token=tf.constant(tokens[-1]), **memory, **state)
        state = {name: out[name] for name in state}
        log_probs = out["log_probs"].numpy()
        log_probs[:, [info["pad"], info["bos"]]] = -np.inf
        tokens.append(np.where(ended, info["pad"], log_probs.argmax(1)).astype(np.int32))
        ended |= tokens[-1] == info["eos"]
    output = signature("detokenize")(tokens=tf.constant(np.stack(tokens[1:], 1)))
    texts: list[bytes] = output["text"].numpy().tolist()
    return texts


def evaluations(folder: str, model: Path) -> list[float]:
    """Returns the seconds of three evaluations of the test split, without imports."""
    from bitext.components import artifacts
    from bitext.components.component import Context
    from bitext.components.evaluator import Parameters, executor
    from bitext.pipeline import config

    examples = outputs_of(CONFIG, "ExampleGen", *options(folder, PEER_MODEL))["examples"]
    parameters = config.load(Path(CONFIG)).evaluator
    assert isinstance(parameters, Parameters)
    durations = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder_name:
            evaluation = artifacts.ModelEvaluation(Path(folder_name) / "evaluation")
            blessing = artifacts.ModelBlessing(Path(folder_name) / "blessing")
            evaluation.path.mkdir()
            blessing.path.mkdir()
            context = Context(Path(folder_name), Path(folder_name), beam_pipeline=lambda: None, say=progress)
            start = time.perf_counter()
            executor.run(
                parameters,
                context,
                examples=[artifacts.Examples(examples)],
                model=artifacts.Model(model),
                evaluation=evaluation,
                blessing=blessing,
            )
            durations.append(time.perf_counter() - start)
    return durations


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(loops(sys.argv[1], Path(sys.argv[2]))))
    else:
        print_results(measure(sys.argv[1]))
