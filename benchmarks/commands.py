"""Measures the duration of `bitext` commands as processes, and the memory of a training.

    python -m benchmarks.commands

Needs a finished `make run`: the corpus, a cached run, a pushed model. Each command except the training runs
once without measurement and then RUNS times.
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
from benchmarks.report import Result, print_results, progress, result
from bitext.components.translation.translator import find_saved_model

CONFIG = "pipeline/configs/tatoeba.yaml"
CORPUS = Path("data/spa.tsv")
SERVING = "serving/tatoeba"
RUNS = 5
SENTENCES = 20
TRAINING = ("--to", "Trainer", "--set", "trainer.steps=600", "--set", "trainer.validation.every=300")


def bitext(*arguments: str, text: bytes = b"") -> tuple[float, float]:
    """Runs `bitext` and returns wall seconds and peak memory in MB.

    Raises:
      SystemExit: the command failed.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as stdin:
        stdin.write(text)
        stdin.seek(0)
        process = subprocess.Popen(
            [*BITEXT, *arguments],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        message = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bitext {' '.join(arguments)} failed:\n{message.decode()}")
    return time.perf_counter() - start, usage.ru_maxrss / 1000


def child(
    module: str, *arguments: str, text: bytes = b"", environment: Mapping[str, str] | None = None
) -> bytes:
    """Runs another benchmark module in a process of its own and returns its standard output.

    Args:
      module: name of the module in `benchmarks`.
      arguments: its command line arguments.
      text: its standard input.
      environment: its environment variables; None: those of this process.

    Raises:
      subprocess.CalledProcessError: the process failed.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True, env=environment).stdout


def outputs_of(config: str, node: str, *options: str) -> dict[str, Path]:
    """Returns the folders of a node's outputs in the last run of a configuration.

    Raises:
      subprocess.CalledProcessError: `bitext status` failed.
    """
    command = [*BITEXT, "status", config, "--json", *options]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return {name: Path(folder) for name, folder in report["runs"][0]["nodes"][node]["outputs"].items()}


def sources(count: int) -> list[bytes]:
    """Returns English sentences, evenly spaced in the corpus."""
    rows = CORPUS.read_bytes().splitlines()
    return [row.split(b"\t")[0] for row in rows[:: len(rows) // count][:count]]


def measure() -> list[Result]:
    """Measures all figures of this benchmark."""
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
    """Measures the wall time of a command."""
    progress(name)
    bitext(*arguments, text=text)
    return result(name, [bitext(*arguments, text=text)[0] for _ in range(RUNS)], "s", at_most=at_most)


def latency() -> list[Result]:
    """Measures the time to load the model, and to translate a single sentence."""
    progress("loading, and single sentences")
    model = str(find_saved_model(Path(SERVING)))
    cores = str(len(os.sched_getaffinity(0)))
    loads = [json.loads(child("latency", model, cores))["load"] for _ in range(RUNS)]
    twelve_words = [sentence for sentence in sources(20_000) if len(sentence.split()) == 12]
    text = b"\n".join(twelve_words[:: len(twelve_words) // SENTENCES][:SENTENCES])
    one_core = [json.loads(child("latency", model, "1", text=text)) for _ in range(RUNS)]
    results = [
        result("loading the SavedModel, after TensorFlow", loads, "s", at_most=3.0),
        result("the same on one core", [times["load"] for times in one_core], "s", at_most=5.0),
    ]
    for beam, target in (("1", 50.0), ("5", 150.0)):
        # The median of each sentence over the runs. The result is the median over the sentences.
        runs = [times[beam] for times in one_core]
        medians = [statistics.median(sentence_times) for sentence_times in zip(*runs, strict=True)]
        results.append(
            result(f"a sentence of 12 words, beam {beam}, one core", medians, "ms", at_most=target)
        )
    return results


def memory_of_training() -> Result:
    """Measures the peak memory of a run with a short training, its validations and its export."""
    progress("memory of a training")
    with tempfile.TemporaryDirectory() as root:
        peak = bitext("run", CONFIG, "--root", root, *TRAINING)[1]
    return result("peak memory of a run with 600 updates", [peak], "MB", at_most=2500)


if __name__ == "__main__":
    print_results(measure())
