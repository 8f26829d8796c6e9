"""Aligned plain tables and texts of a corpus for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bitext.components.shared.display import isolate, printable

SHOWN_CHARACTERS = 400
"""The most characters shown of a text."""


def shown(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    r"""A text of a corpus on one line: control characters are escaped, right-to-left text is isolated."""
    cut = text[:limit]
    escaped = printable(cut).replace("\n", "\\n").replace("\t", "\\t").replace("\u2068", "\\u2068")
    return isolate(escaped.replace("\u2069", "\\u2069")) + (" ..." if len(text) > limit else "")


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = (), indent: str = ""
) -> list[str]:
    """Returns the lines of a table with aligned columns.

    Args:
      header: the titles of the columns.
      rows: the cells, as they are printed.
      right: the columns that are aligned to the right.
      indent: what each line begins with.
    """
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, *rows):
        cells = []
        for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
            padding = " " * (width - cell_len(cell))
            cells.append(padding + cell if index in right else cell + padding)
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def number(value: float) -> str:
    """A number with at most three digits after the point: `1,234`, `12.5`, `0.021`."""
    if value == int(value):
        return f"{int(value):,}"
    digits = 3 if abs(value) < 1 else 2
    return f"{value:,.{digits}f}"
