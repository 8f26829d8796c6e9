"""The section about the data over time: rows, rejects, spans, splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bitext.components.artifacts.page import Axis, Block, Chart, Column, Section, Series, Table
from bitext.components.example_gen import SPLITS
from bitext.pipeline.reports.history import charts
from bitext.pipeline.reports.history.entries import Entry, PartRows
from bitext.pipeline.reports.history.table import when

DUPLICATES = "exact duplicate"


def section(entries: Sequence[Entry]) -> Section | None:
    """Returns the section; None: no rows are on record."""
    read = [entry for entry in entries if entry.parts]
    if not read:
        return None
    blocks: list[Block] = [
        *charts.over_time(
            "Rows of each run",
            Axis(title="rows"),
            [
                charts.series("rows read", read, lambda e: e.rows),
                *(
                    charts.series(f"{split} split", read, lambda e, s=split: e.examples.get(s), role="other")  # type: ignore[misc]
                    for split in SPLITS
                ),
            ],
            digits=0,
        ),
        *_shares(read),
        *_parts(read),
        *charts.over_time(
            "Anomalies of the data that did not stop the run",
            Axis(title="anomalies"),
            [
                charts.series(name, read, lambda e, n=name: e.anomalies.get(n))  # type: ignore[misc]
                for name in ("warnings", "errors")
                if any(entry.anomalies.get(name) for entry in read)
            ],
            digits=0,
        ),
    ]
    summary = "Rows, splits and rejected rows of each run, and the rows of each span or corpus."
    return Section(id="data", title="Data", blocks=tuple(blocks), summary=summary)


def reason_counts(parts: Sequence[PartRows]) -> Counter[str]:
    """Returns the rows of spans that did not become examples, by reason."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.reasons)
        counts[DUPLICATES] += part.duplicates
    return counts


def _shares(read: Sequence[Entry]) -> list[Chart]:
    """The share of the new rows of each run that did not become examples, by reason."""
    new = {e.id: [part for part in e.parts if part.is_new] for e in read}
    rows = {id_: sum(part.rows for part in parts) for id_, parts in new.items()}
    counts = {id_: reason_counts(parts) for id_, parts in new.items()}
    shown = charts.largest(sum(counts.values(), Counter[str]()))

    def share(entry: Entry, reason: str) -> float | None:
        return 100 * counts[entry.id][reason] / rows[entry.id] if rows[entry.id] else None

    return charts.over_time(
        "Rows that did not become examples, by reason",
        Axis(title="share of the rows new in the run (%)"),
        [charts.series(reason, read, lambda e, r=reason: share(e, r)) for reason in shown],  # type: ignore[misc]
        digits=2,
    )


def _parts(read: Sequence[Entry]) -> list[Chart | Table]:
    """The rows of each corpus over time, or of each span by when it was read, and a table of all of them."""
    last: dict[str, tuple[PartRows, Entry]] = {}
    for entry in read:
        for part in entry.parts:
            if part.part and (part.is_new or part.part not in last):
                last.pop(part.part, None)
                last[part.part] = part, entry
    if not last:
        return []
    rows = tuple(_part_row(part, entry) for part, entry in reversed(last.values()))
    if len(last) <= charts.MAX_SERIES:
        every = [charts.series(name, read, lambda e, n=name: _rows_of(e, n)) for name in last]  # type: ignore[misc]
        chart = charts.over_time("Rows of each span or corpus", Axis(title="rows"), every, digits=0)
    else:
        chart = [_new_parts([(part, entry) for entry in read for part in entry.parts if part.is_new])]
    columns = (
        Column("Span or corpus"),
        Column("Rows", "number"),
        Column("Rejected", "share", 2),
        Column("Duplicates", "number"),
        Column("Most frequent reason"),
        Column("Read (UTC)"),
        Column("Run", "run"),
    )
    return [*chart, Table(title="Spans and corpora", columns=columns, rows=rows)]


def _rows_of(entry: Entry, name: str) -> float | None:
    return next((float(part.rows) for part in entry.parts if part.part == name), None)


def _new_parts(parts: Sequence[tuple[PartRows, Entry]]) -> Chart:
    """The rows of each span, at the time when a run read it first."""
    times = tuple(entry.started for _, entry in parts)
    labels = tuple(part.part for part, _ in parts)
    rows = tuple(float(part.rows) for part, _ in parts)
    unused = tuple(float(part.rejected + part.duplicates) for part, _ in parts)
    return Chart(
        form="line",
        title="Rows of each new span",
        x=charts.TIME,
        y=Axis(title="rows"),
        series=(
            Series(name="read", x=times, y=rows, labels=labels),
            Series(name="rejected or duplicate", x=times, y=unused, labels=labels, role="other"),
        ),
        alternative=f"{len(parts):,} spans of {min(rows):,.0f} to {max(rows):,.0f} rows;"
        f" {sum(unused):,.0f} rows in all did not become examples.",
    )


def _part_row(part: PartRows, entry: Entry) -> tuple[str | int | float | None, ...]:
    reason = max(part.reasons, key=lambda name: part.reasons[name], default="")
    return (
        part.part,
        part.rows,
        part.rejected / part.rows if part.rows else None,
        part.duplicates,
        f"{reason} {part.reasons[reason]:,}" if reason and part.reasons[reason] else "",
        when(entry.started),
        entry.id,
    )
