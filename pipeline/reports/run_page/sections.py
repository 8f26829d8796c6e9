"""The sections of the Reporter, as the page of a run shows them.

If the run has a report, they are read from it. Otherwise, they are made from the artifacts that there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from bitext.components.artifacts import (
    Artifact,
    ExampleAnomalies,
    ExampleStatistics,
    ModelEvaluation,
    ModelRun,
    Rejects,
    Report,
    TransformGraph,
)
from bitext.components.artifacts.page import Section, Text
from bitext.components.reporter import Inputs, Reporter
from bitext.components.reporter.sections import SECTIONS
from bitext.components.shared.errors import BitextError
from bitext.pipeline.graph import create_pipeline
from bitext.pipeline.lookup import component_artifacts
from bitext.pipeline.records import ROLLBACK, Artifacts, State
from bitext.pipeline.reports.run_page.record import RunRecord
from bitext.pipeline.sources import Inputs as NodeInputs
from bitext.pipeline.sources import Node, Output, PreviousOutput

SUBJECTS: dict[str, tuple[type[Artifact], ...]] = {
    "Data": (Rejects, ExampleStatistics, ExampleAnomalies),
    "Vocabulary": (TransformGraph,),
    "Training": (ModelRun,),
    "Evaluation": (ModelEvaluation,),
}
"""The kinds of artifacts that each section of the Reporter is about."""


def sections(record: RunRecord, only_new: bool = False) -> list[Section]:
    """Returns the sections about data, training and evaluation. It raises nothing for damaged artifacts.

    Args:
      record: the record of the run.
      only_new: without a report of the run, make only sections of outputs that the run made itself. A
        scheduler that runs each node on its own would otherwise wait for all sections after every node.
    """
    for artifact in record.outputs(Report.TYPE_NAME):
        try:
            return Report(artifact.path).sections()
        except (BitextError, OSError):
            break
    return list(_made_here(record, only_new))


def _made_here(record: RunRecord, only_new: bool) -> Iterator[Section]:
    """Yields the sections, made from the artifacts of the run; or why one is missing."""
    node = next((n for n in create_pipeline(record.config).nodes if n.name == Reporter.__name__), None)
    if node is None or set(record.nodes) == {ROLLBACK}:
        return
    inputs, collected = _inputs(record, node)
    for title, make in SECTIONS.items():
        id_ = title.lower()
        if only_new and not _is_new(record, title):
            text = f"An earlier run made these outputs. `bitext report --run {record.run.run_id}` adds them."
            yield Section(id=id_, title=title, blocks=(Text(text=text),))
            continue
        try:
            made = make(inputs)
        except (BitextError, OSError) as error:
            text = f"This section cannot be made: {error}"
            yield Section(id=id_, title=title, blocks=(Text(text=text, tone="warning"),))
            continue
        if made is None:
            reason = "bitext gc removed the outputs." if collected else _why_absent(record)
            made = Section(id=id_, title=title, blocks=(Text(text=f"There is nothing to show: {reason}"),))
        yield from (made,) if isinstance(made, Section) else made


def _is_new(record: RunRecord, title: str) -> bool:
    """Whether the run made the outputs of a section's subject itself, or they do not exist."""
    names = {kind.TYPE_NAME for kind in SUBJECTS[title]}
    executions = (e for e in record.nodes.values() if not e.is_of_teacher)
    states = [e.state for e in executions for a in e.all_outputs() if a.type in names]
    return not states or State.COMPLETE in states


def _why_absent(record: RunRecord) -> str:
    stopped = record.failed()
    if stopped is None:
        last = next(reversed(record.nodes), None)
        return f"the run ended after {last}." if last else "the run executed no node."
    how = {
        "failed": "failed",
        "interrupted": "was interrupted",
        "killed": "was killed",
        "running": "is still",
        "killed or running": "was killed, or still is,",
    }
    return f"the run {how[record.state_of(stopped)]} in {stopped.node}."


def _inputs(record: RunRecord, node: Node) -> tuple[Inputs, bool]:
    """The Reporter's inputs, as far as the run has them, and whether some of them were removed."""
    stored: Artifacts = {}
    for key, source in node.inputs.items():
        if isinstance(source, Output) and source.node in record.nodes:
            stored[key] = record.nodes[source.node].outputs.get(source.key, ())
    resolver = NodeInputs(_only(node, stored), record.nodes, _before(record))
    for key, source in node.inputs.items():
        if isinstance(source, PreviousOutput) and stored.get(source.other_than):
            stored[key] = source.resolve(resolver)
    collected = any(not artifact.exists for of_key in stored.values() for artifact in of_key)
    existing = {key: tuple(a for a in of_key if a.exists) for key, of_key in stored.items()}
    values: dict[str, Any] = {
        key: value for key, value in component_artifacts(node, existing).items() if value is not None
    }
    if (rejects := record.kept_rejects()) is not None and not values.get("rejects"):
        values["rejects"] = (rejects,)
    if (anomalies := record.kept_anomalies()) is not None and "anomalies" not in values:
        values["anomalies"] = anomalies
    return Inputs(**values, is_partial=True), collected


def _only(node: Node, stored: Artifacts) -> Node:
    """The node with only those inputs that the run has."""
    return dataclasses.replace(node, inputs={key: node.inputs[key] for key in stored})


def _before(record: RunRecord) -> list[Any]:
    """The executions of earlier runs, newest first."""
    return [execution for execution in record.history if execution.run_id != record.run.run_id]
