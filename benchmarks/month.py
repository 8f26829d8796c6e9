"""A simulated month: thirty daily spans of Tatoeba pairs, one run each day, and the usual failures.

    python -m benchmarks.month [--corpus data/spa.tsv] [--pairs 1500] [--folder FOLDER]

A small model is trained with warm starts on a rolling window of two weeks, with a golden set and a request
log. One span is corrupt, one has its languages swapped, one is empty, one is late; two runs are killed, one
push is rolled back, and old outputs are removed every week. It prints a table with a row for each run. At the
end it checks the state, and exits with 1 if a check fails.
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
    "evaluator": {"min_bleu": 0.5, "max_sentences": 300, "bootstrap_samples": 300},
    "metrics": {"textfile": "bitext.prom"},
}

Pair = tuple[str, str]


class CheckError(Exception):
    """A check failed."""


@dataclasses.dataclass
class Day:
    """The outcome of a run: a row of the table."""

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
        self.folder, self.days, self.reads = folder, list[Day](), Counter[str]()
        rows = pairs(corpus, GOLDEN + DAYS * per_day)
        self.golden, rest = rows[:GOLDEN], rows[GOLDEN:]
        self.spans = {day + 1: rest[day * per_day : (day + 1) * per_day] for day in range(DAYS)}
        # Golden sentences are in a span too: they must not be trained on.
        self.spans[3][:20] = self.golden[:20]
        (folder / "spans").mkdir()
        self.write("golden.tsv", self.golden)
        (folder / "requests.txt").write_text("".join(f"{s}\n" for s, _ in rest[:2000]), encoding="utf-8")
        (folder / "month.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")

    def write(self, name: str, rows: Sequence[Pair]) -> None:
        """Writes a file of pairs, by one rename."""
        staged = self.folder / f".{name.rpartition('/')[2]}"
        staged.write_text("".join(f"{s}\t{t}\n" for s, t in rows), encoding="utf-8")
        staged.rename(self.folder / name)

    def arrive(self, day: int, version: int, rows: Sequence[Pair]) -> None:
        """Writes the file of a span."""
        self.write(f"spans/day-{day:02d}-v{version}.tsv", rows)

    def command(self, *arguments: str, expected: Sequence[int] = (0,)) -> tuple[int, str]:
        """Runs the command. Returns its exit code, one of those expected, and its output."""
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
        """Runs the pipeline and adds a row to the table. Returns the output."""
        start_time = time.monotonic()
        code, printed = self.command("run", "month.yaml", expected=expected)
        seconds = time.monotonic() - start_time
        status = self.status()
        newest, pushed = status["runs"][0], status["pushed"]
        before = self.reads.total()
        self.count_reads(printed.splitlines())
        row = Day(
            day,
            event,
            code,
            seconds,
            self.reads.total() - before,
            newest["bleu"],
            newest["blessed"],
            pushed["version"] if pushed else None,
        )
        self.days.append(row)
        print(render(row), flush=True)
        return printed

    def kill(self, node: str) -> None:
        """Starts a run and kills it while `node` works."""
        alive, lines = kill(start(self.folder, "run", "month.yaml"), node, 3)  # during its work
        self.count_reads(lines)
        if not alive:
            raise CheckError(f"the run ended before it was killed in {node}")

    def count_reads(self, lines: Sequence[str]) -> None:
        """Counts the spans that ExampleGen reads, by its output."""
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
            self.arrive(day, 2, rows)
            self.run(day, "its second version")
        elif day == SWAPPED:
            self.arrive(day, 1, [(t, s) for s, t in rows])
            self.run(day, "languages swapped: refused", expected=(3,))
            self.arrive(day, 2, rows)
            self.run(day, "its second version")
        elif day == EMPTY:
            self.arrive(day, 1, [])
            self.run(day, "empty span: a warning")
        elif day == LATE:
            printed = self.run(day, "no span: nothing to do")
            if printed.count(" cached\n") != len(self.status()["runs"][0]["nodes"]):
                raise CheckError(f"a day without a span did something:\n{printed}")
        else:
            self.arrive(day, 1, rows)
            if day == LATE + 1:
                self.arrive(LATE, 1, self.spans[LATE])
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
        last = {row.day: row for row in self.days}
        used = status["runs"][0]["spans"]
        expected = [f"span {day} version 1" for day in range(DAYS - WINDOW + 1, DAYS + 1)]
        if used != expected:
            raise CheckError(f"the last run used {used} instead of {expected}")
        once = {f"span {day} version {v}" for day in range(1, DAYS + 1) for v in versions_of(day)}
        if self.reads != Counter(once):
            raise CheckError(
                f"not every span was read once: {self.reads - Counter(once)} {once - set(self.reads)}"
            )
        serving = self.folder / "serving" / NAME
        versions = sorted(int(path.name) for path in serving.iterdir() if path.name.isdecimal())
        if versions != list(range(1, len(versions) + 1)) or status["pushed"]["version"] != versions[-1]:
            raise CheckError(f"versions {versions}, but the status reports {status['pushed']}")
        if [row.exit for row in self.days if "refused" in row.event] != [3, 3]:
            raise CheckError("a bad span was not refused")
        if last[EMPTY].exit not in (0, 4) or last[EMPTY].new != 1:
            raise CheckError("the empty span stopped the run")
        root = self.folder / "runs" / NAME
        leftovers = [
            str(p) for name in (".staging", ".working", ".unrecorded") if (p := root / name).exists()
        ]
        leftovers += [str(path) for path in serving.glob(".*")]
        if leftovers:
            raise CheckError(f"left over: {leftovers}")
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
            raise CheckError(f"a run with nothing new did something:\n{printed}")
        text = (self.folder / "bitext.prom").read_text(encoding="utf-8")
        if "bitext_pushed_version{" not in text:
            raise CheckError(f"the textfile does not name the pushed version:\n{text}")
        print(f"a run with nothing new: {seconds:.1f} s; served: version {versions[-1]} of {len(versions)}")


def versions_of(day: int) -> tuple[int, ...]:
    """Returns the versions of a day's span."""
    return (1, 2) if day in (CORRUPT, SWAPPED) else (1,)


def render(row: Day) -> str:
    """Returns a row of the table."""
    bleu = "" if row.bleu is None else f"{row.bleu:.2f}"
    verdict = {True: "blessed", False: "refused", None: ""}[row.blessed]
    served = "" if row.served is None else str(row.served)
    figures = f"{row.day:>4}  {row.exit:>4}  {row.new:>5}  {bleu:>6}  {verdict:<8} {served:>6}"
    return f"{figures}  {row.seconds:>5.0f}  {row.event}"


def main() -> None:
    """Simulates the month and exits with 1 if a check fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("data/spa.tsv"))
    parser.add_argument("--pairs", type=int, default=1500, help="pairs in each span (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="working folder, kept (default: a temporary folder)")
    options = parser.parse_args()
    if not options.corpus.is_file():
        sys.exit(f"{options.corpus} is not there: bitext fetch tatoeba-es")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="bitext-month-"))
    folder.mkdir(parents=True, exist_ok=True)
    start_time = time.monotonic()
    try:
        print(" day  exit  spans    BLEU  verdict  served      s")
        month = Month(folder.resolve(), options.corpus, options.pairs)
        month.simulate()
        month.check()
    except CheckError as error:
        sys.exit(f"WRONG: {error}")
    print(f"a month in {(time.monotonic() - start_time) / 60:.0f} minutes; all checks passed")
    if options.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
