"""The pipeline: which components run, in which order, and which output is which input."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec

from bitext.components import pusher
from bitext.components.component import Component, Parameters
from bitext.components.evaluator import Evaluator
from bitext.components.evaluator import Parameters as EvaluatorParameters
from bitext.components.example_gen import CorpusOptions, ExampleGen, GoldenGen, GoldenParameters
from bitext.components.example_validator import ExampleValidator
from bitext.components.infra_validator import InfraValidator
from bitext.components.reporter import Parameters as ReporterParameters
from bitext.components.reporter import Reporter
from bitext.components.schema_gen import SchemaGen
from bitext.components.statistics_gen import RequestStatistics, StatisticsGen
from bitext.components.trainer import Trainer
from bitext.components.trainer.sections import LAST_BLESSED
from bitext.components.transform import CorpusUse, Transform, WeightedParameters
from bitext.pipeline import augmentation
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.sources import (
    BaseModel,
    NewestOutput,
    Node,
    Outputs,
    PreviousOutput,
    ServedModel,
    Source,
)


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Nodes in an order in which every output is made before it is an input."""

    name: str
    nodes: tuple[Node, ...]


def create_pipeline(config: PipelineConfig) -> Pipeline:
    """Wires the pipeline from raw bitext to a pushed SavedModel."""
    data = _data_nodes(config)
    models = _model_nodes(config, data)
    return Pipeline(config.name, (*data.values(), *models.values(), _reporter({**data, **models})))


def _data_nodes(config: PipelineConfig) -> dict[str, Node]:
    """The nodes from the bitext to padded token ids, by name."""
    test_sets = GoldenParameters(**_fields(config.example_gen), test_sets=config.evaluator.test_sets)
    golden = Node(GoldenGen(), test_sets) if test_sets.sets() else None
    examples = _node(ExampleGen(), config.example_gen, golden=golden["examples"] if golden else None)
    statistics = _node(StatisticsGen(), config.statistics_gen, examples=examples["examples"])
    schema = _node(SchemaGen(), config.schema_gen, statistics=statistics["statistics"])
    requests = Node(RequestStatistics(), config.request_log) if config.request_log.files else None
    validator = _node(
        ExampleValidator(),
        config.example_validator,
        statistics=statistics["statistics"],
        schema=schema["schema"],
        previous_statistics=PreviousOutput(statistics.name, "statistics", other_than="statistics"),
        serving_statistics=requests["statistics"] if requests else None,
        examples=examples["examples"],
    )
    checked = (golden, examples, statistics, schema, requests, validator)
    data = {node.name: node for node in checked if node is not None}
    synthetic, student_examples = _augmentation(config, data)
    transform = _node(
        Transform(),
        _student_parameters(config),
        examples=student_examples,
        schema=schema["schema"],
        analyzer_cache=NewestOutput("updated_analyzer_cache"),
    )
    return data | {node.name: node for node in (*synthetic, transform)}


def _augmentation(config: PipelineConfig, data: Mapping[str, Node]) -> tuple[list[Node], Source]:
    """The nodes that make synthetic pairs, if any, and the examples that the model is trained on."""
    examples = data["ExampleGen"]["examples"]
    if config.augmentation is None:
        return [], examples
    nodes, pairs = augmentation.nodes(config, config.augmentation, _transform_parameters(config), data)
    return nodes, Outputs((examples, *pairs))


def _student_parameters(config: PipelineConfig) -> WeightedParameters:
    """The parameters of Transform, with the synthetic pairs, if any, as further corpora."""
    parameters = _transform_parameters(config)
    if config.augmentation is None:
        return parameters
    return msgspec.structs.replace(
        parameters,
        corpora=(*parameters.corpora, *augmentation.corpus_uses(config.augmentation)),
        sampling_seed=config.example_gen.sampling_seed,
    )


