"""Computes the sections of the report, one after the other."""

from __future__ import annotations

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.reporter import Inputs
from bitext.components.reporter.sections import SECTIONS


def run(context: Context, inputs: Inputs, report: artifacts.Report) -> None:
    """Writes the sections and prints their titles.

    Raises:
      DataError: an artifact is damaged.
    """
    sections = [section for make in SECTIONS.values() if (section := make(inputs)) is not None]
    report.write_sections(sections)
    report.properties["sections"] = len(sections)
    context.say(f"sections: {', '.join(section.title for section in sections)}")
