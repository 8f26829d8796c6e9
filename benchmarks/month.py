"""Simulates a month: thirty daily spans of Tatoeba pairs, one run each day, and typical failures.

    python -m benchmarks.month [--corpus data/spa.tsv] [--pairs 1500] [--folder FOLDER]

A small model is trained with warm starts on a window of the newest 14 spans, with a golden set and a request
log. One span is corrupt, one has its languages swapped, one is empty, and one is late. Two runs are killed,
one push is rolled back, and `bitext gc` deletes old outputs every week. The benchmark prints a row of a table
for each run. At the end it checks the state, and exits with 1 if a check fails.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.process import kill, start

DAYS, WINDOW = 30, 14
CORRUPT, SWAPPED, EMPTY, LATE, ROLLED_BACK = 8, 13, 17, 20, 27
KILLED = {5: "Trainer", 24: "Evaluator"}
GC_DAYS, GC_KEEP = (7, 14, 21, 28), 5
GOLDEN = 200
NAME = "month"
CONFIG: dict[str, Any] = {
    "name": NAME,
    "example_gen": {
        "files": ["spans/day-{SPAN:2}-v{VERSION}.tsv"],
        "window": {"newest": WINDOW},
        "golden": {"files": ["golden.tsv"]},
        "eval_share": 0.05,
        "test_share": 0.05,
    },
    "request_log": {"files": ["requests.txt"]},
    "transform": {
        "vocabulary_size": 1500,
        "source_max_length": 40,
        "target_max_length": 40,
        "bucket_growth": 1.5,
    },
    "trainer": {
        "model": {"embedding_units": 64, "encoder_units": 96, "decoder_units": 96},
        "search": {"beam_size": 2, "max_length": 40},
        "steps": 400,
        "warm_start": {"model": "last_blessed", "steps": 120, "from_scratch_every": 12},
        "schedule": {"warmup_steps": 40},
        "validation": {"every": 60, "sentences": 100},
        "samples": 5,
    },
    "evaluator": {
        "min_bleu": 0.5,
        "beat_trivial_baselines": False,  # 400 steps do not always suffice
        "max_sentences": 300,
        "bootstrap_samples": 300,
    },
    "metrics": {"textfile": "bitext.prom"},
}

Pair = tuple[str, str]


class CheckError(Exception):
    """A check failed."""


@dataclasses.dataclass
class Run:
    """The outcome of a run: a row of the table.

    Attributes:
      day: day of the month.
      event: what was special about the run.
      exit: exit code.
      seconds: wall time.
      new: number of spans that ExampleGen read.
      bleu: BLEU of the newly trained model; None: none was scored.
      blessed: whether it was blessed; None: it was not judged.
      served: the pushed version; None: none.
    """

    day: int
    event: str
    exit: int
    seconds: float
    new: int
    bleu: float | None
    blessed: bool | None
    served: int | None


def pairs(corpus: Path, count: int) -> list[Pair]:
    """Returns this many pairs of the corpus, chosen and sorted by a hash of their text."""
    rows = [line.split("\t")[:2] for line in corpus.read_text(encoding="utf-8").splitlines()]
    chosen = sorted(rows, key=lambda row: hashlib.blake2b("\t".join(row).encode()).digest())[:count]
    return [(row[0], row[1]) for row in chosen]


class Month:
    """The folder of the month's pipeline, with its spans."""

    def __init__(self, folder: Path, corpus: Path, per_day: int):
        self.folder, self.runs, self.reads = folder, list[Run](), Counter[str]()
        rows = pairs(corpus, GOLDEN + DAYS * per_day)
        golden, span_rows = rows[:GOLDEN], rows[GOLDEN:]
        self.spans = {day + 1: span_rows[day * per_day : (day + 1) * per_day] for day in range(DAYS)}
        # A span contains golden sentences. ExampleGen must remove them from the training data.
        self.spans[3][:20] = golden[:20]
        (folder / "spans").mkdir()
        self.write("golden.tsv", golden)
        (folder / "requests.txt").write_text("".join(f"{s}\n" for s, _ in span_rows[:2000]), encoding="utf-8")
        (folder / "month.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")

    def write(self, name: str, rows: Sequence[Pair]) -> None:
        """Writes a file of pairs, by one rename."""
        staged = self.folder / f".{name.rpartition('/')[2]}"
        staged.write_text("".join(f"{s}\t{t}\n" for s, t in rows), encoding="utf-8")
        staged.rename(self.folder / name)

    def write_span(self, day: int, version: int, rows: Sequence[Pair]) -> None:
        """Writes the file of a span."""
        self.write(f"spans/day-{day:02d}-v{version}.tsv", rows)

    def command(self, *arguments: str, expected: Sequence[int] = (0,)) -> tuple[int, str]:
        """Runs `bitext`. Returns its exit code and its output.

        Raises:
          CheckError: the exit code is not one of those expected.
        """
        process = start(self.folder, *arguments)
        printed, _ = process.communicate()
        if process.returncode not in expected:
            raise CheckError(f"bitext {' '.join(arguments)} ended with {process.returncode}:\n{printed}")
        return process.returncode, printed

    def status(self) -> dict[str, Any]:
        """Returns the output of `bitext status --json`."""
        _, printed = self.command("status", "month.yaml", "--json")
        status: dict[str, Any] = json.loads(printed[printed.index("{") :])
        return status

    def run(self, day: int, event: str, expected: Sequence[int] = (0, 4)) -> str:
        """Runs the pipeline, adds a row to the table, and returns the output."""
        start_time = time.monotonic()
        code, printed = self.command("run", "month.yaml", expected=expected)
        seconds = time.monotonic() - start_time
        status = self.status()
        newest, pushed = status["runs"][0], status["pushed"]
        before = self.reads.total()
        self.count_reads(printed.splitlines())
        row = Run(
            day,
            event,
            code,
            seconds,
            self.reads.total() - before,
            newest["bleu"],
            newest["blessed"],
            pushed["version"] if pushed else None,
        )
        self.runs.append(row)
        print(render(row), flush=True)
        return printed

    def kill(self, node: str) -> None:
        """Starts a run and kills it 3 s after `node` began."""
        alive, lines = kill(start(self.folder, "run", "month.yaml"), node, 3)
        self.count_reads(lines)
        if not alive:
            raise CheckError(f"the run ended before it was killed in {node}")

    def count_reads(self, lines: Sequence[str]) -> None:
        """Counts the spans that ExampleGen read, from the output of a run."""
        self.reads.update(
            line.split(":")[0].strip() for line in lines if line.startswith("    span") and " rows: " in line
        )

    def simulate(self) -> None:
        """Simulates thirty days."""
        for day in range(1, DAYS + 1):
            self.simulate_day(day)
            if day in GC_DAYS:
                _, printed = self.command("gc", "month.yaml", "--keep", str(GC_KEEP))
                print(f"        {printed.splitlines()[-1]}", flush=True)

    def simulate_day(self, day: int) -> None:
        """Writes the spans of a day and runs the pipeline, with the failures of that day."""
        rows = self.spans[day]
        if day == CORRUPT:
            (self.folder / f"spans/day-{day:02d}-v1.tsv").write_bytes(b"\x1f\x8b\x00\xff torn \xfe\n" * 400)
            self.run(day, "corrupt span: refused", expected=(3,))
            self.write_span(day, 2, rows)
            self.run(day, "the second version")
        elif day == SWAPPED:
            self.write_span(day, 1, [(t, s) for s, t in rows])
            self.run(day, "languages swapped: refused", expected=(3,))
            self.write_span(day, 2, rows)
            self.run(day, "the second version")
        elif day == EMPTY:
            self.write_span(day, 1, [])
            self.run(day, "empty span: a warning")
        elif day == LATE:
            printed = self.run(day, "no span: nothing to do")
            if printed.count(" cached\n") != len(self.status()["runs"][0]["nodes"]):
                raise CheckError(f"a run without a new span was not cached:\n{printed}")
        else:
            self.write_span(day, 1, rows)
            if day == LATE + 1:
                self.write_span(LATE, 1, self.spans[LATE])
            if day in KILLED:
                self.kill(KILLED[day])
                self.run(day, f"killed in {KILLED[day]}, run again")
            else:
                self.run(day, "the late span as well" if day == LATE + 1 else "")
        if day == ROLLED_BACK:
            before = self.status()["pushed"]["version"]
            self.command("rollback", "month.yaml", "--reason", "users complain of day 27")
            self.run(day, f"version {before} rolled back", expected=(4, 0))

    def check(self) -> None:
        """Checks the state at the end of the month."""
        status = self.status()
        runs_by_day = {row.day: row for row in self.runs}
        spans = status["runs"][0]["spans"]
        expected = [f"span {day} version 1" for day in range(DAYS - WINDOW + 1, DAYS + 1)]
        if spans != expected:
            raise CheckError(f"the last run used {spans} instead of {expected}")
        all_spans = {f"span {day} version {v}" for day in range(1, DAYS + 1) for v in versions_of(day)}
        all_spans.remove(f"span {CORRUPT} version 1")  # it is no text, so none of its rows is read
        if self.reads != Counter(all_spans):
            repeated, unread = self.reads - Counter(all_spans), all_spans - set(self.reads)
            raise CheckError(f"spans read more than once: {repeated}; spans not read: {unread}")
        serving = self.folder / "serving" / NAME
        versions = sorted(int(path.name) for path in serving.iterdir() if path.name.isdecimal())
        if versions != list(range(1, len(versions) + 1)) or status["pushed"]["version"] != versions[-1]:
            raise CheckError(
                f"the serving folder has versions {versions}, but the status reports {status['pushed']}"
            )
        if [row.exit for row in self.runs if "refused" in row.event] != [3, 3]:
            raise CheckError("a bad span was not refused")
        if runs_by_day[EMPTY].exit not in (0, 4) or runs_by_day[EMPTY].new != 1:
            raise CheckError("the empty span stopped the run")
        root = self.folder / "runs" / NAME
        leftovers = [
            str(p) for name in (".staging", ".working", ".unrecorded") if (p := root / name).exists()
        ]
        leftovers += [str(path) for path in serving.glob(".*")]
        if leftovers:
            raise CheckError(f"temporary files are left: {leftovers}")
        _, printed = self.command("lineage", str(versions[-1]), "month.yaml", "--json")
        chain = json.loads(printed[printed.index("{") :])["executions"]
        pushed = next(row for row in status["runs"] if row["id"] == chain[0]["run"])
        files = {Path(name).name for e in chain if e["node"] == "ExampleGen" for name in e["files"]}
        words = [name.split() for name in pushed["spans"]]
        if missing := {f"day-{int(day):02d}-v{version}.tsv" for _, day, _, version in words} - files:
            raise CheckError(f"the lineage of version {versions[-1]} does not name {sorted(missing)}")
        start_time = time.monotonic()
        _, printed = self.command("run", "month.yaml", expected=(0, 4))
        seconds = time.monotonic() - start_time
        if printed.count(" cached\n") != len(status["runs"][0]["nodes"]):
            raise CheckError(f"a run without new spans was not cached:\n{printed}")
        text = (self.folder / "bitext.prom").read_text(encoding="utf-8")
        if "bitext_pushed_version{" not in text:
            raise CheckError(f"the textfile does not name the pushed version:\n{text}")
        print(f"a run without new spans: {seconds:.1f} s; pushed version: {versions[-1]}")


