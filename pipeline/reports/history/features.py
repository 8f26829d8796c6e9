"""The section about the features of the data over time, and how far they drift."""

from __future__ import annotations

from collections.abc import Sequence

from bitext.components.artifacts.page import Axis, Block, Chart, Column, Section, Table
from bitext.pipeline.reports.history import charts
from bitext.pipeline.reports.history.entries import Entry, Feature
from bitext.pipeline.reports.history.table import when

_LENGTHS = (
    ("Length of the sentences", "characters", ("source_characters", "target_characters")),
    ("Words of the sentences", "words", ("source_words", "target_words")),
    ("Length of the target, by that of the source", "ratio", ("length_ratio",)),
)
"""Title, unit and features of the charts of means."""


def section(entries: Sequence[Entry]) -> Section | None:
    """Returns the section; None: no statistics exist any more."""
    known = [entry for entry in entries if entry.features]
    if not known:
        return None
    blocks: list[Block] = []
    for title, unit, names in _LENGTHS:
        blocks += charts.over_time(
            title,
            Axis(title=f"mean, 10 % and 90 % ({unit})", zero=False),
            [
                charts.series(
                    name,
                    [entry for entry in known if name in entry.features],
                    lambda e, n=name: e.features[n].mean,  # type: ignore[misc]
                    lambda e, n=name: _bounds(e.features[n]),  # type: ignore[misc]
                    role="main" if position == 0 else "other",
                )
                for position, name in enumerate(names)
            ],
        )
    blocks += _drift(known)
    summary = (
        "Training examples that are new in a run: the whole corpus, or its new spans. Drift is their distance"
        " from the data of the run before, as TFDV measures it: 0 equal, 1 nothing in common."
    )
    return Section(id="features", title="Features and drift", blocks=tuple(blocks), summary=summary)


def _bounds(feature: Feature) -> tuple[float, float] | None:
    if feature.low is None or feature.high is None:
        return None
    return feature.low, feature.high


def _drift(known: Sequence[Entry]) -> list[Chart | Table]:
    """The distances of each feature over time: a chart for numbers, one for strings, and a table."""
    names = sorted(
        {name for e in known for name, feature in e.features.items() if feature.distance is not None}
    )
    largest = {name: max(_distance(e, name) or 0.0 for e in known) for name in names}
    numbers = {name for e in known for name, feature in e.features.items() if feature.mean is not None}
    blocks: list[Chart | Table] = []
    for title, group in (
        ("Drift of numbers (Jensen-Shannon divergence)", [n for n in names if n in numbers]),
        ("Drift of categories (L-infinity distance)", [n for n in names if n not in numbers]),
    ):
        shown = charts.largest({name: largest[name] for name in group})
        blocks += charts.over_time(
            title,
            Axis(title="distance from the run before"),
            [charts.series(name, known, lambda e, n=name: _distance(e, n)) for name in shown],  # type: ignore[misc]
            digits=3,
        )
    if names:
        blocks.append(_table(known, names, largest))
    return blocks


def _distance(entry: Entry, name: str) -> float | None:
    feature = entry.features.get(name)
    return feature.distance if feature else None


def _table(known: Sequence[Entry], names: Sequence[str], largest: dict[str, float]) -> Table:
    rows = []
    for name in sorted(names, key=lambda name: -largest[name]):
        has = [entry for entry in known if name in entry.features]
        last = has[-1].features[name]
        peak = next(entry for entry in known if (_distance(entry, name) or 0.0) == largest[name])
        rows.append((name, last.mean, last.median, last.distance, largest[name], when(peak.started), peak.id))
    return Table(
        title="Features",
        columns=(
            Column("Feature"),
            Column("Mean, last", "number", 3),
            Column("Median, last", "number", 3),
            Column("Drift, last", "number", 3),
            Column("Largest drift", "number", 3),
            Column("When (UTC)"),
            Column("Run", "run"),
        ),
        rows=tuple(rows),
        note="The thresholds are in the schema; ExampleValidator judges each new span against the previous"
        " blessed run, and raises a threshold by three standard deviations of the sampling noise.",
    )
