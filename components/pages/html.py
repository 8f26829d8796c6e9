"""Fills the templates with a page's blocks."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from bitext.components.artifacts.page import Block, Cell, Chart, Details, Facts, Graph, Sentences, Table
from bitext.components.pages import assets, charts, graph, sentences, tables, text

if TYPE_CHECKING:
    from bitext.components.pages import Page

_PAGE_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.html")
_BAR_WIDTH = 44
_MOST_FACTS = 6
_LEGEND_SHAPES = (
    "",
    "M13 2a4 4 0 1 1 0 8a4 4 0 1 1 0 -8z",
    "M9.5 2.5h7v7h-7z",
    "M13 1.5l4.5 8.5h-9z",
    "M13 1l4 5l-4 5l-4 -5z",
    "M11.5 2h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5v-3h2.5z",
    "M13 10.5l4.5 -8.5h-9z",
)
"""The shapes of `charts` as the legend draws them, by number of style."""


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=text.finalize,
    )
    environment.filters |= {"visible": text.visible, "prose": text.prose, "script_json": text.script_json}
    environment.tests["page_file"] = lambda file: _PAGE_FILE.fullmatch(file) is not None
    environment.globals |= {
        "bar_ends": _bar_ends,
        "bar_width": _bar_width,
        "cell_text": text.cell_text,
        "chart_names": charts.names,
        "chart_payload": charts.payload,
        "chart_shapes": _LEGEND_SHAPES,
        "chart_styles": charts.styles,
        "chart_table": tables.chart_table,
        "fact_columns": _fact_columns,
        "graph_layout": graph.layout,
        "graph_roles": _roles,
        "graph_table": tables.graph_table,
        "grouped": _grouped,
        "has_long_word": text.has_long_word,
        "has_points": charts.has_points,
        "is_run": text.is_run,
        "lies": charts.is_horizontal,
        "node_height": graph.HEIGHT,
        "node_width": graph.WIDTH,
        "segments": sentences.segments,
        "sentences_payload": sentences.payload,
        "sort_value": text.sort_value,
    }
    return environment


def render(page: Page, folder: Path | None) -> str:
    """Returns a page as an HTML document. See `components.pages.render`."""
    every = list(_all_blocks([*page.lead, *(block for section in page.sections for block in section.blocks)]))
    has_charts = any(isinstance(block, Chart) for block in every)
    has_sentences = any(isinstance(block, Sentences) for block in every)
    files = [
        "common.js",
        "tables.js",
        *["charts.js"] * has_charts,
        *["sentences.js"] * has_sentences,
        "page.js",
    ]
    scripts = [assets.asset(name) for name in files]
    vega = assets.vega(folder) if has_charts else None
    theme, style = assets.asset("theme.js"), assets.asset("page.css")
    policy = assets.policy([theme, *scripts, *([vega] if vega else [])], style)
    values: dict[str, Any] = {
        "page": page,
        "policy": policy,
        "icon": assets.ICON,
        "style": style,
        "theme_script": theme,
        "vega_script": vega,
        "scripts": scripts,
        "next_id": _counter(),
    }
    return _environment().get_template("page.html").render(values)


def _counter() -> Callable[[], str]:
    """Returns a function that gives each block of a page an id."""
    numbers = itertools.count(1)
    return lambda: f"block-{next(numbers)}"


def _all_blocks(blocks: Sequence[Block]) -> Iterator[Block]:
    """Yields blocks, and the blocks in their details."""
    for block in blocks:
        yield block
        if isinstance(block, Details):
            yield from _all_blocks(block.blocks)


def _grouped(blocks: Sequence[Block]) -> list[tuple[str, list[Block]]]:
    """Returns blocks in groups: `charts` that follow each other, a chart `beside` its table, and `others`."""
    runs = [
        ("charts" if is_chart else "others", list(run))
        for is_chart, run in itertools.groupby(blocks, lambda block: isinstance(block, Chart))
    ]
    groups: list[tuple[str, list[Block]]] = []
    for kind, run in runs:
        follows_chart = bool(groups) and groups[-1][0] == "charts" and len(groups[-1][1]) == 1
        if follows_chart and _fits_beside(run[0]):
            groups[-1] = ("beside", [*groups[-1][1], run[0]])
            run = run[1:]
        if run:
            groups.append((kind, run))
    return groups


def _fits_beside(block: Block) -> bool:
    """Whether a block is a table that is small enough to stand beside a chart."""
    return isinstance(block, Table) and len(block.columns) <= 6 and 1 <= len(block.rows) <= 10


def _fact_columns(block: Facts) -> int:
    """Returns the number of columns, 6 at most, that fills the rows of figures evenly."""
    count = max(1, len(block.facts))
    rows = math.ceil(count / _MOST_FACTS)
    return math.ceil(count / rows)


def _roles(block: Graph) -> list[str]:
    """Returns the roles that the nodes of a graph have."""
    return [
        role
        for role in ("file", "execution", "artifact", "version")
        if any(n.role == role for n in block.nodes)
    ]


def _bar_ends(table: Table) -> list[float]:
    """Returns for each column the value of a whole bar: 1 for shares, the longest duration; 0: no bars."""
    ends = []
    for number, column in enumerate(table.columns):
        values = [_number(row[number]) or 0.0 for row in table.rows]
        is_duration = column.content == "seconds" and sum(value > 0 for value in values) > 2
        ends.append(1.0 if column.content == "share" else max(values) if is_duration else 0.0)
    return ends


def _bar_width(value: Cell, end: float) -> int | None:
    """Returns the width of the bar beside a value; None if the value has none."""
    number = _number(value)
    return round(_BAR_WIDTH * number / end) if number is not None and 0 <= number <= end else None


def _number(value: Cell) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text.finite(float(value)) if is_number and value is not None else None
