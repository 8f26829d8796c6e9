"""The Reporter: what its cache key covers, and what its declaration imports."""

from __future__ import annotations

import pytest

from bitext.components import reporter
from bitext.components.component import Component
from bitext.components.example_gen import Parameters as ExampleGenParameters
from bitext.pipeline.config import PipelineConfig, resolve_defaults
from bitext.pipeline.graph import create_pipeline
from bitext.pipeline.source_digests import source_digests


def components() -> list[Component]:
    config = PipelineConfig(name="toy", example_gen=ExampleGenParameters(files=("toy.tsv",)))
    return [node.component for node in create_pipeline(resolve_defaults(config)).nodes]


@pytest.mark.parametrize("component", components(), ids=lambda component: component.name)
def test_the_look_of_pages_is_in_no_cache_key(component: Component) -> None:
    modules = source_digests(type(component).__module__)
    assert not [module for module in modules if module.startswith("bitext.components.pages")]


def test_the_content_of_sections_is_in_the_cache_key() -> None:
    modules = source_digests(reporter.__name__)
    assert {"bitext.components.reporter.sections", "bitext.components.artifacts.page"} <= set(modules)
