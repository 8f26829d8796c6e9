"""The sections of the report by title. Each is made from the artifacts that there are."""

from __future__ import annotations

from collections.abc import Callable

from bitext.components.artifacts.page import Section
from bitext.components.reporter import Inputs

Maker = Callable[[Inputs], Section | None]
"""Makes a section; None: the artifacts that it needs are absent."""


def _data(inputs: Inputs) -> Section | None:
    if not (inputs.rejects or inputs.statistics):
        return None
    from bitext.components.reporter import data

    return data.section(inputs)


def _training(inputs: Inputs) -> Section | None:
    if inputs.model_run is None:
        return None
    from bitext.components.reporter import training

    return training.section(inputs.model_run, inputs.previous_model_run)


SECTIONS: dict[str, Maker] = {"Data": _data, "Training": _training}
"""The makers of the sections, in the order of the page."""
