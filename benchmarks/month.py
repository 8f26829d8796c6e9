"""A simulated month: thirty daily spans of Tatoeba pairs, a run a day, and what can go wrong in a month.

    python -m benchmarks.month [--corpus data/spa.tsv] [--pairs 1500] [--folder FOLDER]

A small model is trained on a rolling window of two weeks, warm-started, with a golden set and a log of
requests. On the way one span is corrupt, one has its languages swapped, one is empty, one is late; two runs
are killed, one push is rolled back, and old outputs are removed every week. A table tells what happened; what
must hold at the end is asserted, and the exit code is 1 where it does not.
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


class Wrong(Exception):
    """Something did not happen as it must."""


@dataclasses.dataclass
class Day:
    """What a day came to: a row of the table."""

    day: int
    event: str
    exit: int
    seconds: float
    new: int
    bleu: float | None
    blessed: bool | None
    served: int | None


def pairs(corpus: Path, count: int) -> list[Pair]:
    """So many pairs of the corpus, in an order that has nothing to do with theirs in the file."""
    rows = [line.split("\t")[:2] for line in corpus.read_text(encoding="utf-8").splitlines()]
    chosen = sorted(rows, key=lambda row: hashlib.blake2b("\t".join(row).encode()).digest())[:count]
    return [(row[0], row[1]) for row in chosen]


class Month:
    """The folder in which the month happens."""

    def __init__(self, folder: Path, corpus: Path, per_day: int):
        self.folder, self.days, self.reads = folder, list[Day](), Counter[str]()
        rows = pairs(corpus, GOLDEN + DAYS * per_day)
        self.golden, rest = rows[:GOLDEN], rows[GOLDEN:]
        self.spans = {day + 1: rest[day * per_day : (day + 1) * per_day] for day in range(DAYS)}
        # A golden sentence turns up in a span: it must not be trained on.
        self.spans[3][:20] = self.golden[:20]
        (folder / "spans").mkdir()
        self.write("golden.tsv", self.golden)
        (folder / "requests.txt").write_text("".join(f"{s}\n" for s, _ in rest[:2000]), encoding="utf-8")
        (folder / "month.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")

    def write(self, name: str, rows: Sequence[Pair]) -> None:
        """A file of pairs, there at once or not at all."""
        staged = self.folder / f".{name.rpartition('/')[2]}"
        staged.write_text("".join(f"{s}\t{t}\n" for s, t in rows), encoding="utf-8")
        staged.rename(self.folder / name)

    def arrive(self, day: int, version: int, rows: Sequence[Pair]) -> None:
        """A span's file."""
        self.write(f"spans/day-{day:02d}-v{version}.tsv", rows)

    # The command.

    def command(self, *arguments: str, expected: Sequence[int] = (0,)) -> tuple[int, str]:
        """Its exit code, which must be among those expected, and what it said."""
        process = start(self.folder, *arguments)
        said, _ = process.communicate()
        if process.returncode not in expected:
            raise Wrong(f"bitext {' '.join(arguments)} ended with {process.returncode}:\n{said}")
        return process.returncode, said

    def status(self) -> dict[str, Any]:
        """`bitext status --json`."""
        _, said = self.command("status", "month.yaml", "--json")
        found: dict[str, Any] = json.loads(said[said.index("{") :])
        return found

    def run(self, day: int, event: str, expected: Sequence[int] = (0, 4)) -> str:
        """A run, and its row in the table."""
        begun = time.monotonic()
        code, said = self.command("run", "month.yaml", expected=expected)
        seconds = time.monotonic() - begun
        found = self.status()
        newest, pushed = found["runs"][0], found["pushed"]
        before = self.reads.total()
        self.note_reads(said.splitlines())
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
        return said

    def kill(self, node: str) -> None:
        """A run that is killed while `node` works."""
        alive, said = kill(start(self.folder, "run", "month.yaml"), node, 3)  # somewhere within its work
        self.note_reads(said)
        if not alive:
            raise Wrong(f"the run ended before it was killed in {node}")

    def note_reads(self, lines: Sequence[str]) -> None:
        """Counts the spans that ExampleGen says it has read."""
        self.reads.update(
            line.split(":")[0].strip() for line in lines if line.startswith("    span") and " rows: " in line
        )

    # The month.

    def live(self) -> None:
        """Thirty days."""
        for day in range(1, DAYS + 1):
            self.live_a_day(day)
            if day in GC_DAYS:
                _, said = self.command("gc", "month.yaml", "--keep", str(GC_KEEP))
                print(f"        {said.splitlines()[-1]}", flush=True)

    def live_a_day(self, day: int) -> None:
        """What arrives, what breaks, and who mends it."""
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
            said = self.run(day, "no span: nothing to do")
            if said.count(" cached\n") != len(self.status()["runs"][0]["nodes"]):
                raise Wrong(f"a day without a span did something:\n{said}")
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

    # The end.

    def check(self) -> None:
        """What must hold at the end of the month."""
        found = self.status()
        last = {row.day: row for row in self.days}
        used = found["runs"][0]["spans"]
        expected = [f"span {day} version 1" for day in range(DAYS - WINDOW + 1, DAYS + 1)]
        if used != expected:
            raise Wrong(f"the last run used {used}, and not {expected}")
        once = {f"span {day} version {v}" for day in range(1, DAYS + 1) for v in versions_of(day)}
        if self.reads != Counter(once):
            raise Wrong(
                f"not every span was read once: {self.reads - Counter(once)} {once - set(self.reads)}"
            )
        serving = self.folder / "serving" / NAME
        versions = sorted(int(path.name) for path in serving.iterdir() if path.name.isdecimal())
        if versions != list(range(1, len(versions) + 1)) or found["pushed"]["version"] != versions[-1]:
            raise Wrong(f"versions {versions}, of which {found['pushed']} is said to be served")
        if [row.exit for row in self.days if "refused" in row.event] != [3, 3]:
            raise Wrong("a bad span was not refused")
        if last[EMPTY].exit not in (0, 4) or last[EMPTY].new != 1:
            raise Wrong("the empty span stopped the run")
        root = self.folder / "runs" / NAME
        left = [str(p) for place in (".staging", ".working", ".unrecorded") if (p := root / place).exists()]
        left += [str(path) for path in serving.glob(".*")]
        if left:
            raise Wrong(f"left over: {left}")
        _, said = self.command("lineage", str(versions[-1]), "month.yaml", "--json")
        chain = json.loads(said[said.index("{") :])["executions"]
        pushed = next(row for row in found["runs"] if row["id"] == chain[0]["run"])
        files = {Path(name).name for e in chain if e["node"] == "ExampleGen" for name in e["files"]}
        words = [name.split() for name in pushed["spans"]]
        if missing := {f"day-{int(day):02d}-v{version}.tsv" for _, day, _, version in words} - files:
            raise Wrong(f"the lineage of version {versions[-1]} does not name {sorted(missing)}")
        begun = time.monotonic()
        _, said = self.command("run", "month.yaml", expected=(0, 4))
        seconds = time.monotonic() - begun
        if said.count(" cached\n") != len(found["runs"][0]["nodes"]):
            raise Wrong(f"a run with nothing new did something:\n{said}")
        text = (self.folder / "bitext.prom").read_text(encoding="utf-8")
        if "bitext_pushed_version{" not in text:
            raise Wrong(f"the textfile does not name the pushed version:\n{text}")
        print(f"a run with nothing new: {seconds:.1f} s; served: version {versions[-1]} of {len(versions)}")


