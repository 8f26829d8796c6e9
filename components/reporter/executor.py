"""Computes the sections of the report, one after the other."""

from __future__ import annotations

from bitext.components import artifacts
from bitext.components.artifacts.page import Section
from bitext.components.component import Context
from bitext.components.reporter import Inputs
from bitext.components.reporter.sections import SECTIONS


def run(context: Context, inputs: Inputs, report: artifacts.Report) -> None:
    """Writes the sections and prints their titles.

    Raises:
      DataError: an artifact is damaged.
    """
    sections: list[Section] = []
    for make in SECTIONS.values():
        made = make(inputs)
        sections += [made] if isinstance(made, Section) else made or ()
    report.write_sections(sections)
    report.properties["sections"] = len(sections)
    context.say(f"sections: {', '.join(section.title for section in sections)}")
