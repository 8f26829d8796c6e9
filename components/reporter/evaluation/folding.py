"""Tables that a reader opens."""

from __future__ import annotations

from bitext.components.artifacts.page import Details, Table


def folded(table: Table) -> Details:
    """Returns a table that is shown when its title is opened."""
    return Details(summary=table.title, blocks=(table,))
