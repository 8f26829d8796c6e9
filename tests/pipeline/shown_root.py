"""A pipeline root whose artifacts a test writes and records."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from bitext.components.artifacts import Artifact
from bitext.pipeline.config import load
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import Execution, Run, State, StoredArtifact
from bitext.pipeline.store import Store

A = TypeVar("A", bound=Artifact)


class Root:
    """A pipeline root in a folder, which has the configuration `toy.yaml`."""

    def __init__(self, folder: Path):
        (folder / "toy.yaml").write_text("name: toy\nexample_gen: {files: [a.tsv]}\n", encoding="utf-8")
        self.layout = Layout(folder / "runs" / "toy")
        self.store = Store(load(folder / "toy.yaml").metadata, self.layout.root, "toy")
        self._artifacts = 0

    def add_run(self, run_id: str, state: State = State.COMPLETE) -> Run:
        """Records a run."""
        run = Run(run_id, "toy", str(self.layout.root), state, 1.0, 2.0, nodes="ExampleGen, Trainer")
        self.store.put_run(run)
        return run

    def new(self, kind: type[A], **properties: int | str) -> A:
        """Returns an artifact of a kind with an empty folder."""
        self._artifacts += 1
        path = self.layout.root / kind.NODE / kind.TYPE_NAME.lower() / str(self._artifacts)
        path.mkdir(parents=True)
        return kind(path, dict(properties))

    def record(self, run: Run, *artifacts: Artifact, node: str = "", state: State = State.COMPLETE) -> None:
        """Records artifacts, whose files are written, as the output of a node."""
        stored = tuple(StoredArtifact(a.TYPE_NAME, str(a.path), "d", dict(a.properties)) for a in artifacts)
        self.store.put_execution(
            Execution(node or artifacts[0].NODE, run.run_id, state, 1.0, 2.0, outputs={"output": stored}), run
        )