def versions_of(day: int) -> tuple[int, ...]:
    """The versions that a day's span came in."""
    return (1, 2) if day in (CORRUPT, SWAPPED) else (1,)


def render(row: Day) -> str:
    """A row of the table."""
    bleu = "" if row.bleu is None else f"{row.bleu:.2f}"
    verdict = {True: "blessed", False: "refused", None: ""}[row.blessed]
    served = "" if row.served is None else str(row.served)
    figures = f"{row.day:>4}  {row.exit:>4}  {row.new:>5}  {bleu:>6}  {verdict:<8} {served:>6}"
    return f"{figures}  {row.seconds:>5.0f}  {row.event}"


def main() -> None:
    """Lives the month, and exits with 1 if it did not end as it must."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("data/spa.tsv"))
    parser.add_argument("--pairs", type=int, default=1500, help="a day (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where to keep it (default: a temporary folder)")
    options = parser.parse_args()
    if not options.corpus.is_file():
        sys.exit(f"{options.corpus} is not there: bitext fetch tatoeba-es")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="bitext-month-"))
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    try:
        print(" day  exit  spans    BLEU  verdict  served      s")
        month = Month(folder.resolve(), options.corpus, options.pairs)
        month.live()
        month.check()
    except Wrong as wrong:
        sys.exit(f"WRONG: {wrong}")
    print(f"a month in {(time.monotonic() - begun) / 60:.0f} minutes, as it must be")
    if options.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
