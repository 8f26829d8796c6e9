"""Charts over time: one point for each pass that has a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from bitext.components.artifacts.page import Axis, Chart, Column, Series, Table
from bitext.pipeline.reports.history.entries import OUTCOMES, Entry, Outcome
from bitext.pipeline.reports.history.table import outcome_text

TIME = Axis(title="start of the run (UTC)", scale="time")
MAX_SERIES = 6
"""The most series of a chart: more colors cannot be told apart."""


def series(
    name: str,
    entries: Sequence[Entry],
    value: Callable[[Entry], float | None],
    interval: Callable[[Entry], tuple[float, float] | None] | None = None,
    role: Literal["main", "other", "earlier"] = "main",
    marked: Callable[[Entry], bool] | None = None,
) -> Series | None:
    """Returns a series over time; None: no pass has a value.

    Args:
      name: its name in the legend.
      entries: oldest first.
      value: the value of a pass; None: it has none.
      interval: its interval; None: it has none.
      role: see `Series`.
      marked: whether the point of a pass is marked.
    """
    points = [(entry, y) for entry in entries if (y := value(entry)) is not None and math.isfinite(y)]
    if not points:
        return None
    bounds = [interval(entry) if interval else None for entry, _ in points]
    has_bounds = any(bound is not None for bound in bounds)
    return Series(
        name=name,
        x=tuple(entry.started for entry, _ in points),
        y=tuple(y for _, y in points),
        low=tuple(bound[0] if bound else None for bound in bounds) if has_bounds else (),
        high=tuple(bound[1] if bound else None for bound in bounds) if has_bounds else (),
        labels=tuple(f"{entry.id}, {outcome_text(entry)}" for entry, _ in points),
        role=role,
        marked=tuple(i for i, (entry, _) in enumerate(points) if marked(entry)) if marked else (),
    )


def over_time(title: str, y: Axis, every: Sequence[Series | None], digits: int = 2) -> list[Chart]:
    """Returns a chart of the series that are not None in a list; an empty list if there are none.

    Args:
      title: what it shows.
      y: the vertical axis.
      every: the series.
      digits: digits after the point in the description.
    """
    present = tuple(one for one in every if one is not None)
    if not present:
        return []
    values = ", ".join(_description(one, digits) for one in present)
    text = f"{title}, last value and range: {values}."
    return [Chart(form="line", title=title, x=TIME, y=y, series=present, alternative=text)]


def _description(one: Series, digits: int) -> str:
    values = [y for y in one.y if y is not None]
    last = f"{one.name} {values[-1]:,.{digits}f}"
    if min(values) == max(values):
        return last
    return f"{last} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def largest(totals: Mapping[str, float]) -> list[str]:
    """Returns the names with the largest totals, at most `MAX_SERIES`."""
    return sorted(totals, key=lambda name: (-totals[name], name))[:MAX_SERIES]


def counts_by_month(months: Sequence[str], counts: Mapping[tuple[Outcome, str], int]) -> Table:
    """Returns a table of the number of runs by result and month, newest first.

    Args:
      months: the months in order: `2026-01`.
      counts: number of runs by result and month.
    """
    shown = [outcome for outcome in OUTCOMES if any(counts.get((outcome, month)) for month in months)]
    return Table(
        title="Results by month",
        columns=(Column("Month"), *(Column(outcome, "number") for outcome in shown)),
        rows=tuple(
            (month, *(counts.get((outcome, month), 0) for outcome in shown)) for month in reversed(months)
        ),
    )
