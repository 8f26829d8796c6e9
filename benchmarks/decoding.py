"""Sentences translated a second, text in, text out, after loading; and an evaluation.

    python -m benchmarks.decoding MULTI30K

Of test_2016_flickr, 1,000 sentences, with the usual model of `benchmarks.multi30k`, which is trained first if
it was not. Beside it, what a Python program makes of the signature `decode_step`, one sentence after the
other and in batches.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.commands import bitext, outputs_of
from benchmarks.multi30k import CONFIG, USUAL, options, sentences
from benchmarks.report import Result, hand_over, progress, result
from components.parallel import share_cores

if TYPE_CHECKING:
    from components.translate import LineTranslator

ROUNDS = 5
BATCH = 64
ALONE = 100
"""Of the sentences, how many are enough to time the loop that takes one after the other."""


def measure(folder: str) -> list[Result]:
    """All figures."""
    progress("the model, if there is none yet")
    bitext("run", CONFIG, *options(folder, USUAL), "--to", "Trainer")
    model = outputs_of(CONFIG, "Trainer", *options(folder, USUAL))["model"]
    share_cores()
    lines = [line.encode() for line in sentences(folder, "test_2016_flickr", "en")]
    alone = lines[:: len(lines) // ALONE][:ALONE]
    from components.translate import LineTranslator, Search

    translators = {beam: LineTranslator(model, Search(beam_size=beam)) for beam in (1, 5)}
    signatures = translators[1].signature
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "beam 5": (lambda: translators[5].translate(lines), len(lines)),
        "greedy": (lambda: translators[1].translate(lines), len(lines)),
        "one by one": (lambda: [greedy(signatures, [line]) for line in alone], len(alone)),
        "in batches": (lambda: in_batches(translators[1], lines), len(lines)),
    }
    for way, _ in ways.values():
        way()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name, (way, many) in ways.items():
            begun = time.perf_counter()
            way()
            rates[name].append(many / (time.perf_counter() - begun))
        last = ", ".join(f"{name} {rate[-1]:.0f}" for name, rate in rates.items())
        progress(f"round {number + 1}: sentences a second: {last}")
    ratios = [ours / loop for ours, loop in zip(rates["greedy"], rates["one by one"], strict=True)]
    loop = "a Python loop over decode_step"
    return [
        result("beam 5", rates["beam 5"], "sentences/s", at_least=150),
        result("greedy", rates["greedy"], "sentences/s", at_least=600),
        result(f"{loop}, greedy, one by one", rates["one by one"], "sentences/s"),
        result(f"{loop}, greedy, {BATCH} at a time", rates["in batches"], "sentences/s"),
        result("greedy, of the loop one by one", ratios, "times", at_least=4),
        result("evaluation of 1,000 sentences, beam 5", evaluations(folder, model), "s", at_most=20),
    ]


def in_batches(translator: LineTranslator, lines: list[bytes]) -> None:
    """The loop over `decode_step` with BATCH sentences of similar length at a time."""
    from components.translate import length_sorted_batches

    for batch in length_sorted_batches([len(line) for line in lines], BATCH):
        greedy(translator.signature, [lines[i] for i in batch])


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
    from components import artifacts
    from components.component import Context
    from components.evaluator import Parameters, executor
    from pipeline import config

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
    hand_over(measure(sys.argv[1]))
