"""The comparison as text on the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from bitext.components.shared.metrics import METRICS
from bitext.pipeline.reports.compare.content import CommonSet, Comparison, Figure, RecordedScore
from bitext.pipeline.reports.compare.settings import Change
from bitext.pipeline.reports.history.entries import Entry
from bitext.pipeline.reports.history.table import outcome_text, when
from bitext.pipeline.terminal import duration

LABELS = {metric.name: metric.label for metric in METRICS}
SHOWN_CHANGES = 20
"""The most differences of one kind that are shown."""
SHOWN_CHARACTERS = 60
"""The most characters of a value."""
_TERMINAL_GROUPS = ("rows", "rows that did not become examples", "examples", "model", "training")


def render(comparison: Comparison) -> str:
    """Returns the summary."""
    sections = [
        _runs(comparison),
        _settings(comparison.settings),
        _figures(comparison.figures),
        _scores(comparison.scores),
        *(_common(one) for one in comparison.common),
        "\n".join(comparison.missing),
        f"Page  {comparison.page}" if comparison.page else "",
    ]
    return "\n\n".join(section for section in sections if section)


def _runs(comparison: Comparison) -> str:
    return "\n".join(
        f"{name:<8}{entry.id}  {when(entry.started)} UTC  {outcome_text(entry)}{_took(entry)}"
        for name, entry in (("first", comparison.first), ("second", comparison.second))
    )


def _took(entry: Entry) -> str:
    return "" if entry.seconds is None else f"  {duration(entry.seconds)}"


def _settings(settings: tuple[Change, ...]) -> str:
    """The differences of the configuration with their values; the numbers of the others."""
    if not settings:
        return "configuration, files, code and libraries are the same"
    lines = []
    for kind in dict.fromkeys(change.kind for change in settings):
        of_kind = [change for change in settings if change.kind == kind]
        lines.append(f"{kind}: {len(of_kind)} difference{'s' * (len(of_kind) != 1)}")
        for change in of_kind[:SHOWN_CHANGES]:
            lines.append(f"    {change.name}: {_short(change.first)} -> {_short(change.second)}")
        if len(of_kind) > SHOWN_CHANGES:
            lines.append(f"    and {len(of_kind) - SHOWN_CHANGES} more, which are on the page")
    return "\n".join(lines)


def _short(text: str) -> str:
    return textwrap.shorten(text, SHOWN_CHARACTERS, placeholder=" ...")


def _figures(figures: tuple[Figure, ...]) -> str:
    """The figures that differ."""
    shown = [f for f in figures if f.group in _TERMINAL_GROUPS and f.first != f.second]
    if not shown:
        return ""
    cells = [(f"{f.group}: {f.name}", _number(f.first), _number(f.second), _signed(f)) for f in shown]
    return "\n".join(_aligned([("data and model", "first", "second", "difference"), *cells]))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def _signed(figure: Figure) -> str:
    difference = figure.difference
    if difference is None:
        return ""
    return ("+" if difference > 0 else "") + _number(difference)


def _scores(scores: tuple[RecordedScore, ...]) -> str:
    if not scores:
        return ""
    rows = [("recorded scores", "first", "second", "difference")]
    notes = not_subtracted(scores)
    for score in scores:
        rows.append(
            (
                f"{score.set}: {LABELS.get(score.metric, score.metric)}",
                _score(score.first, score.first_interval),
                _score(score.second, score.second_interval),
                "" if score.difference is None else f"{score.difference:+.2f}",
            )
        )
    return "\n".join([*_aligned(rows), *notes])


def not_subtracted(scores: tuple[RecordedScore, ...]) -> list[str]:
    """Returns which recorded scores are not subtracted, and why."""
    by_reason: dict[str, list[str]] = {}
    for score in scores:
        if score.reason:
            by_reason.setdefault(score.reason, []).append(f"{score.set}: {LABELS[score.metric]}")
    return [f"not subtracted, {reason}: {', '.join(names)}" for reason, names in by_reason.items()]


def _score(score: float | None, interval: tuple[float, float] | None) -> str:
    if score is None:
        return "-"
    return f"{score:.2f}" if interval is None else f"{score:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _common(one: CommonSet) -> str:
    others = f"{one.first_only:,} only in the first run, {one.second_only:,} only in the second"
    head = f"{one.sentences:,} common sentences of the {one.set} ({others})"
    if not one.sentences:
        return f"{head}: no scores can be compared"
    rows = [("", "first", "second", "difference", "p")]
    for score in one.scores:
        verdict = "" if score.better == "neither" else f"{score.better} is significantly better"
        difference = f"{score.difference:+.2f}"
        rows.append(
            (
                f"    {LABELS.get(score.metric, score.metric)}",
                *(f"{score.first:.2f}", f"{score.second:.2f}", difference),
                f"{score.p_value:.3f}  {verdict}".rstrip(),
            )
        )
    changed = f"    chrF of the sentence: {one.improved:,} higher, {one.worsened:,} lower in the second run"
    return "\n".join([head, *_aligned(rows), changed])


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:<{width}}" if position in (0, 4) else f"{cell:>{width}}"
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
