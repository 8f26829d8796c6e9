"""Finds the nodes that each trial executes, and those that are executed once for all trials."""

from __future__ import annotations

from collections.abc import Iterator

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.graph import Pipeline, create_pipeline
from bitext.pipeline.sources import Node, Output, Outputs, Source
from bitext.pipeline.tuning.space import SECTIONS, Base, Space

TRAINER = "Trainer"


def outputs_in(source: Source) -> tuple[Output, ...]:
    """Returns the outputs of this run that a source consists of."""
    if isinstance(source, Outputs):
        return source.outputs
    return (source,) if isinstance(source, Output) else ()


def of_trials(pipeline: Pipeline, base: Base, space: Space) -> tuple[str, ...]:
    """Returns the nodes that each trial executes, in order; the last one is the Trainer.

    These are the nodes whose parameters the space changes, and those that follow from them, as far as the
    Trainer needs them.

    Args:
      pipeline: the pipeline of the configuration.
      base: the configuration.
      space: what the tuning changes.
    """
    nodes = {node.name: node for node in pipeline.nodes}
    changed = {section.capitalize() for section in SECTIONS if any(_is_in(k, section) for k in space.keys)}
    for config in _variants(base, space):
        changed |= {n.name for n in create_pipeline(config).nodes if nodes[n.name].parameters != n.parameters}
    changed.add(TRAINER)
    for node in pipeline.nodes:
        if any(output.node in changed for output in _inputs(node)):
            changed.add(node.name)
    needed = _ancestors(nodes, TRAINER)
    return tuple(name for name in nodes if name in changed and name in needed)


def before_trials(pipeline: Pipeline, trial_nodes: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the nodes before the Trainer that no trial executes, in order."""
    names = [node.name for node in pipeline.nodes]
    affected = set(trial_nodes)
    for node in pipeline.nodes:
        if any(output.node in affected for output in _inputs(node)):
            affected.add(node.name)
    return tuple(name for name in names[: names.index(TRAINER)] if name not in affected)


def _is_in(key: str, section: str) -> bool:
    return key.startswith(f"{section}.")


def _variants(base: Base, space: Space) -> Iterator[PipelineConfig]:
    """Yields the configuration with random settings of the space."""
    for settings in space.samples():
        try:
            yield base.load(settings)
        except ConfigError:  # settings that exclude each other
            continue


def _inputs(node: Node) -> Iterator[Output]:
    for source in node.inputs.values():
        yield from outputs_in(source)


def _ancestors(nodes: dict[str, Node], name: str) -> set[str]:
    """A node and all that its inputs come from."""
    found, pending = set[str](), [name]
    while pending:
        current = pending.pop()
        if current not in found:
            found.add(current)
            pending += [output.node for output in _inputs(nodes[current])]
    return found
