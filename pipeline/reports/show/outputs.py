"""Finds the artifacts of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from bitext.components.artifacts import Artifact
from bitext.components.shared.errors import DataError
from bitext.pipeline.completion import complete_interrupted
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.records import Execution, Run, State, StoredArtifact
from bitext.pipeline.reports.selection import named_run
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists

A = TypeVar("A", bound=Artifact)
_ENDED = (State.COMPLETE, State.CACHED)


@dataclasses.dataclass(frozen=True)
class Outputs(Generic[A]):
    """The artifacts of one kind that a run made, or took from an earlier one.

    Attributes:
      run: the run.
      artifacts: its artifacts, in the order of the nodes and of the spans; at least one.
    """

    run: Run
    artifacts: tuple[A, ...]


def outputs_of(
    config: PipelineConfig,
    kind: type[A],
    run_id: str | None = None,
    wanted: Callable[[Execution], bool] = lambda _: True,
) -> Outputs[A]:
    """Returns the artifacts of one kind that a run has, without those of teachers.

    Args:
      config: the configuration.
      kind: the kind of artifact.
      run_id: the run (see `selection.named_run`); None: the newest that has any.
      wanted: chooses executions.

    Raises:
      ConfigError: there is no such run.
      DataError: the run has no such artifact, or no run has one, or its folder was removed.
    """
    root = Path(config.work_folder)
    runs: list[Run] = []
    history: list[Execution] = []
    if store_exists(config.metadata, root):
        complete_interrupted(config)
        store = Store(config.metadata, root, config.name)
        runs, history = store.runs(), list(store.executions())
    if run_id is not None:
        runs = [named_run(run_id, runs, history, config.name)]
        run_id = runs[0].run_id
    for run in runs:
        executions = [e for e in history if e.run_id == run.run_id and not e.part and e.state in _ENDED]
        stored = [
            artifact
            for execution in sorted(executions, key=lambda e: e.id or 0)
            if wanted(execution) and not execution.is_of_teacher
            for artifact in execution.all_outputs()
            if artifact.type == kind.TYPE_NAME
        ]
        if stored:
            return Outputs(run, tuple(_existing(artifact, kind, run) for artifact in stored))
    if run_id is not None:
        raise DataError(
            f"run {run_id} has no {kind.TYPE_NAME}: {_why(history, run_id, kind.NODE)}",
            "leave --run out: the newest run that has one is shown",
        )
    raise DataError(
        f"no run of the pipeline {config.name!r} in {root} has the output {kind.TYPE_NAME}",
        "bitext run CONFIG",
    )


def _why(history: Sequence[Execution], run_id: str, node: str) -> str:
    """Why a run has no output of a node."""
    states = [
        e.state for e in sorted(history, key=lambda e: e.id or 0) if (e.run_id, e.node) == (run_id, node)
    ]
    if not states:
        return f"it did not reach the node {node}"
    words = {State.RUNNING: "has not ended", State.FAILED: "failed", State.CANCELED: "was interrupted"}
    return f"its node {node} {words.get(states[-1], 'made none')}"


def _existing(artifact: StoredArtifact, kind: type[A], run: Run) -> A:
    """Returns the artifact of a record.

    Raises:
      DataError: its folder was removed.
    """
    if artifact.deleted or not artifact.exists:
        raise DataError(
            f"{kind.TYPE_NAME} {artifact.uri} of run {run.run_id} is gone"
            + (": `bitext gc` removed it" if artifact.deleted else ""),
            f"make it again: bitext run CONFIG --force {kind.NODE}",
        )
    return kind(artifact.path, dict(artifact.properties))
