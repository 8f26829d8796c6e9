"""Measures time and memory of each data component for growing corpora, and with several workers.

    python -m benchmarks.growth                              # 10,000 to 10,000,000 pairs, in process
    python -m benchmarks.growth --pairs 10000 1000000        # other sizes
    python -m benchmarks.growth --workers 1 2 4 --pairs 1000000
    python -m benchmarks.growth --to StatisticsGen --set example_gen.shards=4

Every component runs in a process of its own: `bitext run --from NODE --to NODE`. The corpora are Tatoeba,
which is repeated with a number at the end of both sentences. With `--workers`, Beam's Python job service runs
the pipelines in so many worker processes of a worker pool: their CPU seconds are counted, and their peak is
that of the largest process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.commands import CONFIG
from benchmarks.line import NODES, write_corpus
from benchmarks.process import BITEXT
from benchmarks.report import progress

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
POOL = "apache_beam.runners.worker.worker_pool_main"
JOB_SERVICE = "apache_beam.runners.portability.local_job_service_main"


class Measured(NamedTuple):
    """Wall and CPU seconds, and peak memory in MB."""

    wall: float
    cpu: float
    peak: float


def measured(command: Sequence[str]) -> Measured:
    """Runs a command.

    Raises:
      SystemExit: it failed.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read().decode()}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def nodes_to(last: str) -> Sequence[str]:
    """The data components up to one of them."""
    return NODES[: NODES.index(last) + 1]


def table(name: str, nodes: Sequence[str], rows: dict[str, dict[str, Measured]]) -> str:
    """A table in Markdown: a row for each size or number of workers, a column for each component."""
    lines = [f"| {name} | " + " | ".join(nodes) + " |", "|---" * (len(nodes) + 1) + "|"]
    for label, by_node in rows.items():
        cells = (f"{m.wall:.1f} s, CPU {m.cpu:.1f} s, {m.peak:,.0f} MB" for m in by_node.values())
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run(corpus: Path, root: Path, nodes: Sequence[str], options: Sequence[str]) -> dict[str, Measured]:
    """Runs the components one after the other, each in a process of its own."""
    by_node = {}
    for node in nodes:
        command = [*BITEXT, "run", CONFIG, "--root", str(root), "--from", node, "--to", node]
        command += ["--set", f"example_gen.files=[{corpus}]", *options]
        by_node[node] = measured(command)
        progress(
            f"{node}: wall {by_node[node].wall:.1f} s, CPU {by_node[node].cpu:.1f} s, "
            f"{by_node[node].peak:,.0f} MB"
        )
    return by_node


def grow(sizes: Sequence[int], nodes: Sequence[str], options: Sequence[str], folder: Path) -> str:
    """Measures corpora of several sizes in process."""
    rows = {}
    for pairs in sizes:
        progress(f"{pairs:,} pairs")
        corpus = folder / f"{pairs}.tsv"
        write_corpus(pairs, corpus)
        rows[f"{pairs:,}"] = run(corpus, folder / f"root-{pairs}", nodes, options)
        corpus.unlink()
    return table("pairs", nodes, rows)


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=SIZES, help="sizes of the corpora")
    parser.add_argument(
        "--to", choices=NODES, default=NODES[-1], help="the last component (default: %(default)s)"
    )
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of the configuration")
    parser.add_argument(
        "--folder", type=Path, help="where the corpora and outputs are (default: a new folder)"
    )
    options = parser.parse_args()
    settings = [word for value in options.set for word in ("--set", value)]
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        print(grow(options.pairs, nodes_to(options.to), settings, folder))


if __name__ == "__main__":
    main()
