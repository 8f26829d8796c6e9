"""The page of a run: `<root>/reports/<run>.html`."""

from __future__ import annotations

from pathlib import Path

import bitext
from bitext.components import pages
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.records import State
from bitext.pipeline.reports.run_page import lineage, sections, settings, top
from bitext.pipeline.reports.run_page.record import RunRecord, load
from bitext.pipeline.reports.run_page.top import problem
from bitext.pipeline.reports.writing import write_page

__all__ = ["RunRecord", "build", "load", "problem", "write", "write_for"]


def build(record: RunRecord, only_new: bool = False) -> pages.Page:
    """Returns the page of a run. What is missing or damaged is said on the page.

    Args:
      record: the record of the run.
      only_new: see `sections.sections`.
    """
    return pages.Page(
        title=record.config.name,
        subtitle=f"run {record.run.run_id}",
        verdict=top.verdict(record),
        lead=top.lead(record),
        sections=(
            top.section(record),
            *sections.sections(record, only_new),
            lineage.section(record),
            settings.section(record),
        ),
        footer=f"Written by bitext {bitext.__version__}.",
    )


def write(record: RunRecord, path: Path | None = None, only_new: bool = False) -> Path:
    """Writes the page of a run.

    Args:
      record: the record of the run.
      path: the file; None: that of the run in the pipeline root.
      only_new: see `sections.sections`.

    Returns:
      The file.

    Raises:
      ConfigError: the file is a folder.
      EnvironmentFault: it cannot be written.
      DataError: the record is damaged.
    """
    path = path or record.layout.report(record.run.run_id)
    write_page(build(record, only_new), path, record.layout)
    return path


def write_for(config: PipelineConfig, run_id: str) -> Path | None:
    """Writes the page of a run that has ended; None: the run is not on record.

    Raises:
      BitextError, OSError: the page cannot be written, or the record cannot be read.
    """
    record = load(config, run_id)
    if record is None:
        return None
    return write(record, only_new=record.run.state == State.COMPLETE)
