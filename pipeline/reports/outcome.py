"""The outcome of a run, read from the metadata store after the run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bitext.components.artifacts import InfraBlessing, ModelBlessing, PushedModel
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.records import Execution, Run, Scalar, State, pushed_artifact, pushed_folder
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The record of a run at its end.

    Attributes:
      run: the run.
      executions: the executions of its nodes, in order, without those of parts.
      newest: whether no later run of the pipeline is recorded.
      last_success: when the newest complete run ended, in seconds since the epoch; 0: there is none.
      served: the version that was pushed last, by any run; None: no version was pushed.
      pushed_path: the folder of the version that the run pushed, or found pushed; None: there is none.
    """

    run: Run
    executions: tuple[Execution, ...]
    newest: bool
    last_success: float
    served: Scalar | None
    pushed_path: str | None

    def nodes(self) -> dict[str, list[Execution]]:
        """The executions of each node, in order."""
        nodes: dict[str, list[Execution]] = {}
        for execution in self.executions:
            nodes.setdefault(execution.node, []).append(execution)
        return nodes

    def values(self, kind: str, name: str, beside: str | None = None) -> list[Scalar]:
        """The property `name` of the run's artifacts of a kind, in order, for those that have it.

        Those of teachers are left out.

        Args:
          kind: the artifacts' type.
          name: the property's name.
          beside: only from executions that also have an output of this kind.
        """
        outputs = [list(e.all_outputs()) for e in self.executions if not e.is_of_teacher]
        return [
            artifact.properties[name]
            for artifacts in outputs
            if beside is None or any(artifact.type == beside for artifact in artifacts)
            for artifact in artifacts
            if artifact.type == kind and name in artifact.properties
        ]

    def total(self, kind: str, name: str, beside: str | None = None) -> float | None:
        """The sum of `values`; None if there are none."""
        values = self.values(kind, name, beside)
        return sum(map(float, values)) if values else None

    def last(self, kind: str, name: str) -> Scalar | None:
        """The last of `values`; None if there are none."""
        return next(reversed(self.values(kind, name)), None)

    @property
    def blessed(self) -> bool | None:
        """Whether all verdicts bless the model; None: there is no verdict."""
        verdicts = [
            value
            for kind in (ModelBlessing, InfraBlessing)
            for value in self.values(kind.TYPE_NAME, kind.BLESSED_PROPERTY)
        ]
        return all(verdicts) if verdicts else None


def collect(config: PipelineConfig, run_id: str) -> Outcome | None:
    """Returns what the metadata store has of a run; None: nothing.

    Raises:
      BitextError, OSError: the store cannot be read.
    """
    if not store_exists(config.metadata, Path(config.work_folder)):
        return None
    store = Store(config.metadata, Path(config.work_folder), config.name)
    runs, history = store.runs(), store.executions()
    run = next((run for run in runs if run.run_id == run_id), None)
    if run is None:
        return None
    last_push = next(filter(None, map(pushed_artifact, history)), None)
    executions = tuple(e for e in reversed(history) if e.run_id == run_id and not e.part)
    pushes = [a for e in executions for a in e.all_outputs() if a.type == PushedModel.TYPE_NAME]
    pushed = pushed_folder(pushes[-1], config.serving) if pushes else None
    return Outcome(
        run=run,
        executions=executions,
        newest=runs[0].run_id == run_id,
        last_success=next((r.finished for r in runs if r.state == State.COMPLETE and not r.is_tuning), 0.0),
        served=last_push.properties["version"] if last_push else None,
        pushed_path=str(pushed) if pushed is not None else None,
    )
