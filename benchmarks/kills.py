"""Kills `bitext run` (SIGKILL) at random moments of every component, fills its disk, looks at what is left.

    python -m benchmarks.kills [--kills 54] [--seed 0] [--folder FOLDER]

A small made corpus in three daily spans goes through the whole pipeline: once unbroken, then again and again,
each time killed at a random moment of the next component, until every component was killed and the line is
complete; then it begins anew. After every kill nothing published may be torn. At the end of each line nothing
may be left over, and the outputs must be those of the unbroken run: the same bytes of the deterministic
components, the same weights of the model. Then, if it is root who runs this, for only root may mount a disk,
the same on one that is too small at first, and grows.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.process import kill, start
from bitext.components.shared.files import file_digest
from bitext.pipeline.config import PipelineConfig, load
from bitext.pipeline.graph import create_pipeline
from bitext.pipeline.records import Execution, State, newest_usable
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists
from tests.e2e import toy
from tests.pipeline.store_contract import altered

DETERMINISTIC = ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform")
SPANS = 3
DISK_FULL = 6
# ML Metadata may tell of the transaction that SQLite could not write, and not why.
FULL = ("No space left on device", "disk is full", "its disk not full")
DISKS = (
    300,
    400,
    500,
    700,
    1000,
    1400,
    1800,
    2200,
    2600,
    3000,
    3500,
    4000,
    4500,
    5000,
    5500,
    6000,
    8000,
    16000,
)
"""Sizes in KB of the disk, smaller than the line needs at first."""


class Torn(Exception):
    """Something half-done is visible, is left over, or differs from the unbroken run."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One pipeline root, from its first run until it is complete."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "data").mkdir(parents=True)
        rows = toy.sentences()
        for span in range(SPANS):
            toy.write_tsv(self.folder / "data" / f"day-{span + 1}.tsv", rows[span::SPANS])
        values = toy.config()
        values["example_gen"]["files"] = ["data/day-{SPAN}.tsv"]
        (self.folder / "toy.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")

    @property
    def root(self) -> Path:
        """The pipeline root."""
        return self.folder / "runs" / "toy"

    def config(self) -> PipelineConfig:
        """As the command reads it."""
        return load(self.folder / "toy.yaml", [f"root={self.root}", f"serving={self.folder}/serving/toy"])

    def history(self) -> list[Execution]:
        """Every execution on record, newest first."""
        config = self.config()
        store = Store(config.metadata, self.root, config.name)
        store.delete_orphans()  # as a run does first
        return store.executions()

    def run(self) -> tuple[int, str]:
        """Runs to the end: exit code and output."""
        process = start(self.folder, "run", "toy.yaml")
        said, _ = process.communicate()
        return process.returncode, said

    def kill(self, node: str, delay: float) -> bool:
        """Runs, and kills it so many seconds after `node` was begun; whether it still ran then."""
        alive, _ = kill(start(self.folder, "run", "toy.yaml"), node, delay)
        return alive

    # What must hold.

    def check_nothing_torn(self) -> None:
        """Whatever is declared complete, or visible to a server, is whole."""
        if store_exists(self.config().metadata, self.root):
            for artifact in altered(self.history()):
                raise Torn(f"{artifact.uri} is not what was recorded of it")
        for version in (self.folder / "serving" / "toy").glob("[0-9]*"):
            for name in ("saved_model.pb", "assets.extra/bitext.json"):
                if not (version / name).is_file():
                    raise Torn(f"{version} is visible and has no {name}")

    def check_complete(self, unbroken: Line | None) -> None:
        """A further run does nothing; nothing is left over; the outputs are those of the unbroken line."""
        code, said = self.run()
        if code or said.count(" cached\n") != len(toy.NODES):
            raise Torn(f"a run of what is complete did something, or ended with {code}:\n{said}")
        left = [
            path for place in (".staging", ".working", ".unrecorded") if (path := self.root / place).exists()
        ]
        left += (self.folder / "serving" / "toy").glob(".*")
        left += [
            folder
            for node in toy.NODES
            for folder in (self.root / node).glob("*/*")
            if str(folder) not in self._recorded()
        ]
        if left:
            raise Torn(f"left over: {', '.join(map(str, left))}")
        versions = [path.name for path in (self.folder / "serving" / "toy").iterdir()]
        if versions != ["1"]:
            raise Torn(f"pushed versions: {versions}")
        if states := {e.state for e in self.history()} & {State.RUNNING}:
            raise Torn(f"executions on record as {states}")
        if unbroken is not None and (self.outputs() != unbroken.outputs()):
            raise Torn(f"outputs differ: {self.outputs()}\n{unbroken.outputs()}")

    def _recorded(self) -> set[str]:
        return {a.uri for e in self.history() if e.state == State.COMPLETE for a in e.all_outputs()}

    def outputs(self) -> dict[str, list[str]]:
        """Digests of what the deterministic components made, and of the weights."""
        history = self.history()
        found = {}
        for node in DETERMINISTIC:
            newest = newest_usable(history, node)
            assert newest is not None
            found[node] = [artifact.digest for artifact in newest.all_outputs()]
        trained = newest_usable(history, "Trainer")
        assert trained is not None
        weights = Path(trained.outputs["model"][0].uri) / "checkpoint" / "weights.npz"
        return found | {"weights": [file_digest(weights)]}


