"""The pipeline: which components run, in which order, and whose output is whose input."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bitext.components import (
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
from bitext.components.component import Component, Parameters
from bitext.components.trainer import LAST_BLESSED
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.sources import BaseModel, NewestOutput, Output, PreviousStatistics, ServedModel, Source


@dataclasses.dataclass(frozen=True)
class Node:
    """A component at its place in the pipeline."""

    component: Component[Any]
    parameters: Parameters
    inputs: Mapping[str, Source] = dataclasses.field(default_factory=dict)

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
    golden = (
        Node(example_gen.GoldenGen(), config.example_gen) if config.example_gen.golden.patterns() else None
    )
    scored: dict[str, Source] = {"golden": golden["examples"]} if golden else {}
    examples = Node(example_gen.ExampleGen(), config.example_gen, scored)
    statistics = Node(
        statistics_gen.StatisticsGen(), config.statistics_gen, {"examples": examples["examples"]}
    )
    schema = Node(schema_gen.SchemaGen(), config.schema_gen, {"statistics": statistics["statistics"]})
    requests = (
        Node(statistics_gen.RequestStatistics(), config.request_log) if config.request_log.files else None
    )
    validated = Node(
        example_validator.ExampleValidator(),
        config.example_validator,
        {
            "statistics": statistics["statistics"],
            "schema": schema["schema"],
            "previous_statistics": PreviousStatistics(statistics.name, other_than="statistics"),
            **({"serving_statistics": requests["statistics"]} if requests else {}),
        },
    )
    transformed = Node(
        transform.Transform(),
        config.transform,
        {
            "examples": examples["examples"],
            "schema": schema["schema"],
            "analyzer_cache": NewestOutput("updated_analyzer_cache"),
        },
    )
    warm_start = config.trainer.warm_start
    trained = Node(
        trainer.Trainer(),
        config.trainer,
        {
            "transformed_examples": transformed["transformed_examples"],
            "transform_graph": transformed["transform_graph"],
            "examples": examples["examples"],
            **(
                {"base_model": BaseModel(config.serving, warm_start.from_scratch_every)}
                if warm_start.model == LAST_BLESSED
                else {}
            ),
        },
    )
    evaluated = Node(
        evaluator.Evaluator(),
        config.evaluator,
        {
            "examples": examples["examples"],
            "model": trained["model"],
            "baseline": ServedModel(config.serving, other_than="model"),
            **scored,
        },
    )
    served = Node(infra_validator.InfraValidator(), config.infra_validator, {"model": trained["model"]})
    pushed = Node(
        pusher.Pusher(),
        pusher.Parameters(destination=config.serving, card=config.pusher.card),
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
    nodes: tuple[Node | None, ...] = (golden, examples, statistics, schema, requests, validated, transformed)
    nodes += (trained, evaluated, served, pushed)
    return Pipeline(config.name, tuple(node for node in nodes if node is not None))
