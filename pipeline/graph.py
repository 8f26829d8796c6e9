"""The pipeline: which components run, in which order, and whose output is whose input."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from components import (
    evaluator,
    example_gen,
    example_validator,
    infra_validator,
    pusher,
    schema_gen,
    statistics_gen,
    trainer,
    transform,
)
from components.component import Component, Parameters
from pipeline.config import PipelineConfig


@dataclasses.dataclass(frozen=True)
class LatestBlessedModel:
    """Stands for the newest blessed model that is not the node's own `model` input, if there is one."""


@dataclasses.dataclass(frozen=True)
class Output:
    """The output `key` of the node named `node`."""

    node: str
    key: str


@dataclasses.dataclass(frozen=True)
class Node:
    """A component at its place in the pipeline."""

    component: Component
    parameters: Parameters
    inputs: Mapping[str, Output | LatestBlessedModel] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The node's name, which is its component's."""
        return self.component.name

    def __getitem__(self, key: str) -> Output:
        """A reference to the output `key`."""
        if key not in self.component.outputs:
            raise KeyError(f"{self.name} has no output {key!r}; it has {', '.join(self.component.outputs)}")
        return Output(self.name, key)


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Nodes in an order in which every input comes before its use."""

    name: str
    nodes: tuple[Node, ...]


def create_pipeline(config: PipelineConfig) -> Pipeline:
    """Raw bitext in, a pushed SavedModel out."""
    examples = Node(example_gen.COMPONENT, config.example_gen)
    statistics = Node(statistics_gen.COMPONENT, config.statistics_gen, {"examples": examples["examples"]})
    schema = Node(schema_gen.COMPONENT, config.schema_gen, {"statistics": statistics["statistics"]})
    validated = Node(
        example_validator.COMPONENT,
        config.example_validator,
        {"statistics": statistics["statistics"], "schema": schema["schema"]},
    )
    transformed = Node(
        transform.COMPONENT,
        config.transform,
        {"examples": examples["examples"], "schema": schema["schema"]},
    )
    trained = Node(
        trainer.COMPONENT,
        config.trainer,
        {
            "transformed_examples": transformed["transformed_examples"],
            "transform_graph": transformed["transform_graph"],
            "examples": examples["examples"],
        },
    )
    evaluated = Node(
        evaluator.COMPONENT,
        config.evaluator,
        {"examples": examples["examples"], "model": trained["model"], "baseline": LatestBlessedModel()},
    )
    served = Node(infra_validator.COMPONENT, config.infra_validator, {"model": trained["model"]})
    pushed = Node(
        pusher.COMPONENT,
        config.pusher,
        {
            "examples": examples["examples"],
            "rejects": examples["rejects"],
            "schema": schema["schema"],
            "transformed_examples": transformed["transformed_examples"],
            "transform_graph": transformed["transform_graph"],
            "model": trained["model"],
            "evaluation": evaluated["evaluation"],
            "blessing": evaluated["blessing"],
            "infra_blessing": served["infra_blessing"],
        },
    )
    nodes = (examples, statistics, schema, validated, transformed, trained, evaluated, served, pushed)
    return Pipeline(config.name, nodes)
