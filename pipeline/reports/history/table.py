"""The history as a table on the terminal."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from bitext.components.shared.metrics import Bleu
from bitext.pipeline.reports.contents import Score
from bitext.pipeline.reports.history import History
from bitext.pipeline.reports.history.entries import Entry

SHOWN = 20
"""The most passes that are shown without `--limit`."""
_HEADER = ("run", "when (UTC)", "result", Bleu.label, "rows", "minutes")
_RIGHT = frozenset({"rows", "minutes"})


def render(history: History, limit: int | None = None) -> str:
    """Returns the table, newest first.

    Args:
      history: the history.
      limit: the most passes that are shown; None: `SHOWN`.
    """
    if not history.entries:
        return "No runs yet. Start one with: bitext run CONFIG"
    count = SHOWN if limit is None else limit
    shown = history.entries[max(0, len(history.entries) - count) :]
    lines = _aligned([_HEADER, *(_cells(entry) for entry in reversed(shown))])
    if hidden := len(history.entries) - len(shown):
        lines.append(
            f"and {hidden:,} earlier {_runs(hidden)}, which are on the page (--limit {len(history.entries)})"
        )
    if history.omitted:
        lines.append(f"and {history.omitted:,} earlier {_runs(history.omitted)} (--limit 0 shows all)")
    return "\n".join([*lines, "", f"Page  {history.page}"] if history.page else lines)


def outcome_text(entry: Entry) -> str:
    """What a pass came to: `pushed 26`, `rolled back to 22 as 24`, `failed`."""
    if entry.rolled_back_to is not None:
        return f"rolled back to {entry.rolled_back_to} as {entry.version}"
    forced = " by force" if entry.forced and entry.outcome == "pushed" else ""
    return f"{entry.outcome} {entry.version}{forced}" if entry.version is not None else entry.outcome


def when(seconds: float) -> str:
    """A moment in UTC: `2026-01-31 12:00`."""
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M}"


def interval_text(score: Score) -> str:
    """The interval of a score: `[38.25, 40.86]`; empty: not on record."""
    return "" if score.interval is None else f"[{score.interval[0]:.2f}, {score.interval[1]:.2f}]"


def _cells(entry: Entry) -> tuple[str, ...]:
    several = f" ({len(entry.runs)} runs)" if len(entry.runs) > 1 else ""
    bleu = entry.scores.get(Bleu.name)
    return (
        entry.id,
        when(entry.started),
        outcome_text(entry) + several,
        f"{bleu.score:.2f} {interval_text(bleu)}".rstrip() if bleu else "",
        f"{entry.rows:,}" if entry.rows is not None else "",
        f"{entry.seconds / 60:.1f}" if entry.seconds is not None else "",
    )


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:>{width}}" if name in _RIGHT else f"{cell:<{width}}"
            for cell, width, name in zip(row, widths, _HEADER, strict=True)
        ).rstrip()
        for row in rows
    ]


def _runs(count: int) -> str:
    return "run" if count == 1 else "runs"
