"""The sections of the report by title. Each is made from the artifacts that there are."""

from __future__ import annotations

from collections.abc import Callable

from bitext.components.artifacts.page import Section
from bitext.components.reporter import Inputs

Maker = Callable[[Inputs], Section | tuple[Section, ...] | None]
"""Makes a section, or several; None: the artifacts that they need are absent."""


def _data(inputs: Inputs) -> Section | None:
    if not (inputs.rejects or inputs.statistics):
        return None
    from bitext.components.reporter import data

    return data.section(inputs)


def _vocabulary(inputs: Inputs) -> Section | None:
    if inputs.transform_graph is None or inputs.transformed_examples is None:
        return None
    from bitext.components.reporter import vocabulary

    return vocabulary.section(inputs.transform_graph, inputs.transformed_examples)


def _training(inputs: Inputs) -> Section | None:
    if inputs.model_run is None:
        return None
    from bitext.components.reporter import training

    return training.section(inputs.model_run, inputs.previous_model_run)


def _evaluation(inputs: Inputs) -> tuple[Section, ...] | None:
    if inputs.evaluation is None or inputs.blessing is None:
        return None
    from bitext.components.reporter import evaluation

    return evaluation.sections(inputs.evaluation, inputs.blessing, inputs.examples)


SECTIONS: dict[str, Maker] = {
    "Data": _data,
    "Vocabulary": _vocabulary,
    "Training": _training,
    "Evaluation": _evaluation,
}
"""The makers of the sections, in the order of the page."""
