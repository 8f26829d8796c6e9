"""The section "Data"."""

from __future__ import annotations

from bitext.components.artifacts.page import Fact, Facts, Section
from bitext.components.artifacts.rejects import Summary
from bitext.components.reporter import Inputs


def section(inputs: Inputs) -> Section:
    """Returns the section "Data".

    Raises:
      DataError: an artifact is damaged.
    """
    total = Summary.total([rejects.summary() for rejects in inputs.rejects])
    facts = (Fact("rows read", f"{total.rows:,}"), Fact("rejected", f"{total.rejected:,}"))
    return Section(id="data", title="Data", blocks=(Facts(facts=facts),))
