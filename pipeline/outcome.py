"""What a run came to, as the metadata has it: for those who were not there to watch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.records import Execution, Run, Scalar, State, pushed_artifact
from bitext.pipeline.store import Store


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What is on record when a run ends.

    Attributes:
      run: the run.
      executions: its (whole) executions, in order.
      newest: whether no later run of the pipeline is on record.
      last_success: when the newest complete run ended, in seconds since the epoch; 0: there is none.
      served: the version that was last pushed_artifact, by whatever run; None: there is none.
    """

    run: Run
    executions: tuple[Execution, ...]
    newest: bool
    last_success: float
    served: Scalar | None

    def nodes(self) -> dict[str, list[Execution]]:
        """The executions of each node, in order."""
        found: dict[str, list[Execution]] = {}
        for execution in self.executions:
            found.setdefault(execution.node, []).append(execution)
        return found

    def values(self, kind: str, name: str, beside: str | None = None) -> list[Scalar]:
        """What the run's artifacts of a kind say in the property `name`, those that say anything, in order.

        Args:
          kind: the artifacts' type.
          name: of the property.
          beside: only of executions that have an output of this kind as well.
        """
        made = [list(execution.all_outputs()) for execution in self.executions]
        return [
            artifact.properties[name]
            for artifacts in made
            if beside is None or any(artifact.type == beside for artifact in artifacts)
            for artifact in artifacts
            if artifact.type == kind and name in artifact.properties
        ]

    def total(self, kind: str, name: str, beside: str | None = None) -> float | None:
        """The sum of `values`; None where there are none."""
        found = self.values(kind, name, beside)
        return sum(map(float, found)) if found else None

    def last(self, kind: str, name: str) -> Scalar | None:
        """The last of `values`."""
        return next(reversed(self.values(kind, name)), None)

    @property
    def blessed(self) -> bool | None:
        """Whether all who judged the model blessed it; None: nobody judged."""
        verdicts = [*self.values("ModelBlessing", "blessed"), *self.values("InfraBlessing", "blessed")]
        return all(verdicts) if verdicts else None


def collect(config: PipelineConfig, run_id: str) -> Outcome | None:
    """What the metadata has of a run of the pipeline; None: nothing.

    Raises:
      ConfigError, EnvironmentFault, OSError: the store cannot be read.
    """
    store = Store(config.metadata, Path(config.root), config.name)
    runs, executions = store.runs(), store.executions()
    ours = next((run for run in runs if run.run_id == run_id), None)
    if ours is None:
        return None
    last_push = next(filter(None, map(pushed_artifact, executions)), None)
    return Outcome(
        run=ours,
        executions=tuple(e for e in reversed(executions) if e.run_id == run_id and not e.part),
        newest=runs[0].run_id == run_id,
        last_success=next((run.finished for run in runs if run.state == State.COMPLETE), 0.0),
        served=last_push.properties["version"] if last_push else None,
    )
