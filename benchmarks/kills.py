"""Kills `bitext run` (SIGKILL) at random moments of every component, fills its disk, and checks the results.

    python -m benchmarks.kills [--kills 54] [--seed 0] [--folder FOLDER]

The pipeline runs on a small generated corpus in three daily spans: once without a kill, then with a kill at a
random moment of each component in turn, until every component was killed once and the pipeline is complete;
then it starts anew. After each kill, everything published must be whole. When a pipeline is complete, nothing
may be left over, and the outputs must equal those of the run without a kill: the same bytes of the
deterministic components, the same weights of the model. Then the same on a disk that is too small and grows;
only root can mount a disk, so other users skip this.
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
# ML Metadata may report only that SQLite could not write the transaction.
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
"""Sizes of the disk in KB; the first are too small."""


class InconsistentError(Exception):
    """Something incomplete is visible or left over, or differs from the run without a kill."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One pipeline and its root, from the first run until it is complete."""

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
        """Returns the configuration as the command reads it."""
        return load(self.folder / "toy.yaml", [f"root={self.root}", f"serving={self.folder}/serving/toy"])

    def history(self) -> list[Execution]:
        """Returns every recorded execution, newest first."""
        config = self.config()
        store = Store(config.metadata, self.root, config.name)
        store.delete_orphans()  # as at the beginning of a run
        return store.executions()

    def run(self) -> tuple[int, str]:
        """Runs to the end. Returns exit code and output."""
        process = start(self.folder, "run", "toy.yaml")
        printed, _ = process.communicate()
        return process.returncode, printed

    def kill(self, node: str, delay: float) -> bool:
        """Runs and kills the run some seconds after `node` began. Returns whether it was still alive."""
        alive, _ = kill(start(self.folder, "run", "toy.yaml"), node, delay)
        return alive

    def check_whole(self) -> None:
        """Checks that everything recorded as complete, or visible to a server, is whole."""
        if store_exists(self.config().metadata, self.root):
            for artifact in altered(self.history()):
                raise InconsistentError(f"{artifact.uri} differs from its record")
        for version in (self.folder / "serving" / "toy").glob("[0-9]*"):
            for name in ("saved_model.pb", "assets.extra/bitext.json"):
                if not (version / name).is_file():
                    raise InconsistentError(f"{version} is visible and has no {name}")

    def check_complete(self, reference: Line | None) -> None:
        """Checks that a further run does nothing, nothing is left over, and the outputs are right."""
        code, printed = self.run()
        if code or printed.count(" cached\n") != len(toy.NODES):
            raise InconsistentError(
                f"a run of a complete pipeline did something, or ended with {code}:\n{printed}"
            )
        leftovers = [
            path for name in (".staging", ".working", ".unrecorded") if (path := self.root / name).exists()
        ]
        leftovers += (self.folder / "serving" / "toy").glob(".*")
        leftovers += [
            folder
            for node in toy.NODES
            for folder in (self.root / node).glob("*/*")
            if str(folder) not in self._recorded()
        ]
        if leftovers:
            raise InconsistentError(f"left over: {', '.join(map(str, leftovers))}")
        versions = [path.name for path in (self.folder / "serving" / "toy").iterdir()]
        if versions != ["1"]:
            raise InconsistentError(f"pushed versions: {versions}")
        if states := {e.state for e in self.history()} & {State.RUNNING}:
            raise InconsistentError(f"executions are recorded as {states}")
        if reference is not None and (self.outputs() != reference.outputs()):
            raise InconsistentError(f"outputs differ: {self.outputs()}\n{reference.outputs()}")

    def _recorded(self) -> set[str]:
        return {a.uri for e in self.history() if e.state == State.COMPLETE for a in e.all_outputs()}

    def outputs(self) -> dict[str, list[str]]:
        """Returns the digests of the deterministic components' outputs, and of the weights."""
        history = self.history()
        digests = {}
        for node in DETERMINISTIC:
            newest = newest_usable(history, node)
            assert newest is not None
            digests[node] = [artifact.digest for artifact in newest.all_outputs()]
        trained = newest_usable(history, "Trainer")
        assert trained is not None
        weights = Path(trained.outputs["model"][0].uri) / "checkpoint" / "weights.npz"
        return digests | {"weights": [file_digest(weights)]}


def durations(line: Line) -> dict[str, float]:
    """Returns the seconds of each node in the first run."""
    config = line.config()
    first = Store(config.metadata, line.root, config.name).runs()[-1].run_id
    whole = [e for e in line.history() if e.run_id == first and not e.part]
    return {
        node.name: sum(e.seconds for e in whole if e.node == node.name)
        for node in create_pipeline(config).nodes
    }


def kill_lines(
    folder: Path, reference: Line, kills: int, generator: random.Random
) -> list[tuple[str, float]]:
    """Kills runs until there were this many kills. Returns node and seconds of each."""
    seconds = durations(reference)
    done: list[tuple[str, float]] = []
    number = 0
    while len(done) < kills:
        number += 1
        line = Line(folder / f"killed-{number}")
        for node in toy.NODES:
            delay = generator.uniform(0.0, 1.1 * seconds[node])
            if len(done) < kills and line.kill(node, delay):
                done.append((node, delay))
                print(f"kill {len(done):>3}: {node}, {delay:.1f} s after it began", flush=True)
            line.check_whole()
        code, printed = line.run()
        if code:
            raise InconsistentError(f"the run after the kills ended with {code}:\n{printed}")
        line.check_complete(reference)
        shutil.rmtree(line.folder)
    return done


def full_disks(folder: Path, reference: Line) -> list[tuple[int, str]]:
    """Runs on a disk that grows until the pipeline is complete. Returns KB and node of each full disk."""
    disk = folder / "disk"
    disk.mkdir()
    full: list[tuple[int, str]] = []
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISKS[0]}k", "tmpfs", str(disk)], check=True)
    try:
        line = Line(disk / "line")
        for size in DISKS:
            subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
            if full:  # opening the store needs space
                line.check_whole()
            code, printed = line.run()
            if code == 0:
                line.check_complete(reference)
                return full
            if code != DISK_FULL or not any(words in printed for words in FULL):
                raise InconsistentError(f"on a disk of {size} KB the run ended with {code}:\n{printed}")
            started_nodes = [
                word for words in printed.splitlines() if (word := words.partition(" ")[0]) in toy.NODES
            ]
            full.append((size, started_nodes[-1] if started_nodes else "the store"))
            print(f"a disk of {size} KB was full in {full[-1][1]}", flush=True)
        raise InconsistentError(f"a disk of {DISKS[-1]} KB is too small")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def main() -> None:
    """Runs all checks and exits with 1 if one fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=54)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="working folder (default: a temporary folder)")
    options = parser.parse_args()
    start_time = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        reference = Line(folder / "reference")
        code, printed = reference.run()
        if code:
            sys.exit(f"the run without a kill ended with {code}:\n{printed}")
        reference.check_complete(None)
        try:
            kills = kill_lines(folder, reference, options.kills, random.Random(options.seed))
            root = os.geteuid() == 0
            full = full_disks(folder, reference) if root else []
        except InconsistentError as error:
            sys.exit(f"TORN: {error}")
    by_node = ", ".join(f"{node} {sum(n == node for n, _ in kills)}" for node in toy.NODES)
    disks = f"{len(full)} times a full disk" if root else "no full disk: only root can mount one"
    print(f"{len(kills)} kills ({by_node}), {disks}, in {time.monotonic() - start_time:,.0f} s:")
    print("everything published is whole, nothing is left over, bytes and weights equal the reference run's")


if __name__ == "__main__":
    main()
