"""The report of `bitext status` as tables, for a terminal that is wide enough."""

from __future__ import annotations

import io
from typing import Any

from bitext.components.shared.display import printable
from bitext.components.shared.metrics import METRICS, Bleu, ChrF
from bitext.pipeline.reports import running
from bitext.pipeline.terminal import duration

MIN_WIDTH = 80
"""A narrower terminal gets the plain text."""
WITH_START, WITH_ALL_SCORES = 96, 116
"""Widths from which the start and all scores of a run fit into a line."""
_STYLES = {"COMPLETE": "green", "RUNNING": "cyan", "FAILED": "red", "CANCELED": "yellow"}


def render(status: dict[str, Any], width: int, shown_runs: int) -> str:
    """Returns the runs as a table, the nodes of the newest run as another one, and what is served.

    Args:
      status: the report, with at least one run.
      width: the width of the terminal, in columns.
      shown_runs: the most runs shown.
    """
    from rich.console import Console

    file = io.StringIO()
    # The text goes to the terminal as it is. rich obeys NO_COLOR.
    console = Console(file=file, width=width, force_terminal=True, highlight=False, markup=False, emoji=False)
    console.print(_runs(status, width, shown_runs))
    newest = status["runs"][0]
    console.print()
    console.print(_nodes(newest))
    for text in texts(newest):
        console.print(printable(text))
    return file.getvalue().rstrip()


def texts(run: dict[str, Any]) -> list[str]:
    """What else is known of a run: where it is, the reasons of a refusal or a force, its error."""
    where = running.lines(run["progress"]) if run["progress"] else []
    forced = f"blessed by force: {run['forced']}" if run["blessed"] and run["forced"] else None
    tuning = [_tuning(run["tuning"])] if run["tuning"] else []
    return [*where, *tuning, *run["reasons"], *filter(None, [forced, run["problem"], run["error"]])]


def _tuning(tuning: dict[str, Any]) -> str:
    """The trials that a tuning worked on: `trials: 12 complete, 3 pruned; best validation BLEU 34.20`."""
    counts = ", ".join(f"{count} {state}" for state, count in tuning["trials"].items())
    best = tuning["validation_bleu"]
    return f"trials: {counts}" + ("" if best is None else f"; best validation BLEU {best:.2f}")


def verdict(run: dict[str, Any]) -> str:
    """Returns the verdict of a run in words; empty: there is none."""
    if run["blessed"] and run["forced"]:
        return "blessed by force"
    return {True: "blessed", False: "not blessed", None: ""}[run["blessed"]]


def _runs(status: dict[str, Any], width: int, shown_runs: int) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("run", no_wrap=True)
    table.add_column("state")
    if width >= WITH_START:
        table.add_column("started (UTC)", no_wrap=True)
    table.add_column("took", justify="right")
    metrics = METRICS if width >= WITH_ALL_SCORES else [Bleu, ChrF]
    labels = {metric.name: metric.label for metric in metrics}
    for label in labels.values():
        table.add_column(label, justify="right")
    table.add_column("verdict")
    served = (status["pushed"] or {}).get("run")
    for run in status["runs"][:shown_runs]:
        state = run["state"]
        if run["progress"] and not run["progress"]["alive"]:
            state = "process ended"
        served_by = "served, by force" if run["forced"] else "served"
        scores = [f"{run['scores'][name]:.2f}" if name in run["scores"] else "" for name in labels]
        table.add_row(
            run["id"],
            Text(state, style=_STYLES.get(state, "red")),
            *([run["started"].replace("T", " ")[:16]] if width >= WITH_START else []),
            "" if run["seconds"] is None else duration(run["seconds"]),
            *scores,
            served_by if run["id"] == served else verdict(run),
        )
    return table


def _nodes(run: dict[str, Any]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"run {run['id']}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("node")
    table.add_column("state")
    table.add_column("took", justify="right")
    for name, node in run["nodes"].items():
        state = "CACHED" if node["cached"] else node["state"]
        seconds = "" if node["seconds"] is None or node["cached"] else duration(node["seconds"])
        table.add_row(name, Text(state.lower(), style=_STYLES.get(state, "dim")), seconds)
    return table