def _transform_parameters(config: PipelineConfig) -> WeightedParameters:
    """The section of Transform, with what it takes from that of ExampleGen."""
    section = config.example_gen
    uses = tuple(_corpus_use(each, each.name, each.weight, each.tag) for each in section.corpora)
    if not uses and (section.cleaning.near_duplicates or section.cleaning.max_targets):
        uses = (_corpus_use(section, "", 1.0, ""),)  # its spans are compared
    seed = section.sampling_seed if section.corpora else 0
    return WeightedParameters(**_fields(config.transform), corpora=uses, sampling_seed=seed)


def _corpus_use(options: CorpusOptions, name: str, weight: float, tag: str) -> CorpusUse:
    """How Transform uses a corpus."""
    rules = options.cleaning
    return CorpusUse(name, weight, tag, rules.limit("near_duplicates"), rules.limit("max_targets"))


def _fields(section: Parameters, of: type[Parameters] | None = None) -> dict[str, Any]:
    """The values of a section by key; only those that its base class `of` has, if it is given."""
    return {name: getattr(section, name) for name in (of or type(section)).__struct_fields__}


def _model_nodes(config: PipelineConfig, data: Mapping[str, Node]) -> dict[str, Node]:
    """The nodes from training to the push, by name."""
    examples, transform, golden = data["ExampleGen"], data["Transform"], data.get("GoldenGen")
    warm_start = config.trainer.warm_start
    is_warm = warm_start.model == LAST_BLESSED
    trainer = _node(
        Trainer(),
        config.trainer,
        transformed_examples=transform["transformed_examples"],
        transform_graph=transform["transform_graph"],
        examples=examples["examples"],
        base_model=BaseModel(config.serving, warm_start.from_scratch_every) if is_warm else None,
    )
    evaluator = _node(
        Evaluator(),
        EvaluatorParameters(**_fields(config.evaluator, EvaluatorParameters)),  # GoldenGen reads the others
        examples=examples["examples"],
        model=trainer["model"],
        baseline=ServedModel(config.serving, other_than="model"),
        golden=golden["examples"] if golden else None,
    )
    infra_validator = _node(InfraValidator(), config.infra_validator, model=trainer["model"])
    push = _node(
        pusher.Pusher(),
        pusher.Parameters(
            destination=config.serving,
            pipeline=config.name,
            card=config.pusher.card,
            take_over=config.pusher.take_over,
        ),
        examples=examples["examples"],
        rejects=examples["rejects"],
        schema=data["SchemaGen"]["schema"],
        transformed_examples=transform["transformed_examples"],
        transform_graph=transform["transform_graph"],
        model=trainer["model"],
        evaluation=evaluator["evaluation"],
        blessing=evaluator["blessing"],
        infra_blessing=infra_validator["infra_blessing"],
    )
    return {node.name: node for node in (trainer, evaluator, infra_validator, push)}


def _reporter(nodes: Mapping[str, Node]) -> Node:
    """The node of the report. It is the last one, so that its failure does not prevent a push."""
    golden = nodes.get("GoldenGen")
    statistics, trainer = nodes["StatisticsGen"], nodes["Trainer"]
    return _node(
        Reporter(),
        ReporterParameters(),
        examples=nodes["ExampleGen"]["examples"],
        rejects=nodes["ExampleGen"]["rejects"],
        left_out=nodes["Transform"]["rejects"],
        golden=golden["examples"] if golden else None,
        statistics=statistics["statistics"],
        previous_statistics=PreviousOutput(statistics.name, "statistics", other_than="statistics"),
        schema=nodes["SchemaGen"]["schema"],
        anomalies=nodes["ExampleValidator"]["anomalies"],
        transform_graph=nodes["Transform"]["transform_graph"],
        transformed_examples=nodes["Transform"]["transformed_examples"],
        model_run=trainer["model_run"],
        previous_model_run=PreviousOutput(trainer.name, "model_run", other_than="model_run"),
        evaluation=nodes["Evaluator"]["evaluation"],
        blessing=nodes["Evaluator"]["blessing"],
        infra_blessing=nodes["InfraValidator"]["infra_blessing"],
    )


def _node(component: Component[Any], parameters: Parameters, **inputs: Source | None) -> Node:
    """A node without the inputs that are None."""
    present = {key: source for key, source in inputs.items() if source is not None}
    return Node(component, parameters, present)
