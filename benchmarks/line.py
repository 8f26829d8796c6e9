"""Measures time and memory of ExampleGen to Transform for several sizes of the corpus.

    python -m benchmarks.line            # all sizes
    python -m benchmarks.line CORPUS     # one corpus, in this process

A corpus larger than Tatoeba repeats it with a number at the end of both sentences, so that no pair occurs
twice. Each size runs in a process of its own, which imports the libraries before the clock starts.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.commands import CONFIG, CORPUS, child
from benchmarks.report import Result, print_results, progress, result
from bitext.components.shared.parallel import share_cores

PAIRS = 140_868
SIZES = (10_000, 100_000, 1_000_000)
MAX_GROWTH = 1.2
"""Maximum ratio of the peak memory at 1,000,000 pairs to that at 100,000 pairs."""
RUNS = 3
NODES = ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform")


def write_corpus(pairs: int, path: Path) -> None:
    """Writes a corpus of this many pairs, evenly spaced in Tatoeba."""
    rows = [line.split("\t")[:2] for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    if pairs < len(rows):
        rows = rows[:: len(rows) // pairs]
    numbered = ((source, target, repetition) for repetition in itertools.count() for source, target in rows)
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for source, target, repetition in itertools.islice(numbered, pairs):
            suffix = f" {repetition}" if repetition else ""
            out.write(f"{source}{suffix}\t{target}{suffix}\n")


def run(corpus: str) -> tuple[float, float]:
    """Runs ExampleGen to Transform. Returns wall seconds after imports, and the peak memory in MB.

    Raises:
      SystemExit: the run failed.
    """
    share_cores()
    import apache_beam  # noqa: F401
    import tensorflow_data_validation  # noqa: F401
    import tensorflow_transform  # noqa: F401

    from bitext.pipeline import cli

    with tempfile.TemporaryDirectory() as folder:
        options = ("--root", folder, "--to", NODES[-1], "--set", f"example_gen.files=[{corpus}]")
        start = time.perf_counter()
        if code := cli.main(["run", CONFIG, *options]):
            raise SystemExit(code)
        seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure() -> list[Result]:
    """Measures all figures of this benchmark."""

    def measure_size(pairs: int, runs: int) -> tuple[list[float], list[float]]:
        measured = []
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "corpus.tsv"
            write_corpus(pairs, corpus)
            for _ in range(runs):
                measured.append(json.loads(child("line", str(corpus)).splitlines()[-1]))
                progress(f"{pairs:,} pairs: {measured[-1][0]:.1f} s, {measured[-1][1]:.0f} MB")
        return [seconds for seconds, _ in measured], [peak for _, peak in measured]

    seconds, peaks = measure_size(PAIRS, RUNS)
    by_size = {pairs: measure_size(pairs, 1) for pairs in SIZES}
    (small_time, small_memory), (large_time, large_memory) = by_size[100_000], by_size[1_000_000]
    size_results = [result(f"{pairs:,} pairs", by_size[pairs][0], "s") for pairs in SIZES] + [
        result(f"peak memory, {pairs:,} pairs", by_size[pairs][1], "MB") for pairs in SIZES
    ]
    return [
        result(f"data to examples, {PAIRS:,} pairs, after imports", seconds, "s", at_most=43),
        result("peak memory of the same", peaks, "MB", at_most=1500),
        *size_results,
        result(
            "time at 1,000,000 pairs, of that at 100,000",
            [large_time[0] / small_time[0]],
            "times",
            at_most=10,
        ),
        result(
            "memory at 1,000,000 pairs, of that at 100,000",
            [large_memory[0] / small_memory[0]],
            "times",
            at_most=MAX_GROWTH,
        ),
    ]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(run(sys.argv[1])))
    else:
        print_results(measure())
