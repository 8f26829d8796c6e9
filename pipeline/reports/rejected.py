"""The report of `bitext rejects`: the rows that did not become examples, by reason, with file and line."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bitext.components.artifacts import Reject, Rejects
from bitext.components.shared.display import quoted
from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.shared.suggestions import similar
from bitext.pipeline.completion import complete_interrupted
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import Execution, Run, State
from bitext.pipeline.reports import corpora
from bitext.pipeline.reports.selection import named_run
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists

SHOWN_CHARACTERS = 200
"""The most characters shown of a row."""


@dataclasses.dataclass(frozen=True)
class Source:
    """The rejects of one run.

    Attributes:
      run: the run.
      artifacts: the rejects of each node and span, in order.
      executions: the executions that made them.
      is_failed: whether they explain why the run failed; their counts of all rows are then not on record.
    """

    run: Run
    artifacts: tuple[Rejects, ...]
    executions: tuple[Execution, ...] = ()
    is_failed: bool = False


def collect(
    config: PipelineConfig, limit: int | None, reasons: Sequence[str] = (), run_id: str | None = None
) -> dict[str, Any]:
    """Returns the report as an object that JSON can hold.

    Args:
      config: the configuration.
      limit: the most rows of a reason; None: all.
      reasons: only rows that were rejected for these reasons; empty: for any.
      run_id: the run; None: the newest that has read a corpus.

    Returns:
      `run` (null: no run has read a corpus), `state`, `files` (of rejects), `rows`, `accepted`, `duplicates`,
      `golden_removed`, `left_out` (training pairs that Transform leaves out because of other spans and
      corpora; all null if the run failed for its rejects), `rejected`, `reasons` {reason: rows} of all
      rejected rows, `corpora` (see `corpora.Table`), and `rejects`: a list of {`file`, `line`, `reason`,
      `detail`, `text`}, ordered by reason, most rows first.

    Raises:
      ConfigError: there is no such run, or a reason is not one for which rows can be rejected.
      DataError: the run has not read the corpus, or a file is missing or damaged.
    """
    source = _source(config, run_id)
    if source is None:
        return {"run": None, "rejected": 0, "reasons": {}, "corpora": [], "rejects": []}
    counts: collections.Counter[str] = collections.Counter()
    rows: dict[str, list[Reject]] = {}
    for artifact in source.artifacts:
        for row in artifact.each_row():
            counts[row.reason] += 1
            shown = rows.setdefault(row.reason, [])
            if (not reasons or row.reason in reasons) and (limit is None or len(shown) < limit):
                shown.append(row)
    _check_reasons(reasons, counts)
    in_order = sorted(counts, key=lambda reason: (-counts[reason], reason))
    return {
        "run": source.run.run_id,
        "state": str(source.run.state),
        "files": [str(artifact.rows_file) for artifact in source.artifacts],
        **_other_rows(source),
        "rejected": counts.total(),
        "reasons": {reason: counts[reason] for reason in in_order},
        "corpora": corpora.table(corpora.summaries(source.executions)),
        "rejects": [msgspec.to_builtins(row) for reason in in_order for row in rows[reason]],
    }


def _source(config: PipelineConfig, run_id: str | None) -> Source | None:
    """Returns the rejects of a run; without `run_id`, of the newest run that has any output for them.

    Raises:
      ConfigError: there is no such run.
      DataError: it has no output for rejects.
    """
    root = Path(config.work_folder)
    if not store_exists(config.metadata, root):
        return None
    complete_interrupted(config)
    store, layout = Store(config.metadata, root, config.name), Layout.of(config)
    history = store.executions()
    runs = store.runs()
    for run in runs if run_id is None else [named_run(run_id, runs, history, config.name)]:
        kept = [Rejects(layout.failure(run.run_id, node)) for node in run.own_nodes()]
        if failed := tuple(artifact for artifact in kept if artifact.rows_file.is_file()):
            return Source(run, failed, is_failed=True)
        executions = sorted(
            (e for e in history if e.run_id == run.run_id and not e.part), key=lambda e: e.id or 0
        )
        artifacts = tuple(a for execution in executions for a in _rejects_of(execution))
        if any(execution.node != "Transform" and [*_rejects_of(execution)] for execution in executions):
            return Source(run, artifacts, tuple(executions))
    if run_id is not None:
        raise DataError(
            f"run {run_id} has no {Rejects.TYPE_NAME}: it did not read the corpus",
            "leave --run out: the newest run that has read it is shown",
        )
    return None


def _rejects_of(execution: Execution) -> Iterator[Rejects]:
    """Yields the rejects that a node made, one for each span."""
    if execution.state in (State.COMPLETE, State.CACHED):
        for artifact in execution.all_outputs():
            if artifact.type == Rejects.TYPE_NAME and not artifact.deleted:
                yield Rejects(artifact.path, dict(artifact.properties))


def _other_rows(source: Source) -> dict[str, int | None]:
    """Returns the counts of the rows that were not rejected; None for those that are not on record."""
    names = ("rows", "accepted", "duplicates", "golden_removed")
    if source.is_failed:
        return dict.fromkeys((*names, "left_out"))
    summaries = [artifact.summary() for artifact in source.artifacts]
    left_out = [count for summary in summaries for of in summary.left_out.values() for count in of.values()]
    return {name: sum(getattr(summary, name) for summary in summaries) for name in names} | {
        "left_out": sum(left_out)
    }


def _check_reasons(reasons: Sequence[str], counts: collections.Counter[str]) -> None:
    """Refuses a reason that no row can be rejected for."""
    from bitext.components.example_gen.filters import REASONS

    known = list(dict.fromkeys([*counts, *REASONS]))
    for reason in reasons:
        if reason not in known:
            meant = similar(reason, known)
            hint = f"did you mean {meant}? " if meant else ""
            raise ConfigError(
                f"--reason {reason}: there is no such reason", f"{hint}the reasons are {', '.join(known)}"
            )


def render(report: dict[str, Any], reasons: Sequence[str] = ()) -> str:
    """Returns the report as text."""
    if report["run"] is None:
        return "No run has read a corpus yet. Read it with: bitext run CONFIG --to ExampleGen"
    failed = report["rows"] is None
    lines = [f"run {report['run']}  {report['state']}"]
    if not failed:
        removed, left_out = report["golden_removed"], report["left_out"]
        rejected = report["rows"] - report["accepted"] - report["duplicates"] - removed
        lines.append(
            f"{report['rows']:,} rows: {report['accepted']:,} became examples, {report['duplicates']:,} exact"
            f" duplicates{f', {removed:,} removed for the golden set and test sets' if removed else ''},"
            f" {rejected:,} rejected"
        )
        if left_out:
            lines.append(f"{left_out:,} training pairs left out because of other spans and corpora")
    else:
        lines.append(f"{report['rejected']:,} rows rejected, over example_gen.max_reject_share")
    if table := corpora.render(report["corpora"]):
        lines += ["", *table]
    for reason, count in report["reasons"].items():
        if reasons and reason not in reasons:
            continue
        shown = [row for row in report["rejects"] if row["reason"] == reason]
        lines += ["", f"{reason}: {count:,} row{'s' * (count != 1)}"]
        lines += [f"    {on_one_line(Reject(**row))}" for row in shown]
        if count > len(shown):
            lines.append(f"    and {count - len(shown):,} more (--limit 0 shows all)")
    for reason in reasons:
        if reason not in report["reasons"]:
            lines += ["", f"{reason}: no row"]
    return "\n".join(lines)


def on_one_line(row: Reject) -> str:
    """Returns a row on one line."""
    cut = " ..." if len(row.text) > SHOWN_CHARACTERS else ""
    return f"{row.place()}: {row.detail}: {quoted(row.text[:SHOWN_CHARACTERS])}{cut}"
