"""The page of the history: what happened, the scores, the data and the cost of all runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bitext.components.artifacts.page import Block, Column, Fact, Facts, Section, Table, Text, Tone
from bitext.components.pages import Page
from bitext.components.shared.metrics import METRICS, Bleu, Metric
from bitext.pipeline.reports.history import History, charts, cost, data, features, scores
from bitext.pipeline.reports.history.entries import Entry, Outcome
from bitext.pipeline.reports.history.table import interval_text, outcome_text, when

_TONES: dict[Outcome, Tone] = {
    "pushed": "good",
    "refused": "warning",
    "not pushed": "warning",
    "rolled back": "warning",
    "failed": "bad",
    "canceled": "bad",
}
_MAX_REASONS = 300
"""The most characters of the reasons in a table; the first reason is shown whatever its length."""


def page(history: History) -> Page:
    """Returns the page. The history has an entry."""
    entries = history.entries
    sections = (
        scores.section(entries),
        _events(entries),
        data.section(entries),
        features.section(entries),
        cost.section(entries),
        _runs(history),
    )
    return Page(
        title=history.pipeline,
        subtitle="history",
        verdict=_verdict(entries[-1]),
        lead=(_facts(entries), *_notes(history)),
        sections=tuple(section for section in sections if section is not None and section.blocks),
        footer=f"written by bitext history; the newest run is {entries[-1].id}",
    )


def _verdict(entry: Entry) -> Text:
    reason = f": {'; '.join(entry.reasons)}" if entry.reasons else ""
    text = f"{when(entry.started)} UTC, {outcome_text(entry)}{reason}"
    return Text(text=text, tone=_TONES.get(entry.outcome, "plain"))


def _facts(entries: Sequence[Entry]) -> Facts:
    counts = Counter(entry.outcome for entry in entries)
    served = next((entry for entry in reversed(entries) if entry.version is not None), None)
    evaluated = next((entry for entry in reversed(entries) if Bleu.name in entry.scores), None)
    facts = [Fact("runs", f"{len(entries):,}", f"since {when(entries[0].started)[:10]}")]
    facts += [
        Fact(name, f"{count:,}", tone=_TONES.get(name, "plain")) for name, count in counts.most_common()
    ]
    if served is not None:
        facts.append(Fact("newest version", str(served.version), f"since {when(served.started)}"))
    if evaluated is not None:
        score = evaluated.scores[Bleu.name]
        facts.append(Fact(Bleu.label, f"{score.score:.2f}", interval_text(score)))
    return Facts(facts=tuple(facts))


def _notes(history: History) -> list[Block]:
    """What the page cannot show."""
    notes = []
    if history.omitted:
        notes.append(f"{history.omitted:,} earlier runs are left out: bitext history --limit 0 shows all.")
    collected = sum(entry.collected for entry in history.entries)
    if collected:
        notes.append(
            f"bitext gc removed outputs of {collected:,} of these runs. Of them the page shows what the"
            " metadata store has: results, scores, rows, rejects by reason, times and memory; it cannot show"
            " the features of their data, nor intervals and reasons that older versions did not record."
        )
    return [Text(text=note) for note in notes]


def _runs(history: History) -> Section:
    metrics = [m for m in METRICS if any(m.name in entry.scores for entry in history.entries)]
    columns = (
        Column("Run", "run"),
        Column("Started (UTC)"),
        Column("Result"),
        *(column for m in metrics for column in _score_columns(m)),
        Column("Rows", "number"),
        Column("Rejected", "share", 2),
        Column("Training pairs", "number"),
        Column("Warnings", "number"),
        Column("Time", "seconds"),
    )
    rows = tuple(_row(entry, metrics) for entry in reversed(history.entries))
    several = sum(len(entry.runs) > 1 for entry in history.entries)
    note = "Scores of a model that was not trained anew are those of the earlier run."
    if several:
        note += " Runs of single nodes that continue one another, as a scheduler starts them, are one row."
    table = Table(title="All runs, newest first", columns=columns, rows=rows, note=note)
    return Section(id="runs", title="Runs", blocks=(table,))


def _score_columns(metric: type[Metric]) -> list[Column]:
    score = Column(metric.label, "number", 2)
    return [score, Column("95 % interval")] if metric.name == Bleu.name else [score]


def _row(entry: Entry, metrics: Sequence[type[Metric]]) -> tuple[str | int | float | None, ...]:
    cells: list[str | int | float | None] = [entry.id, when(entry.started), outcome_text(entry)]
    for metric in metrics:
        score = entry.scores.get(metric.name)
        cells.append(score.score if score else None)
        if metric.name == Bleu.name:
            cells.append(interval_text(score) if score else None)
    share = entry.rejected / entry.rows if entry.rows else None
    return (
        *cells,
        entry.rows,
        share,
        entry.examples.get("train"),
        entry.anomalies.get("warnings"),
        entry.seconds,
    )


def _events(entries: Sequence[Entry]) -> Section | None:
    """What was pushed, refused, rolled back and failed, with the reasons."""
    events = [entry for entry in reversed(entries) if entry.outcome not in ("unchanged", "partial")]
    if not events:
        return None
    table = Table(
        title="What happened, and why",
        columns=(Column("When (UTC)"), Column("Result"), Column("Why"), Column("Run", "run")),
        rows=tuple((when(e.started), outcome_text(e), _why(e), e.id) for e in events),
    )
    return Section(
        id="events", title="Pushed, refused, failed, rolled back", blocks=(*_by_month(entries), table)
    )


def _why(entry: Entry) -> str:
    withdrawn = f"version {entry.withdrawn} withdrawn: " if entry.withdrawn is not None else ""
    reasons = list(entry.reasons)
    while len(reasons) > 1 and sum(map(len, reasons)) > _MAX_REASONS:
        reasons.pop()
    left_out = len(entry.reasons) - len(reasons)
    return withdrawn + "; ".join([*reasons, *([f"and {left_out} more"] if left_out else [])])


def _by_month(entries: Sequence[Entry]) -> list[Table]:
    """The results by month, if there are several months."""
    months = list(dict.fromkeys(when(entry.started)[:7] for entry in entries))
    if len(months) < 2:
        return []
    counts = Counter((entry.outcome, when(entry.started)[:7]) for entry in entries)
    return [charts.counts_by_month(months, counts)]
