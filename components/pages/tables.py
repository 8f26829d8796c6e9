"""The tables below charts and graphs, for those who do not see them, and for paper."""

from __future__ import annotations

import datetime
import statistics

from bitext.components.artifacts.page import Axis, Cell, Chart, Column, Graph, Table
from bitext.components.pages.charts import categories, names
from bitext.components.pages.text import figure, finite

MOST_ROWS = 60
"""A chart with more points has a table of some of them, or of their statistics."""


def chart_table(chart: Chart) -> Table:
    """Returns the points of a chart: a row for each position, a column for each series."""
    if chart.form == "scatter":
        points = sum(len(series.x) for series in chart.series)
        return _statistics(chart) if points > MOST_ROWS else _points(chart)
    return _positions(chart)


def _positions(chart: Chart) -> Table:
    """Returns the values of the series side by side."""
    ordinal = chart.x.scale == "ordinal"
    places: list[str | float] = list(dict.fromkeys(x for series in chart.series for x in series.x))
    if ordinal:
        places = list(categories(chart))
    else:
        places.sort(key=lambda x: x if isinstance(x, int | float) else 0)
    shown = _thinned(places, chart)
    columns = [Column(chart.x.title, "text" if ordinal or chart.x.scale == "time" else "number", 0)]
    values: list[dict[str | float, Cell]] = []
    for name, series in zip(names(chart.series), chart.series, strict=True):
        columns.append(Column(name if len(chart.series) > 1 else chart.y.title, "number"))
        values.append({_key(x, chart.x): _rounded(y) for x, y in zip(series.x, series.y, strict=False)})
        if series.low and series.high:
            columns.append(Column(f"{name}: interval" if len(chart.series) > 1 else "interval"))
            ends = zip(series.x, series.low, series.high, strict=False)
            values.append({_key(x, chart.x): _interval(low, high) for x, low, high in ends})
    rows = [(_place(x, chart.x), *(value.get(_key(x, chart.x)) for value in values)) for x in shown]
    thinned = len(shown) < len(places)
    note = f"{len(shown):,} of {len(places):,} points, evenly chosen from each series." if thinned else ""
    return Table(title=chart.title, columns=tuple(columns), rows=tuple(rows), note=note)


def _thinned(places: list[str | float], chart: Chart) -> list[str | float]:
    """Returns about `MOST_ROWS` of the positions.

    Positions are grouped by the series that have a value there. Each group has an equal number of rows, and
    large groups have the rows that small ones do not need, so every series keeps values.
    """
    if len(places) <= MOST_ROWS:
        return places
    having = [
        {_key(x, chart.x) for x, y in zip(series.x, series.y, strict=False) if finite(y) is not None}
        for series in chart.series
    ]
    groups: dict[tuple[bool, ...], list[int]] = {}
    for number, x in enumerate(places):
        groups.setdefault(tuple(_key(x, chart.x) in keys for keys in having), []).append(number)
    chosen: list[int] = []
    for number, group in enumerate(sorted(groups.values(), key=len)):
        chosen += _evenly(group, (MOST_ROWS - len(chosen)) // (len(groups) - number))
    return [places[number] for number in sorted(chosen)]


def _evenly(numbers: list[int], count: int) -> list[int]:
    """Returns `count` of the numbers, at least one, evenly spread from the first to the last."""
    if count >= len(numbers):
        return numbers
    last = len(numbers) - 1
    return [numbers[round(index * last / max(count - 1, 1))] for index in range(max(count, 1))]


def _points(chart: Chart) -> Table:
    """Returns a row for each point of a scatter plot with few points."""
    has_labels = any(series.labels for series in chart.series)
    rows = []
    for name, series in zip(names(chart.series), chart.series, strict=True):
        for number, (x, y) in enumerate(zip(series.x, series.y, strict=False)):
            label = (series.labels[number] if number < len(series.labels) else "",) if has_labels else ()
            rows.append((name, _place(x, chart.x), _rounded(y), *label))
    columns = (Column("series"), Column(chart.x.title, "number"), Column(chart.y.title, "number"))
    return Table(
        title=chart.title,
        columns=(*columns, Column("label", "corpus")) if has_labels else columns,
        rows=tuple(rows),
    )


def _statistics(chart: Chart) -> Table:
    """Returns the quartiles of a scatter plot with many points."""
    rows = []
    for name, series in zip(names(chart.series), chart.series, strict=True):
        for axis, values in ((chart.x, series.x), (chart.y, series.y)):
            numbers = sorted(v for v in values if isinstance(v, int | float) and finite(v) is not None)
            rows.append((f"{name}: {axis.title}", len(numbers), *_quartiles(numbers)))
    columns = ["points", "lowest", "first quartile", "median", "third quartile", "highest"]
    return Table(
        title=chart.title,
        columns=(Column("values"), *(Column(c, "number") for c in columns)),
        rows=tuple(rows),
    )


def _quartiles(numbers: list[int | float]) -> tuple[Cell, ...]:
    if len(numbers) < 2:
        return tuple(_rounded(numbers[0]) if numbers else None for _ in range(5))
    inner = statistics.quantiles(numbers, n=4, method="inclusive")
    return tuple(_rounded(value) for value in (numbers[0], *inner, numbers[-1]))


def graph_table(graph: Graph) -> Table:
    """Returns the nodes of a graph, each with those that lead to it."""
    labels = {node.id: node.label for node in graph.nodes}
    rows = []
    for node in graph.nodes:
        sources = [labels[a] for a, b in graph.edges if b == node.id and a in labels]
        rows.append((node.label, node.role, node.detail or None, ", ".join(sources) or None))
    titles = ("node", "role", "detail", "made from")
    return Table(
        title=f"Nodes: {graph.title}", columns=tuple(Column(title) for title in titles), rows=tuple(rows)
    )


def _key(x: str | float, axis: Axis) -> str | float:
    return str(x) if axis.scale == "ordinal" else x


def _place(x: str | float, axis: Axis) -> Cell:
    """Returns a position as the first cell of a row."""
    if axis.scale == "time" and isinstance(x, int | float) and finite(x) is not None:
        moment = datetime.datetime.fromtimestamp(x, datetime.UTC)
        return moment.strftime("%Y-%m-%d %H:%M UTC")
    return _rounded(x) if isinstance(x, float) else x


def _interval(low: float | None, high: float | None) -> Cell:
    return None if low is None or high is None else f"{figure(low)} to {figure(high)}"


def _rounded(value: float | None) -> float | None:
    number = finite(value)
    return number if number is None or isinstance(number, int) else float(f"{number:.5g}")