def durations(line: Line) -> dict[str, float]:
    """Seconds each node took in the line's first run."""
    config = line.config()
    first = Store(config.metadata, line.root, config.name).runs()[-1].run_id
    whole = [e for e in line.history() if e.run_id == first and not e.part]
    return {
        node.name: sum(e.seconds for e in whole if e.node == node.name)
        for node in create_pipeline(config).nodes
    }


def kill_lines(folder: Path, unbroken: Line, kills: int, chance: random.Random) -> list[tuple[str, float]]:
    """Kills lines until there were so many kills: node and seconds of each."""
    seconds = durations(unbroken)
    done: list[tuple[str, float]] = []
    number = 0
    while len(done) < kills:
        number += 1
        line = Line(folder / f"killed-{number}")
        for node in toy.NODES:
            delay = chance.uniform(0.0, 1.1 * seconds[node])
            if len(done) < kills and line.kill(node, delay):
                done.append((node, delay))
                print(f"kill {len(done):>3}: {node}, {delay:.1f} s after it began", flush=True)
            line.check_nothing_torn()
        code, said = line.run()
        if code:
            raise Torn(f"the run after the kills ended with {code}:\n{said}")
        line.check_complete(unbroken)
        shutil.rmtree(line.folder)
    return done


def full_disks(folder: Path, unbroken: Line) -> list[tuple[int, str]]:
    """Runs on a disk that grows until the line is complete: size in KB and the node that did not fit."""
    disk = folder / "disk"
    disk.mkdir()
    full: list[tuple[int, str]] = []
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISKS[0]}k", "tmpfs", str(disk)], check=True)
    try:
        line = Line(disk / "line")
        for size in DISKS:
            subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
            if full:  # with room again: opening the store takes some
                line.check_nothing_torn()
            code, said = line.run()
            if code == 0:
                line.check_complete(unbroken)
                return full
            if code != DISK_FULL or not any(words in said for words in FULL):
                raise Torn(f"on a disk of {size} KB the run ended with {code}:\n{said}")
            begun = [word for words in said.splitlines() if (word := words.partition(" ")[0]) in toy.NODES]
            full.append((size, begun[-1] if begun else "the store"))
            print(f"a disk of {size} KB was full in {full[-1][1]}", flush=True)
        raise Torn(f"a disk of {DISKS[-1]} KB is too small")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def main() -> None:
    """Does what the module says, and exits with 1 if something was torn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=54)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        unbroken = Line(folder / "unbroken")
        code, said = unbroken.run()
        if code:
            sys.exit(f"the unbroken run ended with {code}:\n{said}")
        unbroken.check_complete(None)
        try:
            kills = kill_lines(folder, unbroken, options.kills, random.Random(options.seed))
            root = os.geteuid() == 0
            full = full_disks(folder, unbroken) if root else []
        except Torn as torn:
            sys.exit(f"TORN: {torn}")
    each = ", ".join(f"{node} {sum(n == node for n, _ in kills)}" for node in toy.NODES)
    disks = f"{len(full)} times a full disk" if root else "no full disk, for only root may mount one"
    print(f"{len(kills)} kills ({each}), {disks}, in {time.monotonic() - begun:,.0f} s:")
    print("nothing torn, nothing left over, the same bytes and the same weights as the unbroken run")


if __name__ == "__main__":
    main()
