"""The section about what runs cost: time, memory, speed of training."""

from __future__ import annotations

from collections.abc import Sequence

from bitext.components.artifacts.page import Axis, Block, Column, Section, Table
from bitext.pipeline.reports.history import charts
from bitext.pipeline.reports.history.entries import Entry, NodeCost

GIGABYTE = 1e9


def section(entries: Sequence[Entry]) -> Section | None:
    """Returns the section; None: no node has run."""
    names = list(dict.fromkeys(name for entry in entries for name in entry.nodes))
    if not names:
        return None
    totals = {name: sum(e.nodes[name].seconds for e in entries if name in e.nodes) for name in names}
    shown = charts.largest(totals)
    memory = [n for n in shown if any(_memory(e, n) is not None for e in entries)]
    blocks: list[Block] = [
        *charts.over_time(
            "Time of each run that changed anything",
            Axis(title="minutes"),
            [
                charts.series(
                    "all nodes",
                    [entry for entry in entries if entry.outcome != "unchanged"],
                    lambda e: None if e.seconds is None else e.seconds / 60,
                )
            ],
        ),
        *charts.over_time(
            "Time of each node",
            Axis(title="minutes"),
            [charts.series(name, entries, lambda e, n=name: _minutes(e, n)) for name in shown],  # type: ignore[misc]
        ),
        *charts.over_time(
            "Peak memory of each node",
            Axis(title="gigabytes"),
            [charts.series(name, entries, lambda e, n=name: _memory(e, n)) for name in memory],  # type: ignore[misc]
        ),
        *charts.over_time(
            "Speed of the training",
            Axis(title="target tokens a second"),
            [
                charts.series(
                    "Trainer", [e for e in entries if "Trainer" in e.nodes], lambda e: e.tokens_per_second
                )
            ],
            digits=0,
        ),
        _table(entries, sorted(names, key=lambda name: -totals[name])),
    ]
    summary = "Only nodes that ran: a cached node has no point."
    return Section(id="cost", title="Time and memory", blocks=tuple(blocks), summary=summary)


def _minutes(entry: Entry, node: str) -> float | None:
    return entry.nodes[node].seconds / 60 if node in entry.nodes else None


def _memory(entry: Entry, node: str) -> float | None:
    peak = entry.nodes[node].peak_memory if node in entry.nodes else None
    return None if peak is None else peak / GIGABYTE


def _table(entries: Sequence[Entry], names: Sequence[str]) -> Table:
    rows = []
    for name in names:
        costs: list[NodeCost] = [entry.nodes[name] for entry in entries if name in entry.nodes]
        seconds = sorted(cost.seconds for cost in costs)
        peaks = [cost.peak_memory / GIGABYTE for cost in costs if cost.peak_memory is not None]
        last = costs[-1].seconds
        rows.append(
            (
                *(name, len(costs), last, seconds[len(seconds) // 2], seconds[-1], sum(seconds)),
                max(peaks, default=None),
            )
        )
    return Table(
        title="Nodes",
        columns=(
            Column("Node"),
            Column("Times run", "number"),
            Column("Last", "seconds", 1),
            Column("Median", "seconds", 1),
            Column("Longest", "seconds", 1),
            Column("All", "seconds"),
            Column("Peak memory (GB)", "number", 2),
        ),
        rows=tuple(rows),
        note="Peak memory: the largest resident memory of the process while the node ran, or of a larger"
        " child process. All nodes run in one process, which keeps the libraries that earlier ones loaded."
        " Empty: recorded by an older version.",
    )
