"""The section "Data": what became of the rows, lengths, scripts, statistics against the schema, anomalies."""

from __future__ import annotations

from bitext.components.artifacts.page import Block, Section, Text
from bitext.components.reporter import Inputs
from bitext.components.reporter.dataset import anomalies, rows, sentences, statistics


def section(inputs: Inputs) -> Section:
    """Returns the section.

    Raises:
      DataError: an artifact is damaged.
    """
    blocks: list[Block] = [*rows.blocks(inputs), *anomalies.blocks(inputs)]
    if inputs.examples:
        blocks += sentences.blocks(inputs)
    if inputs.statistics:
        blocks += statistics.blocks(inputs)
    if not blocks:
        blocks.append(Text(text="No rows are on record."))
    return Section(id="data", title="Data", summary=rows.summary(inputs), blocks=tuple(blocks))
