"""TFDV's statistics, drawn: each feature of all splits and spans side by side, against the schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from bitext.components.artifacts import ExampleStatistics, span_label
from bitext.components.artifacts.page import Axis, Block, Cell, Chart, Column, Details, Series, Table
from bitext.components.reporter import Inputs

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

TEXTS = frozenset({"id", "source", "target"})
"""Features whose values are almost all different: TFDV can only estimate how frequent they are."""
SHOWN_SERIES = 4
"""The most data sets in a chart, besides those of the earlier run."""
SHOWN_VALUES = 25
"""The most values of a feature in a chart."""
_LISTED_VALUES = 6
_EARLIER = "earlier run"
Role = Literal["main", "other", "earlier"]


@dataclasses.dataclass(frozen=True)
class _DataSet:
    """The statistics of a split of a span.

    Attributes:
      name: `train`, `span 7 train`, `earlier run train`.
      role: how it is drawn.
      features: the statistics by feature.
      examples: number of examples.
    """

    name: str
    role: Role
    features: dict[str, statistics_pb2.FeatureNameStatistics]
    examples: int


def blocks(inputs: Inputs) -> Iterator[Block]:
    """Yields the tables, and a chart of each feature.

    Raises:
      DataError: a file is damaged.
    """
    data = [*_data_sets(inputs.statistics, ""), *_data_sets(inputs.previous_statistics, _EARLIER)]
    data = [each for each in data if each.examples]
    if not data:
        return
    schema = inputs.schema.load() if inputs.schema is not None else None
    expected = {f.name: _expected(f, schema) for f in schema.feature} if schema else {}
    names = list(dict.fromkeys(name for each in data for name in each.features if name not in TEXTS))
    numbers = [name for name in names if _is_number(name, data)]
    others = [name for name in names if name not in numbers]
    tables: list[Block] = []
    if numbers:
        tables.append(_number_table(numbers, data, expected))
    if others:
        tables.append(_value_table(others, data, expected))
    charts = [chart for name in names if (chart := _chart(name, data, expected.get(name, "")))]
    sets = f"{len(data)} data set{'s' * (len(data) != 1)}"
    yield Details(
        summary=f"Statistics of {len(names)} features in {sets}, against the schema", blocks=tuple(tables)
    )
    if charts:
        yield Details(summary=f"Distributions of {len(charts)} features", blocks=tuple(charts))


def _data_sets(statistics: Sequence[ExampleStatistics], prefix: str) -> Iterator[_DataSet]:
    """Yields the statistics of every split of every span; train first, the newest span first."""
    order = {"train": 0, "eval": 1, "test": 2}
    found = [(span, split) for span in reversed(statistics) for split in span.splits()]
    for span, split in sorted(found, key=lambda pair: order.get(pair[1], 3)):
        dataset = span.load(split).datasets[0]
        name = " ".join(filter(None, (prefix, span_label(span), split)))
        role: Role = (
            "earlier" if prefix else "main" if split == "train" and span is statistics[-1] else "other"
        )
        by_name = {".".join(f.path.step) or f.name: f for f in dataset.features}
        yield _DataSet(name, role, by_name, int(dataset.num_examples))


def _is_number(name: str, data: Sequence[_DataSet]) -> bool:
    first = next(each.features[name] for each in data if name in each.features)
    return first.WhichOneof("stats") == "num_stats"


def _expected(feature: schema_pb2.Feature, schema: schema_pb2.Schema | None) -> str:
    """What the schema allows: `1 to 100000`, `Latin, Cyrillic`."""
    values = list(feature.string_domain.value)
    if feature.domain and schema is not None:
        values = [v for domain in schema.string_domain if domain.name == feature.domain for v in domain.value]
    if values:
        more = len(values) - _LISTED_VALUES
        share = feature.distribution_constraints.min_domain_mass
        mass = f" in at least {share:.0%}" if 0 < share < 1 else ""
        return ", ".join(values[:_LISTED_VALUES]) + (f" and {more} more" if more > 0 else "") + mass
    for kind in ("int_domain", "float_domain"):
        if feature.HasField(kind):
            domain = getattr(feature, kind)
            low = f"{domain.min:g}" if domain.HasField("min") else ""
            high = f"{domain.max:g}" if domain.HasField("max") else ""
            return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
    return ""


def _missing(feature: statistics_pb2.FeatureNameStatistics) -> int:
    which = feature.WhichOneof("stats")
    return int(getattr(feature, which).common_stats.num_missing) if which else 0


def _number_table(names: Sequence[str], data: Sequence[_DataSet], expected: dict[str, str]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        for each in data:
            if name in each.features:
                feature = each.features[name]
                stats = feature.num_stats
                figures = (stats.min, stats.median, stats.mean, stats.max, stats.std_dev)
                rows.append((name, each.name, _missing(feature), *figures, expected.get(name, "")))
    figures_columns = (
        Column(title=t, content="number", digits=2) for t in ("min", "median", "mean", "max", "std")
    )
    return Table(
        title="Numbers",
        columns=(
            Column(title="feature"),
            Column(title="data"),
            Column(title="missing", content="number"),
            *figures_columns,
            Column(title="schema"),
        ),
        rows=tuple(rows),
    )


def _value_table(names: Sequence[str], data: Sequence[_DataSet], expected: dict[str, str]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        for each in data:
            if name in each.features:
                feature = each.features[name]
                stats = feature.string_stats
                listed = ", ".join(
                    f"{value.value} {value.frequency / each.examples:.1%}"
                    for value in stats.top_values[:_LISTED_VALUES]
                )
                rows.append(
                    (name, each.name, _missing(feature), stats.unique, listed, expected.get(name, ""))
                )
    return Table(
        title="Values",
        columns=(
            Column(title="feature"),
            Column(title="data"),
            Column(title="missing", content="number"),
            Column(title="different values", content="number"),
            Column(title="most frequent values", content="corpus"),
            Column(title="schema"),
        ),
        rows=tuple(rows),
    )


def _drawn(name: str, data: Sequence[_DataSet]) -> list[_DataSet]:
    """The data sets of a chart: the first ones of this run, and the first of the earlier run."""
    present = [each for each in data if name in each.features]
    own = [each for each in present if each.role != "earlier"][:SHOWN_SERIES]
    earlier = [each for each in present if each.role == "earlier"][:1]
    return [*own, *earlier]


def _chart(name: str, data: Sequence[_DataSet], expected: str) -> Chart | None:
    """The chart of a feature; None: it has one value only."""
    drawn = _drawn(name, data)
    chart = _number_chart(name, drawn) if _is_number(name, data) else _value_chart(name, drawn)
    if chart is None or not expected:
        return chart
    kind = type(chart)
    return kind(
        **{field: getattr(chart, field) for field in chart.__struct_fields__ if field != "alternative"},
        alternative=f"{chart.alternative} The schema allows {expected}.",
    )


def _number_chart(name: str, drawn: Sequence[_DataSet]) -> Chart | None:
    """The cumulative distribution of a number, by its deciles."""
    series, medians = [], []
    for each in drawn:
        stats = each.features[name].num_stats
        quantiles = [h for h in stats.histograms if h.type == h.QUANTILES]
        if not quantiles or not quantiles[0].buckets:
            continue
        buckets = quantiles[0].buckets
        total = sum(bucket.sample_count for bucket in buckets) or 1.0
        x, y = [buckets[0].low_value], [0.0]
        for bucket in buckets:
            x.append(bucket.high_value)
            y.append(y[-1] + bucket.sample_count / total)
        points = [(round(a, 4), round(b, 4)) for a, b in zip(x, y, strict=True)]
        series.append(
            Series(
                name=each.name, x=tuple(p[0] for p in points), y=tuple(p[1] for p in points), role=each.role
            )
        )
        medians.append(f"{each.name} {stats.median:g}")
    if not series:
        return None
    return Chart(
        form="line",
        title=name,
        x=Axis(
            title=name.replace("_", " "), zero=False, scale="log" if _is_skewed(name, drawn) else "linear"
        ),
        y=Axis(title="share of the examples up to this value"),
        series=tuple(series),
        alternative=f"The median is: {', '.join(medians)}.",
    )


def _is_skewed(name: str, drawn: Sequence[_DataSet]) -> bool:
    """Whether the largest values are so far from the median that a linear axis would show these only."""
    stats = [each.features[name].num_stats for each in drawn]
    return min(s.min for s in stats) > 0 and max(s.max for s in stats) > 5 * max(s.median for s in stats)


def _value_chart(name: str, drawn: Sequence[_DataSet]) -> Chart | None:
    """The shares of the most frequent values."""
    shares = {
        each.name: {v.value: v.frequency / each.examples for v in each.features[name].string_stats.top_values}
        for each in drawn
    }
    largest: dict[str, float] = {}
    for by_value in shares.values():
        for value, share in by_value.items():
            largest[value] = max(share, largest.get(value, 0.0))
    values = sorted(largest, key=lambda value: (-largest[value], value))[:SHOWN_VALUES]
    if len(values) < 2:
        return None
    if name.endswith("_length"):
        values.sort(key=lambda value: int(value.rstrip("+").split("-")[0]) if value[:1].isdigit() else 0)
    first = shares[drawn[0].name]
    most = ", ".join(
        f"{value} {first.get(value, 0):.1%}" for value in sorted(values, key=lambda v: -largest[v])[:3]
    )
    return Chart(
        form="bar",
        title=name,
        x=Axis(title=name.replace("_", " "), scale="ordinal"),
        y=Axis(title="share of the examples"),
        series=tuple(
            Series(
                name=each.name,
                x=tuple(values),
                y=tuple(round(shares[each.name].get(value, 0.0), 5) for value in values),
                role=each.role,
            )
            for each in drawn
        ),
        alternative=f"The most frequent values of {drawn[0].name}: {most}.",
    )
