"""Cache lookup: finds a complete execution with the same cache key, and explains why there is none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from bitext.components.artifacts import Artifact
from bitext.pipeline.cache_keys import differences
from bitext.pipeline.plan import Work
from bitext.pipeline.records import Artifacts, Execution, History, State, with_key
from bitext.pipeline.sources import Node

ComponentArtifact = Artifact | tuple[Artifact, ...] | None
"""An input or output as a component takes it."""


@dataclasses.dataclass(frozen=True)
class Lookup:
    """The result of a cache lookup.

    Attributes:
      hit: the execution whose outputs are used; None: the work must be done.
      reasons: why, one line each.
    """

    hit: Execution | None
    reasons: list[str]


def look_up(work: Work, history: History, forced: str) -> Lookup:
    """Finds a complete execution with the cache key of `work` whose outputs can be used.

    Args:
      work: the work.
      history: see `History`.
      forced: why the work is done even if it is cached; empty: it is done only if it is not.
    """
    if forced:
        return Lookup(None, [forced])
    component = work.node.component
    complete = [
        execution
        for execution in with_key(history, component.name, work.cache_key)
        if set(component.outputs) <= set(execution.outputs)
    ]
    hit = next((execution for execution in complete if not execution.missing_outputs()), None)
    if hit is None and complete:
        return Lookup(None, [f"{path} is gone" for path in complete[0].missing_outputs()])
    if hit is None:
        return Lookup(None, _why_no_hit(work, history))
    if not component.still_valid(**component_artifacts(work.node, hit.outputs)):
        return Lookup(None, ["what its outputs describe outside the pipeline root has changed"])
    return Lookup(hit, [f"nothing changed since run {hit.run_id}"])


def _why_no_hit(work: Work, history: History) -> list[str]:
    """Compares the key with that of the newest complete execution of the same work."""
    for execution in history:
        if (execution.node, execution.part) != (work.node.name, work.recorded_part):
            continue
        if execution.state == State.COMPLETE and execution.cache_key_parts:
            return differences(json.loads(execution.cache_key_parts), work.key_parts)
    return ["it has never completed before"]


def component_artifacts(node: Node, stored: Artifacts) -> dict[str, ComponentArtifact]:
    """Converts records to artifacts: tuples for list inputs, None for absent inputs.

    Raises:
      ValueError: an input that is no list input has several artifacts.
    """
    component = node.component
    kinds = {**component.inputs, **component.outputs}
    converted: dict[str, ComponentArtifact] = {}
    for key, records in stored.items():
        artifacts = tuple(
            kinds[key](Path(r.uri), dict(r.properties), component.input_splits.get(key), r.digest or None)
            for r in records
        )
        if key in component.list_inputs:
            converted[key] = artifacts
        elif len(artifacts) <= 1:
            converted[key] = next(iter(artifacts), None)
        else:
            raise ValueError(f"{component.name} takes one artifact as {key}, and has {len(artifacts)}")
    return converted
