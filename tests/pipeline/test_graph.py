"""The nodes of the real pipeline match the declarations of their components."""

from __future__ import annotations

import inspect
import typing

import pytest

from bitext.components import example_gen
from bitext.components.example_gen import GoldenGen
from bitext.components.example_gen import Parameters as ExampleGenParameters
from bitext.components.pusher import Parameters as PusherParameters
from bitext.components.statistics_gen import RequestStatistics
from bitext.pipeline.config import PipelineConfig, resolve_defaults
from bitext.pipeline.graph import create_pipeline
from bitext.pipeline.sources import Node, Output


@pytest.fixture
def nodes() -> tuple[Node, ...]:
    config = PipelineConfig(
        name="toy", example_gen=ExampleGenParameters(files=("toy.tsv",)), serving="models/toy"
    )
    return create_pipeline(resolve_defaults(config)).nodes


def test_every_input_is_an_earlier_output_of_the_declared_kind(nodes: tuple[Node, ...]) -> None:
    outputs: dict[tuple[str, str], type] = {}
    for node in nodes:
        assert set(node.component.inputs) - set(node.inputs) <= node.component.optional, node.name
        for key, source in node.inputs.items():
            if isinstance(source, Output):
                assert outputs[source.node, source.key] is node.component.inputs[key], (node.name, key)
            else:
                assert key in node.component.optional
        outputs |= {(node.name, key): kind for key, kind in node.component.outputs.items()}


def test_run_takes_the_declared_inputs_and_outputs(nodes: tuple[Node, ...]) -> None:
    for component in (*(node.component for node in nodes), GoldenGen(), RequestStatistics()):
        hints = typing.get_type_hints(component.run)
        expected: dict[str, object] = dict(component.outputs)
        for key, kind in component.inputs.items():
            optional = key in component.optional
            expected[key] = kind | None if optional else kind
            if key in component.list_inputs:
                expected[key] = tuple[kind, ...]  # type: ignore[valid-type]
        names = list(inspect.signature(component.run).parameters)
        assert names[:2] == ["parameters", "context"], component.name
        assert {name: hints[name] for name in names[2:]} == expected, component.name


def test_parameters_have_the_declared_type_and_names_are_unique(nodes: tuple[Node, ...]) -> None:
    assert all(type(node.parameters) is node.component.parameters for node in nodes)
    assert len({node.name for node in nodes}) == len(nodes)


def test_the_pusher_gets_the_serving_folder(nodes: tuple[Node, ...]) -> None:
    [pusher] = [node for node in nodes if node.name == "Pusher"]
    assert isinstance(pusher.parameters, PusherParameters)
    assert pusher.parameters.destination == "models/toy"


def test_the_report_is_made_after_the_push(nodes: tuple[Node, ...]) -> None:
    assert [node.name for node in nodes[-2:]] == ["Pusher", "Reporter"]
    assert set(nodes[-1].component.outputs) == {"report"}


def test_a_reference_to_an_undeclared_output_is_an_error() -> None:
    node = Node(example_gen.ExampleGen(), ExampleGenParameters(files=("toy.tsv",)))
    with pytest.raises(KeyError, match="examples, rejects"):
        node["exmaples"]
