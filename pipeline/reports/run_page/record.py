"""What the metadata store has of one run, for its page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from bitext.components.artifacts import ExampleAnomalies, Rejects
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import Execution, History, Run, State, StoredArtifact
from bitext.pipeline.reports import running
from bitext.pipeline.reports.selection import named_run
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists

STATES = {
    State.COMPLETE: "ran",
    State.CACHED: "cached",
    State.RUNNING: "killed or running",
    State.CANCELED: "interrupted",
    State.FAILED: "failed",
}
"""The states of executions in words."""


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The record of a run.

    Attributes:
      config: the configuration of the pipeline.
      layout: the folders of the pipeline root.
      run: the run.
      nodes: by node, in order, its execution, new or cached. If its work is divided and the run ended in
        between, it has the outputs of the parts that are complete.
      history: the executions of the pipeline up to the end of this run, newest first.
      runs: all runs of the pipeline, newest first.
      progress: where the run is (see `running.collect`); None: it has ended, or it is unknown.
    """

    config: PipelineConfig
    layout: Layout
    run: Run
    nodes: dict[str, Execution]
    history: History
    runs: Sequence[Run]
    progress: dict[str, Any] | None = None

    def outputs(self, type_name: str) -> tuple[StoredArtifact, ...]:
        """The artifacts of a kind that the run made or found in the cache, without those of teachers."""
        executions = (execution for execution in self.nodes.values() if not execution.is_of_teacher)
        artifacts = (a for execution in executions for a in execution.all_outputs())
        return tuple(artifact for artifact in artifacts if artifact.type == type_name)

    def failed(self) -> Execution | None:
        """The execution that the run ended in; None: none failed."""
        states = (State.FAILED, State.CANCELED, State.RUNNING)
        return next((e for e in self.nodes.values() if e.state in states), None)

    def state_of(self, execution: Execution | Run) -> str:
        """The state of the run, or of an execution of it, in words."""
        if execution.state == State.RUNNING and self.progress is not None:
            return "running" if self.progress["alive"] else "killed"
        return STATES[execution.state]

    def makers(self) -> dict[int | None, Execution]:
        """The execution that made each artifact, by the artifact's id."""
        return {
            artifact.id: execution
            for execution in self.history
            if execution.state == State.COMPLETE and execution.cache_key_parts
            for artifact in execution.all_outputs()
        }

    def kept_rejects(self) -> Rejects | None:
        """The rejected rows that stopped the run; None: it did not stop for them."""
        rejects = Rejects(self.layout.failure(self.run.run_id, Rejects.NODE))
        return rejects if rejects.rows_file.is_file() else None

    def kept_anomalies(self) -> ExampleAnomalies | None:
        """The anomalies that stopped the run; None: it did not stop for them."""
        folder = self.layout.failure(self.run.run_id, ExampleAnomalies.NODE) / "anomalies"
        return ExampleAnomalies(folder) if folder.is_dir() else None


def load(config: PipelineConfig, run_id: str | None = None) -> RunRecord | None:
    """Returns the record of a run; None: no run is on record.

    Args:
      config: the configuration of the pipeline.
      run_id: the run (see `selection.named_run`); None: the newest that is no tuning.

    Raises:
      BitextError, OSError: the store cannot be read.
    """
    layout = Layout.of(config)
    if not store_exists(config.metadata, layout.root):
        return None
    store = Store(config.metadata, layout.root, config.name)
    runs, executions = store.runs(), store.executions()
    if not runs:
        return None
    if run_id is not None:
        runs_shown = [named_run(run_id, runs, executions, config.name)]
    else:
        runs_shown = [run for run in runs if not run.is_tuning][:1]
    if not runs_shown:
        return None
    [run] = runs_shown
    own = [e for e in executions if e.run_id == run.run_id]
    last = max((e.id or 0 for e in own), default=None)
    later = {other.run_id for other in runs if (other.id or 0) > (run.id or 0)}
    history = [e for e in executions if e.run_id not in later and (last is None or (e.id or 0) <= last)]
    progress = running.collect(run, layout)
    return RunRecord(config, layout, run, _by_node(own), history, runs, progress)


def _by_node(executions: Sequence[Execution]) -> dict[str, Execution]:
    """The last execution of each whole node, in order; that of its parts if the whole node has none."""
    nodes: dict[str, list[Execution]] = {}
    for execution in sorted(executions, key=lambda e: e.id or 0):
        nodes.setdefault(execution.node, []).append(execution)
    return {name: _whole(of_node) for name, of_node in nodes.items()}


def _whole(executions: Sequence[Execution]) -> Execution:
    """The last execution of a whole node; else the last of its parts, with the outputs of all parts."""
    whole = [execution for execution in executions if not execution.part]
    if whole and whole[-1].state != State.FAILED:
        return whole[-1]
    last, outputs = executions[-1], dict[str, tuple[StoredArtifact, ...]]()
    for execution in executions:
        for key, artifacts in execution.outputs.items():
            outputs[key] = (*outputs.get(key, ()), *artifacts)
    return dataclasses.replace(last, outputs=outputs)
