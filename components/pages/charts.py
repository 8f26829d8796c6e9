"""Vega-Lite specifications of charts.

A specification has no text of the corpus in expressions: names of fields are constants, and titles, names
and labels are data. Colors are CSS variables, so that a chart follows the theme without being drawn again.
"""

from __future__ import annotations

from typing import Any

from bitext.components.artifacts.page import Axis, Chart, Series
from bitext.components.pages.text import finite
from bitext.components.shared.display import printable

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
COLORS = 6
"""Number of colors, dashes and shapes of series, in page.css as `--series-1` to `--series-6`."""
EARLIER = 0
"""Style of a series of an earlier run that follows no other series."""
_DASHES = ([3, 3], [1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [5, 2], [1, 3])
_SHAPES = ("circle", "circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_HEIGHT = 260
_SQUARE_HEIGHT = 380
_ROW_HEIGHT = 22
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
_Specification = dict[str, Any]


def styles(series: tuple[Series, ...]) -> list[int]:
    """Returns the number of the style of each series: 1 for the first, and so on.

    The series of an earlier run has a lighter color of the series before it, from `COLORS` + 1; or, if there
    is one such series only, gray: `EARLIER`.
    """
    has_one = sum(one.role == "earlier" for one in series) == 1
    numbers, number = [], 0
    for one in series:
        if one.role == "earlier":
            numbers.append(EARLIER if has_one or not number else COLORS + number)
        else:
            number = number % COLORS + 1
            numbers.append(number)
    return numbers


def names(series: tuple[Series, ...]) -> list[str]:
    """Returns a distinct name for each series."""
    found: list[str] = []
    for one in series:
        name, number = printable(one.name), 2
        while name in found:
            name, number = f"{printable(one.name)} ({number})", number + 1
        found.append(name)
    return found


def categories(chart: Chart) -> list[str]:
    """Returns the names on an ordinal axis, in the order of their first appearance."""
    return list(dict.fromkeys(printable(str(x)) for series in chart.series for x in series.x))


def has_points(chart: Chart) -> bool:
    """Whether there is anything to draw."""
    return any(y is not None for series in chart.series for y in _numbers(series.y, chart))


def is_horizontal(chart: Chart) -> bool:
    """Whether the bars of a chart lie, because their names are long."""
    if chart.form != "bar" or chart.x.scale != "ordinal":
        return False
    lengths = [len(name) for name in categories(chart)]
    return max(lengths, default=0) > 12 or sum(lengths) > 72


def payload(chart: Chart) -> dict[str, Any]:
    """Returns what the page's script needs of a chart: the specification, and the points as columns."""
    numbers, distinct = styles(chart.series), names(chart.series)
    return {
        "form": chart.form,
        "spec": specification(chart),
        "x": {"title": chart.x.title, "scale": chart.x.scale},
        "y": {"title": chart.y.title, "scale": chart.y.scale},
        "horizontal": is_horizontal(chart),
        "series": [
            {
                "name": distinct[index],
                "style": numbers[index],
                "x": [_x(x, chart.x) for x in series.x],
                "y": _numbers(series.y, chart),
                "low": _numbers(series.low, chart),
                "high": _numbers(series.high, chart),
                "labels": [printable(label) for label in series.labels],
                "marked": list(series.marked),
            }
            for index, series in enumerate(chart.series)
        ],
    }


def specification(chart: Chart) -> _Specification:
    """Returns the Vega-Lite specification of a chart, whose data set `points` the page's script adds."""
    numbers, distinct = styles(chart.series), names(chart.series)
    style = {
        "domain": distinct,
        "color": [_color(number) for number in numbers],
        "dash": [_DASHES[number if number <= COLORS else EARLIER] for number in numbers],
        "shape": [_SHAPES[number if number <= COLORS else number - COLORS] for number in numbers],
    }
    layers = {"line": _line, "bar": _bar, "histogram": _histogram, "scatter": _scatter}[chart.form]
    return {
        "$schema": SCHEMA,
        "data": {"name": "points"},
        "width": "container",
        "height": _height(chart),
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": "transparent",
        "layer": layers(chart, style),
        "config": _CONFIG,
    }


def _height(chart: Chart) -> int:
    if is_horizontal(chart):
        rows = len(categories(chart)) * max(1, len(chart.series))
        return max(40 * min(5, rows), rows * _ROW_HEIGHT)
    return _SQUARE_HEIGHT if chart.diagonal else _HEIGHT


def _color(number: int) -> str:
    if number == EARLIER:
        return "var(--earlier)"
    return f"var(--series-{number})" if number <= COLORS else f"var(--earlier-{number - COLORS})"


def _x(x: str | float, axis: Axis) -> str | float | None:
    """Returns a position as Vega has it: times in milliseconds."""
    if axis.scale == "ordinal" or isinstance(x, str):
        return printable(str(x))
    number = finite(x)
    if number is None or (axis.scale == "log" and number <= 0):
        return None
    return number * 1000 if axis.scale == "time" else number


def _numbers(values: tuple[float | None, ...], chart: Chart) -> list[float | None]:
    """Returns the values of a series. A logarithmic axis of lines and points has no place for 0."""
    is_log = chart.y.scale == "log" and chart.form in ("line", "scatter")
    finites = (finite(value) for value in values)
    return [None if value is None or (is_log and value <= 0) else _rounded(value) for value in finites]


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _position(axis: Axis, field: str, chart: Chart) -> _Specification:
    """Returns the channel of a position."""
    is_x = axis is chart.x
    labels: _Specification = {"title": printable(axis.title)}
    if axis.scale == "ordinal":
        domain = categories(chart)
        if not is_horizontal(chart):
            labels |= {"labelAngle": 0, "labelOverlap": "greedy", "labelSeparation": 4}
        return {"field": field, "type": "ordinal", "sort": None, "scale": {"domain": domain}, "axis": labels}
    if axis.scale == "time":
        labels |= {"format": _time_format(chart), "labelOverlap": "greedy", "labelSeparation": 8}
        return {"field": field, "type": "temporal", "scale": {"type": "utc"}, "axis": labels}
    scale: _Specification = {"zero": axis.zero, "nice": not (is_x and chart.form in ("line", "histogram"))}
    labels |= {"labelOverlap": "greedy", "labelSeparation": 8}
    if axis.scale == "log":
        has_zero = chart.form in ("bar", "histogram") and not is_x
        scale = {"type": "symlog"} if has_zero else {"type": "log", "nice": False}
    if not is_x:
        labels |= {"tickCount": 5}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": labels}


def _time_format(chart: Chart) -> str:
    """Returns the format of times: hours for a day, days for longer."""
    numbers = [x for series in chart.series for x in series.x if isinstance(x, int | float)]
    days = (max(numbers) - min(numbers)) / 86400 if numbers else 0
    return "%H:%M" if days <= 1 else "%b %d %H:%M" if days <= 3 else "%Y-%m-%d"


def _channels(chart: Chart, style: dict[str, Any]) -> _Specification:
    """Returns the channels that all layers have."""
    color = {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": style["domain"], "range": style["color"]},
        "legend": None,
    }
    return {"x": _position(chart.x, "x", chart), "y": _position(chart.y, "y", chart), "color": color}


def _by_series(style: dict[str, Any], what: str) -> _Specification:
    scale = {"domain": style["domain"], "range": style[what]}
    return {"field": "series", "type": "nominal", "scale": scale, "legend": None}


def _line(chart: Chart, style: dict[str, Any]) -> list[_Specification]:
    channels = _channels(chart, style)
    has_few = max((len(series.x) for series in chart.series), default=0) <= 40
    layers: list[_Specification] = []
    if any(series.low for series in chart.series):
        band = channels | {"y": channels["y"] | {"field": "low"}, "y2": {"field": "high"}}
        layers.append({"mark": {"type": "area", "opacity": 0.16}, "encoding": band})
    dashed = channels | {"strokeDash": _by_series(style, "dash")}
    layers.append({"mark": {"type": "line", "strokeWidth": 2, "strokeJoin": "round"}, "encoding": dashed})
    if has_few:
        layers.append({"mark": {"type": "point", "filled": True, "size": 28}, "encoding": channels})
    return [*layers, *_marked(chart, channels)]


def _marked(chart: Chart, channels: _Specification) -> list[_Specification]:
    """Returns the layer of marked points: rings."""
    if not any(series.marked for series in chart.series):
        return []
    mark = {"type": "point", "filled": False, "size": 150, "strokeWidth": 2.5}
    return [
        {"transform": [{"filter": {"field": "marked", "equal": True}}], "mark": mark, "encoding": channels}
    ]


def _bar(chart: Chart, style: dict[str, Any]) -> list[_Specification]:
    channels = _channels(chart, style)
    along, across = "x", "y"
    if is_horizontal(chart):
        channels = channels | {"x": channels["y"], "y": channels["x"]}
        channels["y"] = channels["y"] | {"axis": channels["y"]["axis"] | {"labelLimit": 190, "title": None}}
        along, across = "y", "x"
    if chart.x.scale == "ordinal":
        channels[along] = channels[along] | {"scale": channels[along]["scale"] | {"paddingInner": 0.25}}
        if len(chart.series) > 1:
            channels[f"{along}Offset"] = {
                "field": "series",
                "type": "nominal",
                "scale": {"domain": style["domain"]},
            }
    layers: list[_Specification] = [{"mark": {"type": "bar", "cornerRadiusEnd": 2}, "encoding": channels}]
    if any(series.low for series in chart.series):
        ends = channels | {
            across: channels[across] | {"field": "low"},
            f"{across}2": {"field": "high"},
            "color": {"value": "var(--ink)"},
        }
        layers.append({"mark": {"type": "rule", "strokeWidth": 1.5}, "encoding": ends})
    return [*layers, *_bar_values(chart, channels, across)]


def _bar_values(chart: Chart, channels: _Specification, across: str) -> list[_Specification]:
    """Returns the layer of the values at the ends of bars, where nothing else is."""
    has_place = len(chart.series) == 1 and len(chart.series[0].x) <= 24 and not chart.series[0].low
    if not has_place or chart.x.scale != "ordinal":
        return []
    beside = {"align": "left", "dx": 5} if across == "x" else {"baseline": "bottom", "dy": -4}
    text = {"field": "y", "type": "quantitative", "format": ",.4~r"}
    encoding = channels | {"text": text, "color": {"value": "var(--ink)"}}
    return [{"mark": {"type": "text", "fontSize": 11.5, **beside}, "encoding": encoding}]


def _histogram(chart: Chart, style: dict[str, Any]) -> list[_Specification]:
    """Returns layers of areas with steps: bars of several series would hide each other."""
    channels = _channels(chart, style)
    area = {"type": "area", "interpolate": "step-after", "opacity": 0.22}
    edge = {"type": "line", "interpolate": "step-after", "strokeWidth": 1.8}
    unstacked = channels | {"y": channels["y"] | {"stack": None}}
    return [
        {"mark": area, "encoding": unstacked},
        {"mark": edge, "encoding": channels | {"strokeDash": _by_series(style, "dash")}},
    ]


def _scatter(chart: Chart, style: dict[str, Any]) -> list[_Specification]:
    channels = _channels(chart, style)
    layers: list[_Specification] = []
    values = [
        value
        for series in chart.series
        for pair in zip(series.x, series.y, strict=False)
        for value in pair
        if isinstance(value, int | float) and finite(value) is not None
    ]
    if chart.diagonal and values:
        ends = [{"x": end, "y": end} for end in (min(values), max(values))]
        line = {key: {"field": key, "type": "quantitative"} for key in ("x", "y")}
        mark = {"type": "line", "strokeWidth": 1, "strokeDash": [4, 4], "color": "var(--muted)"}
        layers.append({"data": {"values": ends}, "mark": mark, "encoding": line})
    shaped = channels | {"shape": _by_series(style, "shape")}
    many = sum(len(series.x) for series in chart.series) > 200
    mark = {"type": "point", "filled": True, "size": 26 if many else 48, "opacity": 0.45 if many else 0.8}
    return [*layers, {"mark": mark, "encoding": shaped}, *_marked(chart, channels)]


_CONFIG: _Specification = {
    "font": _FONT,
    "view": {"stroke": None},
    "aria": False,
    "axis": {
        "domainColor": "var(--line-strong)",
        "gridColor": "var(--line)",
        "labelColor": "var(--muted)",
        "labelFontSize": 11.5,
        "labelPadding": 6,
        "tickColor": "var(--line-strong)",
        "tickSize": 4,
        "titleColor": "var(--ink)",
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "titlePadding": 10,
    },
    "axisX": {"grid": False},
    "axisY": {"domain": False, "ticks": False},
}
