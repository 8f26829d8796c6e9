"""Passes through the pipeline: runs that belong together, because a scheduler runs each node by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from bitext.pipeline.records import ROLLBACK, Execution, History, Run, State, StoredArtifact


@dataclasses.dataclass
class Pass:
    """A run of several nodes, or consecutive runs that continue one another; or a rollback.

    Attributes:
      runs: its runs, oldest first.
      executions: the executions of their nodes, oldest first, without those of parts.
    """

    runs: list[Run]
    executions: list[Execution]

    @property
    def last(self) -> Run:
        """Its last run."""
        return self.runs[-1]

    @property
    def is_rollback(self) -> bool:
        """Whether it is a rollback: one that was made, or one that failed after it had chosen a version."""
        return bool(self.last.version) or any(e.node == ROLLBACK for e in self.executions)

    def newest(self) -> dict[str, Execution]:
        """The last execution of each node that has outputs, new or cached."""
        return {e.node: e for e in self.executions if e.state in (State.COMPLETE, State.CACHED)}

    def ran(self) -> dict[str, list[Execution]]:
        """The executions of each node that did any work. A node is repeated after a failure."""
        executions: dict[str, list[Execution]] = {}
        for execution in self.executions:
            if execution.state != State.CACHED:
                executions.setdefault(execution.node, []).append(execution)
        return executions

    def outputs(self, type_name: str) -> list[tuple[Execution, StoredArtifact]]:
        """The last outputs of a kind, one of each part of the corpus, with their executions.

        Those of teachers are left out.
        """
        return [
            (execution, artifact)
            for execution in self.newest().values()
            for artifact in execution.all_outputs()
            if artifact.type == type_name and not execution.is_of_teacher
        ]


def passes(runs: Sequence[Run], history: History) -> list[Pass]:
    """Returns the passes, oldest first. Each run is in exactly one of them, but for runs of `bitext tune`.

    Args:
      runs: newest first, as the store has them.
      history: see `History`.
    """
    by_run: dict[str, list[Execution]] = {}
    for execution in reversed(history):
        if not execution.part:
            by_run.setdefault(execution.run_id, []).append(execution)
    found: list[Pass] = []
    for run in (run for run in reversed(runs) if not run.is_tuning):
        executions = by_run.get(run.run_id, [])
        before = next(_open_passes(found), None)
        if before is not None and _continues(run, before):
            before.runs.append(run)
            before.executions += executions
        else:
            found.append(Pass([run], executions))
    return found


def _open_passes(found: Sequence[Pass]) -> Iterator[Pass]:
    """Yields the newest pass that runs nodes: a rollback in between does not end it."""
    return (one for one in reversed(found) if not one.is_rollback)


def _continues(run: Run, before: Pass) -> bool:
    """Whether a run continues a pass: it begins after the node that was complete last, or repeats a node.

    A run of all nodes, or from a node of a finished pass on, is a pass of its own.
    """
    nodes = run.nodes.split(", ") if run.nodes else []
    last = before.last
    if run.first not in nodes or last.nodes != run.nodes or last.root_id != run.root_id:
        return False
    if last.state in (State.FAILED, State.CANCELED):
        return last.first == run.first
    complete = [nodes.index(name) for name in before.newest() if name in nodes]
    return (
        last.state == State.COMPLETE
        and max(complete, default=-1) < len(nodes) - 1
        and nodes.index(run.first) <= max(complete, default=-1) + 1
        and (not last.first or nodes.index(run.first) > nodes.index(last.first))
    )
