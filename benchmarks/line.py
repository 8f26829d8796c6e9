"""ExampleGen, StatisticsGen, SchemaGen, ExampleValidator and Transform on a corpus: time, memory, and growth.

    python -m benchmarks.line            # all sizes
    python -m benchmarks.line CORPUS     # one, in this process

A corpus larger than Tatoeba's is Tatoeba's over and over, with a number at the end of both sentences, so that
no pair is twice. Each size has a process of its own, which imports before the clock starts.
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
from benchmarks.report import Result, hand_over, progress, result
from bitext.components.shared.parallel import share_cores

PAIRS = 140_868
SIZES = (10_000, 100_000, 1_000_000)
FLAT = 1.2
"""What the peak memory of ten times as many pairs may come to, and still be called flat."""
RUNS = 3
NODES = ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform")


def write_corpus(pairs: int, path: Path) -> None:
    """A corpus of so many pairs, from the whole of Tatoeba."""
    rows = [line.split("\t")[:2] for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    if pairs < len(rows):
        rows = rows[:: len(rows) // pairs]
    numbered = ((source, target, turn) for turn in itertools.count() for source, target in rows)
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for source, target, turn in itertools.islice(numbered, pairs):
            end = f" {turn}" if turn else ""
            out.write(f"{source}{end}\t{target}{end}\n")


def once(corpus: str) -> tuple[float, float]:
    """Wall seconds after imports, and this process's peak memory in MB.

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
        begun = time.perf_counter()
        if code := cli.main(["run", CONFIG, *options]):
            raise SystemExit(code)
        taken = time.perf_counter() - begun
    return taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure() -> list[Result]:
    """All figures."""

    def of_size(pairs: int, runs: int) -> tuple[list[float], list[float]]:
        found = []
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "corpus.tsv"
            write_corpus(pairs, corpus)
            for _ in range(runs):
                found.append(json.loads(child("line", str(corpus)).splitlines()[-1]))
                progress(f"{pairs:,} pairs: {found[-1][0]:.1f} s, {found[-1][1]:.0f} MB")
        return [seconds for seconds, _ in found], [peak for _, peak in found]

    seconds, peaks = of_size(PAIRS, RUNS)
    grown = {pairs: of_size(pairs, 1) for pairs in SIZES}
    (less, lower), (more, higher) = grown[100_000], grown[1_000_000]
    each = [result(f"{pairs:,} pairs", grown[pairs][0], "s") for pairs in SIZES] + [
        result(f"peak memory, {pairs:,} pairs", grown[pairs][1], "MB") for pairs in SIZES
    ]
    return [
        result(f"data to examples, {PAIRS:,} pairs, after imports", seconds, "s", at_most=43),
        result("peak memory of the same", peaks, "MB", at_most=1500),
        *each,
        result("time at 1,000,000 pairs, of that at 100,000", [more[0] / less[0]], "times", at_most=10),
        result(
            "memory at 1,000,000 pairs, of that at 100,000", [higher[0] / lower[0]], "times", at_most=FLAT
        ),
    ]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(once(sys.argv[1])))
    else:
        hand_over(measure())