def versions_of(day: int) -> tuple[int, ...]:
    """Returns the versions of a day's span."""
    return (1, 2) if day in (CORRUPT, SWAPPED) else (1,)


def render(row: Run) -> str:
    """Returns a row of the table."""
    bleu = "" if row.bleu is None else f"{row.bleu:.2f}"
    verdict = {True: "blessed", False: "refused", None: ""}[row.blessed]
    served = "" if row.served is None else str(row.served)
    figures = f"{row.day:>4}  {row.exit:>4}  {row.new:>5}  {bleu:>6}  {verdict:<8} {served:>6}"
    return f"{figures}  {row.seconds:>5.0f}  {row.event}"


def main() -> None:
    """Simulates the month and exits with 1 if a check fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--corpus", type=Path, default=Path("data/spa.tsv"), help="tab-separated pairs (default: %(default)s)"
    )
    parser.add_argument("--pairs", type=int, default=1500, help="pairs in each span (default: %(default)s)")
    parser.add_argument(
        "--folder", type=Path, help="working folder, not deleted (default: a temporary folder)"
    )
    options = parser.parse_args()
    if not options.corpus.is_file():
        sys.exit(f"{options.corpus} does not exist; run `bitext fetch tatoeba-es`")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="bitext-month-"))
    folder.mkdir(parents=True, exist_ok=True)
    start_time = time.monotonic()
    try:
        print(" day  exit  spans    BLEU  verdict  served      s")
        month = Month(folder.resolve(), options.corpus, options.pairs)
        month.simulate()
        month.check()
    except CheckError as error:
        sys.exit(f"a check failed: {error}")
    print(f"a month in {(time.monotonic() - start_time) / 60:.0f} minutes; all checks passed")
    if options.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
