"""Whole-process measurements of the `bitext` command, written to RESULTS.md and RESULTS.json.

Needs what `make run` leaves: the corpus, a cached run, a pushed model. Every command is run once unmeasured,
then RUNS times; the median and the spread of its wall time are kept, and its largest peak memory.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from components.translate import find_saved_model

HERE = Path(__file__).parent
CONFIG = "pipeline/configs/tatoeba.yaml"
CORPUS = "data/spa.tsv"
SERVING = "serving/tatoeba"
BITEXT = (sys.executable, "-m", "pipeline")
LIBRARIES = ("tensorflow", "tensorflow-transform", "tensorflow-data-validation", "apache-beam", "numpy")
RUNS = 5
SENTENCES = 20


@dataclasses.dataclass(frozen=True)
class Result:
    """One figure: `value` is the median, `spread` the least and the most; `target` is not to be exceeded."""

    name: str
    value: float
    unit: str
    spread: tuple[float, float]
    target: float

    def as_json(self) -> dict[str, object]:
        return dataclasses.asdict(self) | {"met": self.value <= self.target}


def once(arguments: tuple[str, ...], text: bytes = b"") -> tuple[float, float]:
    """Runs `bitext` with the arguments: wall seconds and peak memory in MB."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as given:
        given.write(text)
        given.seek(0)
        process = subprocess.Popen(
            [*BITEXT, *arguments], stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bitext {' '.join(arguments)} failed; `make run` first:\n{complaint.decode()}")
    return time.perf_counter() - begun, usage.ru_maxrss / 1000


def measure(
    name: str, target: float, arguments: tuple[str, ...], text: bytes = b"", runs: int = RUNS
) -> tuple[Result, float]:
    """The wall time of a command, and its peak memory in MB over all runs."""
    once(arguments, text)
    taken = [once(arguments, text) for _ in range(runs)]
    seconds = [s for s, _ in taken]
    spread = (round(min(seconds), 3), round(max(seconds), 3))
    return Result(name, round(statistics.median(seconds), 3), "s", spread, target), max(m for _, m in taken)


def latency(rows: list[bytes]) -> list[Result]:
    """What a client on one core waits for, in processes of their own."""
    sentences = [row.split(b"\t")[0] for row in rows]
    twelve = [sentence for sentence in sentences if len(sentence.split()) == 12]
    given = b"\n".join(twelve[:: len(twelve) // SENTENCES][:SENTENCES])
    command = [sys.executable, "-m", "benchmarks.latency", str(find_saved_model(Path(SERVING)))]
    taken = [
        json.loads(subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True).stdout)
        for _ in range(RUNS)
    ]
    loads = [found["load"] for found in taken]
    median = round(statistics.median(loads), 3)
    spread = (round(min(loads), 3), round(max(loads), 3))
    results = [Result("loading the SavedModel, one core", median, "s", spread, 5.0)]
    for beam, target in (("1", 50.0), ("5", 150.0)):
        # Of each sentence the median of the runs; then the median and the ends of the sentences.
        each = [statistics.median(times) for times in zip(*(found[beam] for found in taken), strict=True)]
        ends = (round(min(each), 1), round(max(each), 1))
        name = f"one sentence of 12 words, beam {beam}, one core"
        results.append(Result(name, round(statistics.median(each), 1), "ms", ends, target))
    return results


def results() -> list[Result]:
    """All figures."""
    line = b"Where is the station?\n"
    rows = Path(CORPUS).read_bytes().splitlines()
    lines = b"".join(row.split(b"\t")[0] + b"\n" for row in rows[:: len(rows) // 1000][:1000])
    found = [
        measure("bitext --help", 0.5, ("--help",))[0],
        measure("cached run", 2.0, ("run", CONFIG))[0],
        measure("translate one line", 6.0, ("translate", "--model", SERVING), line)[0],
        measure("translate 1,000 lines, beam 5", 20.0, ("translate", "--model", SERVING), lines)[0],
        *latency(rows),
    ]
    with tempfile.TemporaryDirectory() as root:
        # What the cache knows is thrown away each time, by forcing the first node and what follows from it.
        nodes = ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform")
        forced = tuple(word for node in nodes for word in ("--force", node))
        command = ("run", CONFIG, "--root", root, "--to", "Transform", *forced)
        data, peak = measure(
            "ExampleGen to Transform, 140,868 pairs, imports included", 60.0, command, runs=3
        )
    memory = Result("peak memory of the same", round(peak), "MB", (round(peak), round(peak)), 1500)
    return [*found, data, memory]


def main() -> None:
    """Measures and writes both files."""
    found = results()
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
    }
    report = {"machine": machine, "results": [r.as_json() for r in found]}
    (HERE / "RESULTS.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    rows = [
        f"| {r.name} | {r.value:g} {r.unit} | {r.spread[0]:g} to {r.spread[1]:g} | {r.target:g} |"
        for r in found
    ]
    lines = [
        "# Results of `make bench`",
        "",
        ", ".join(f"{name} {value}" for name, value in machine.items()),
        "",
        "| what | median | spread | target, at most |",
        "|---|---|---|---|",
        *rows,
    ]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
