"""Cache lookup: finds a complete execution with the same cache key, and explains why there is none."""

from __future__ import annotations

import dataclasses

from bitext.components.artifacts import Artifact
from bitext.pipeline.cache_keys import differences
from bitext.pipeline.input_copies import PathOf
from bitext.pipeline.plan import WorkItem
from bitext.pipeline.records import Artifacts, Execution, History, State, with_key
from bitext.pipeline.sources import Node

ComponentArtifact = Artifact | tuple[Artifact, ...] | None
"""An input or output as a component takes it."""


@dataclasses.dataclass(frozen=True)
class Lookup:
    """The result of a cache lookup.

    Attributes:
      hit: the execution whose outputs are used; None: the work item must be executed.
      reasons: why there is a hit or none, one line each.
    """

    hit: Execution | None
    reasons: list[str]


def look_up(item: WorkItem, history: History, forced: str) -> Lookup:
    """Finds a complete execution with the cache key of a work item whose outputs can be used.

    Args:
      item: the work item.
      history: see `History`.
      forced: why the work item is executed even if it is cached; empty: the cache decides.
    """
    if forced:
        return Lookup(None, [forced])
    component = item.node.component
    complete = [
        execution
        for execution in with_key(history, item.node.name, item.cache_key)
        if set(component.outputs) <= set(execution.outputs)
    ]
    hit = next((execution for execution in complete if not execution.missing_outputs()), None)
    if hit is None and complete:
        return Lookup(None, [f"{path} is gone" for path in complete[0].missing_outputs()])
    if hit is None:
        return Lookup(None, _why_no_hit(item, history))
    if not component.still_valid(item.parameters, **component_artifacts(item.node, hit.outputs)):
        return Lookup(
            None, ["files outside the pipeline root that belong to its outputs were changed or removed"]
        )
    return Lookup(hit, [f"nothing changed since run {hit.run_id}"])


def _why_no_hit(item: WorkItem, history: History) -> list[str]:
    """Compares the key with that of the newest complete execution of the same node and part."""
    for execution in history:
        if (execution.node, execution.part) != (item.node.name, item.recorded_part):
            continue
        if execution.state == State.COMPLETE and execution.cache_key_parts:
            return differences(execution.key_values(), item.key_parts)
    return ["it has never completed before"]


def component_artifacts(
    node: Node, stored: Artifacts, path_of: PathOf = lambda _, __, artifact: artifact.path
) -> dict[str, ComponentArtifact]:
    """Converts records to artifacts: tuples for list inputs, None for absent inputs.

    Args:
      node: the node.
      stored: the records by keyword.
      path_of: returns the folder that the component gets of an artifact.

    Raises:
      ValueError: an input has several artifacts and is not a list input.
    """
    component = node.component
    kinds = {**component.inputs, **component.outputs}
    converted: dict[str, ComponentArtifact] = {}
    for key, records in stored.items():
        artifacts = tuple(
            kinds[key](
                path_of(component, key, record),
                dict(record.properties),
                component.input_splits.get(key),
                record.digest or None,
                record.path,
            )
            for record in records
        )
        if key in component.list_inputs:
            converted[key] = artifacts
        elif len(artifacts) <= 1:
            converted[key] = next(iter(artifacts), None)
        else:
            raise ValueError(f"{node.name} takes one artifact as {key}, and has {len(artifacts)}")
    return converted
