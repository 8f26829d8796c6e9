"""Kills `bitext run` (SIGKILL) at random moments of every component, fills its disk, and checks the results.

    python -m benchmarks.kills [--kills 54] [--seed 0] [--folder FOLDER]

The pipeline runs on a small generated corpus in three daily spans, first without a kill (the reference). Then
new pipelines run in turn: each component is killed once at a random moment, and a last run completes the
pipeline. After each kill, all published files must be complete. When a pipeline is complete, no temporary
files may be left, and its outputs must equal those of the reference: the same bytes of the deterministic
components, the same weights of the model. At the end, a pipeline runs on a disk that is too small and grows.
Only root can mount a disk, so other users skip this check.
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
from tests.pipeline.store_contract import altered_outputs

DETERMINISTIC = ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform")
SPANS = 3
DISK_FULL = 6
DISK_FULL_MESSAGES = ("No space left on device", "disk is full", "its disk not full")
"""Messages of a full disk. The last is a remedy: ML Metadata may report only that SQLite could not write."""
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
"""Sizes of the disk in KB. The first sizes are too small."""


class InconsistentError(Exception):
    """Published files are incomplete, temporary files are left, or outputs differ from the reference."""


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """A pipeline on the toy corpus, in its own folder."""

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
        store.delete_orphans()  # as a run does at its start
        return store.executions()

    def run(self) -> tuple[int, str]:
        """Runs the pipeline to the end. Returns exit code and output."""
        process = start(self.folder, "run", "toy.yaml")
        printed, _ = process.communicate()
        return process.returncode, printed

    def kill(self, node: str, delay: float) -> bool:
        """Kills a run `delay` seconds after `node` began. Returns whether it was still alive."""
        alive, _ = kill(start(self.folder, "run", "toy.yaml"), node, delay)
        return alive

    def check_published(self) -> None:
        """Checks that recorded artifacts are unchanged and pushed versions complete."""
        if store_exists(self.config().metadata, self.root):
            for artifact in altered_outputs(self.history()):
                raise InconsistentError(f"{artifact.uri} differs from its record")
        for version in (self.folder / "serving" / "toy").glob("[0-9]*"):
            for name in ("saved_model.pb", "assets.extra/bitext.json"):
                if not (version / name).is_file():
                    raise InconsistentError(f"{version} is visible to a server and has no {name}")

    def check_complete(self, reference: Pipeline | None) -> None:
        """Checks that a further run is cached, no temporary files are left, and outputs are right."""
        code, printed = self.run()
        if code or printed.count(" cached\n") != len(toy.NODES):
            raise InconsistentError(
                f"a run of a complete pipeline was not cached, or ended with {code}:\n{printed}"
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
            raise InconsistentError(f"temporary files are left: {', '.join(map(str, leftovers))}")
        versions = [path.name for path in (self.folder / "serving" / "toy").iterdir()]
        if versions != ["1"]:
            raise InconsistentError(f"pushed versions: {versions}")
        if states := {e.state for e in self.history()} & {State.RUNNING}:
            raise InconsistentError(f"executions of finished runs are recorded as {states}")
        if reference is not None and (self.outputs() != reference.outputs()):
            raise InconsistentError(f"outputs differ: {self.outputs()}\n{reference.outputs()}")

    def _recorded(self) -> set[str]:
        return {a.uri for e in self.history() if e.state == State.COMPLETE for a in e.all_outputs()}

    def outputs(self) -> dict[str, list[str]]:
        """Returns the digests of the outputs of deterministic components, and of the weights."""
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


def durations(pipeline: Pipeline) -> dict[str, float]:
    """Returns the seconds of each node in the first run."""
    config = pipeline.config()
    first = Store(config.metadata, pipeline.root, config.name).runs()[-1].run_id
    executions = [e for e in pipeline.history() if e.run_id == first and not e.part]
    return {
        node.name: sum(e.seconds for e in executions if e.node == node.name)
        for node in create_pipeline(config).nodes
    }


def kill_pipelines(
    folder: Path, reference: Pipeline, kills: int, generator: random.Random
) -> list[tuple[str, float]]:
    """Makes this many kills in one pipeline after another. Returns node and delay in seconds of each kill."""
    seconds = durations(reference)
    killed: list[tuple[str, float]] = []
    number = 0
    while len(killed) < kills:
        number += 1
        pipeline = Pipeline(folder / f"killed-{number}")
        for node in toy.NODES:
            delay = generator.uniform(0.0, 1.1 * seconds[node])
            if len(killed) < kills and pipeline.kill(node, delay):
                killed.append((node, delay))
                print(f"kill {len(killed):>3}: {node}, {delay:.1f} s after it began", flush=True)
            pipeline.check_published()
        code, printed = pipeline.run()
        if code:
            raise InconsistentError(f"the run after the kills ended with {code}:\n{printed}")
        pipeline.check_complete(reference)
        shutil.rmtree(pipeline.folder)
    return killed


def fill_disks(folder: Path, reference: Pipeline) -> list[tuple[int, str]]:
    """Runs a pipeline on a growing disk until it is complete. Returns KB and node of each full disk."""
    disk = folder / "disk"
    disk.mkdir()
    full_disks: list[tuple[int, str]] = []
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISKS[0]}k", "tmpfs", str(disk)], check=True)
    try:
        pipeline = Pipeline(disk / "pipeline")
        for size in DISKS:
            subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
            if full_disks:  # not on the smallest disk: opening the store needs space
                pipeline.check_published()
            code, printed = pipeline.run()
            if code == 0:
                pipeline.check_complete(reference)
                return full_disks
            if code != DISK_FULL or not any(message in printed for message in DISK_FULL_MESSAGES):
                raise InconsistentError(f"on a disk of {size} KB the run ended with {code}:\n{printed}")
            first_words = [line.partition(" ")[0] for line in printed.splitlines()]
            started_nodes = [word for word in first_words if word in toy.NODES]
            full_disks.append((size, started_nodes[-1] if started_nodes else "the store"))
            print(f"a disk of {size} KB was full in {full_disks[-1][1]}", flush=True)
        raise InconsistentError(f"a disk of {DISKS[-1]} KB is too small")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def main() -> None:
    """Runs all checks and exits with 1 if one fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=54, help="number of kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="working folder (default: a temporary folder)")
    options = parser.parse_args()
    start_time = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        reference = Pipeline(folder / "reference")
        code, printed = reference.run()
        if code:
            sys.exit(f"the run without a kill ended with {code}:\n{printed}")
        reference.check_complete(None)
        try:
            kills = kill_pipelines(folder, reference, options.kills, random.Random(options.seed))
            is_root = os.geteuid() == 0
            disks = fill_disks(folder, reference) if is_root else []
        except InconsistentError as error:
            sys.exit(f"inconsistent: {error}")
    by_node = ", ".join(f"{node} {sum(n == node for n, _ in kills)}" for node in toy.NODES)
    full = f"{len(disks)} full disks" if is_root else "no full disk: only root can mount one"
    print(f"{len(kills)} kills ({by_node}), {full}, in {time.monotonic() - start_time:,.0f} s:")
    print(
        "published files are complete, no temporary files are left, bytes and weights equal the reference's"
    )


if __name__ == "__main__":
    main()
