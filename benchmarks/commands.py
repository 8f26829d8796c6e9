"""The `bitext` command as a whole process: how long a person waits, and what memory a training takes.

    python -m benchmarks.commands

Needs what `make run` leaves: the corpus, a cached run, a pushed model. But for the training, every command is
run once unmeasured, then RUNS times.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.process import BITEXT
from benchmarks.report import Result, hand_over, progress, result
from bitext.components.translation.translator import find_saved_model

CONFIG = "pipeline/configs/tatoeba.yaml"
CORPUS = Path("data/spa.tsv")
SERVING = "serving/tatoeba"
RUNS = 5
SENTENCES = 20
TRAINING = ("--to", "Trainer", "--set", "trainer.steps=600", "--set", "trainer.validation.every=300")


def bitext(*arguments: str, text: bytes = b"") -> tuple[float, float]:
    """Runs `bitext` with the arguments: wall seconds and peak memory in MB.

    Raises:
      SystemExit: it failed.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as given:
        given.write(text)
        given.seek(0)
        process = subprocess.Popen(
            [*BITEXT, *arguments],
            stdin=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bitext {' '.join(arguments)} failed:\n{complaint.decode()}")
    return time.perf_counter() - begun, usage.ru_maxrss / 1000


def child(
    module: str, *arguments: str, text: bytes = b"", environment: Mapping[str, str] | None = None
) -> bytes:
    """Standard output of another of these programs, in a process of its own; without an environment, in ours.

    Raises:
      subprocess.CalledProcessError: it failed.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True, env=environment).stdout


def outputs_of(config: str, node: str, *options: str) -> dict[str, Path]:
    """The folders of what a node made in the last run of a configuration.

    Raises:
      subprocess.CalledProcessError: there was none.
    """
    command = [*BITEXT, "status", config, "--json", *options]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return {name: Path(folder) for name, folder in report["runs"][0]["nodes"][node]["outputs"].items()}


def sources(most: int) -> list[bytes]:
    """English sentences, evenly from the whole corpus."""
    rows = CORPUS.read_bytes().splitlines()
    return [row.split(b"\t")[0] for row in rows[:: len(rows) // most][:most]]


def measure() -> list[Result]:
    """All figures."""
    lines = b"\n".join(sources(1000)) + b"\n"
    translate = ("translate", "--model", SERVING)
    return [
        timed("bitext --help", 0.5, "--help"),
        timed("cached run", 2.0, "run", CONFIG),
        timed("translate one line", 6.0, *translate, text=b"Where is the station?\n"),
        timed("translate 1,000 lines, beam 5", None, *translate, text=lines),
        *latency(),
        memory_of_training(),
    ]


def timed(name: str, at_most: float | None, *arguments: str, text: bytes = b"") -> Result:
    """The wall time of a command."""
    progress(name)
    bitext(*arguments, text=text)
    return result(name, [bitext(*arguments, text=text)[0] for _ in range(RUNS)], "s", at_most=at_most)


def latency() -> list[Result]:
    """What a client waits for."""
    progress("loading, and sentence by sentence")
    model = str(find_saved_model(Path(SERVING)))
    every = str(len(os.sched_getaffinity(0)))
    loads = [json.loads(child("latency", model, every))["load"] for _ in range(RUNS)]
    twelve = [sentence for sentence in sources(20_000) if len(sentence.split()) == 12]
    given = b"\n".join(twelve[:: len(twelve) // SENTENCES][:SENTENCES])
    alone = [json.loads(child("latency", model, "1", text=given)) for _ in range(RUNS)]
    results = [
        result("loading the SavedModel, after TensorFlow", loads, "s", at_most=3.0),
        result("the same on one core", [found["load"] for found in alone], "s", at_most=5.0),
    ]
    for beam, target in (("1", 50.0), ("5", 150.0)):
        # Of each sentence the median of the runs; then the median and the ends of the sentences.
        each = [statistics.median(times) for times in zip(*(found[beam] for found in alone), strict=True)]
        results.append(result(f"a sentence of 12 words, beam {beam}, one core", each, "ms", at_most=target))
    return results


def memory_of_training() -> Result:
    """The peak of a run up to the end of a short training with its validations and its export."""
    progress("memory of a training")
    with tempfile.TemporaryDirectory() as root:
        peak = bitext("run", CONFIG, "--root", root, *TRAINING)[1]
    return result("peak memory of a run with 600 updates", [peak], "MB", at_most=2500)


if __name__ == "__main__":
    hand_over(measure())
