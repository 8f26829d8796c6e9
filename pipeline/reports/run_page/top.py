"""The top of the page of a run: the verdict in words, the scores, what was pushed, and each node."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from bitext.components.artifacts import BaselineComparison, ModelBlessing, ModelEvaluation, PushedModel
from bitext.components.artifacts.page import (
    Block,
    Code,
    Column,
    Details,
    Fact,
    Facts,
    Section,
    Table,
    Text,
    Tone,
)
from bitext.components.shared.metrics import METRICS, Bleu
from bitext.pipeline.records import ROLLBACK, Execution, State, StoredArtifact, pushed_folder
from bitext.pipeline.reports import contents
from bitext.pipeline.reports.run_page.record import RunRecord
from bitext.pipeline.terminal import duration

_MADE = (State.COMPLETE, State.CACHED)
STATES = {
    State.COMPLETE: "ran",
    State.CACHED: "cached",
    State.RUNNING: "killed or running",
    State.CANCELED: "interrupted",
    State.FAILED: "failed",
}
"""The states of executions in words."""


def verdict(record: RunRecord) -> Text:
    """Returns the result of the run in words."""
    run = record.run
    if run.state == State.RUNNING:
        return Text(text="This run has not ended, or its process was killed.", tone="warning")
    if run.state == State.CANCELED:
        return Text(text=f"The run was interrupted{_where(record)}.", tone="warning")
    if run.state == State.FAILED:
        return Text(text=f"The run failed{_where(record)}: {run.error or 'no error is recorded'}", tone="bad")
    refusals = [b for b in _blessings(record) if b.properties.get(ModelBlessing.BLESSED_PROPERTY) == 0]
    if refusals:
        reasons = "; ".join(reason for blessing in refusals for reason in contents.reasons(blessing))
        return Text(text=f"The model was refused, and nothing was pushed: {reasons}", tone="bad")
    pushed = _pushed(record)
    if pushed is not None and pushed_folder(pushed, record.config.serving) is None:
        recorded = contents.pushed(pushed)
        return Text(text=f"Nothing was pushed: {recorded.reason if recorded else 'see the log'}", tone="bad")
    reasons = "; ".join(reason for blessing in _blessings(record) for reason in contents.reasons(blessing))
    if pushed is not None and ROLLBACK in record.nodes:
        return Text(
            text=f"A rollback: version {pushed.properties['version']} is a copy of an earlier version."
        )
    if pushed is not None:
        version = pushed.properties["version"]
        return Text(text=f"The model was blessed and is version {version}: {reasons}", tone="good")
    if reasons:
        return Text(text=f"The model was blessed; this run pushes nothing: {reasons}", tone="good")
    last = next(reversed(record.nodes), "no node")
    return Text(text=f"The run is complete. It ends after {last}, and no model was judged.")


def _where(record: RunRecord) -> str:
    failed = record.failed()
    if failed is None:
        return ""
    return f" in {failed.node}" + (f", {failed.part}" if failed.part else "")


def _blessings(record: RunRecord) -> list[StoredArtifact]:
    return [artifact for kind in contents.BLESSINGS for artifact in record.outputs(kind)]


def _pushed(record: RunRecord) -> StoredArtifact | None:
    return next(reversed(record.outputs(PushedModel.TYPE_NAME)), None)


def lead(record: RunRecord) -> tuple[Block, ...]:
    """Returns the figures below the verdict."""
    run = record.run
    facts = [*_scores(record)]
    pushed = _pushed(record)
    if pushed is not None:
        folder = pushed_folder(pushed, record.config.serving)
        value = f"version {pushed.properties['version']}" if folder else "nothing"
        facts.append(Fact(label="pushed", value=value, note=f"of {folder.parent.name}" if folder else ""))
    seconds = duration(run.seconds) if run.finished else "not ended"
    started = datetime.datetime.fromtimestamp(run.started, datetime.UTC)
    facts.append(Fact(label="duration", value=seconds, note=f"started {started:%Y-%m-%d %H:%M} UTC"))
    blocks: list[Block] = [Facts(facts=tuple(facts))]
    if run.remedy:
        blocks.append(Text(text=f"What to do: {run.remedy}"))
    return tuple(blocks)


def _scores(record: RunRecord) -> Iterator[Fact]:
    """The scores on the test split, beside those of the model that was served."""
    evaluation = next(reversed(record.outputs(ModelEvaluation.TYPE_NAME)), None)
    metrics = contents.metrics(evaluation) if evaluation else None
    if metrics is None:
        return
    for metric in METRICS:
        if metric.name not in metrics.scores:
            continue
        score = metrics.scores[metric.name]
        low, high = score.interval
        note = f"[{low:.2f}, {high:.2f}]"
        if metrics.baseline is not None:
            note += _served(metrics.baseline, metric.name)
        yield Fact(label=metric.label, value=f"{score.score:.2f}", note=note)


def _served(baseline: BaselineComparison, metric: str) -> str:
    """The score of the model that was served, beside that of the new one."""
    compared = baseline.by_metric.get(metric)
    if compared is not None:
        return f"; served model {compared.score:.2f}, p = {compared.p_value:.3f}"
    if metric == Bleu.name:  # older evaluations compared BLEU only
        return f"; served model {baseline.bleu:.2f}, p = {baseline.p_value:.3f}"
    return ""


def section(record: RunRecord) -> Section:
    """Returns the section of the nodes."""
    blocks: list[Block] = [_nodes(record)]
    failed = record.failed()
    if failed is not None and failed.traceback:
        code = Code(title=f"Traceback of {failed.node}", text=failed.traceback)
        blocks.append(Details(summary="Traceback", blocks=(code,)))
    pushed = _pushed(record)
    folder = pushed_folder(pushed, record.config.serving) if pushed is not None else None
    log = record.layout.log_file(record.run.run_id)
    places = [("Served model", folder), ("Log", log if log.is_file() else None)]
    rows = tuple((name, str(path)) for name, path in places if path is not None)
    if rows:
        columns = (Column(title="file"), Column(title="path", content="place"))
        blocks.append(Table(title="Where it is", columns=columns, rows=rows))
    cached = sum(execution.state == State.CACHED for execution in record.nodes.values())
    summary = f"{len(record.nodes)} of {len(_names(record))} nodes, {cached} of them cached."
    return Section(id="run", title="Run", summary=summary, blocks=tuple(blocks))


def _names(record: RunRecord) -> list[str]:
    """The pipeline's nodes in order, with those that only the record of the run has."""
    names = record.run.nodes.split(", ") if record.run.nodes else []
    return list(dict.fromkeys([*names, *record.nodes]))


def _nodes(record: RunRecord) -> Table:
    makers = record.makers()
    own = record.run.own_nodes()
    rows: list[tuple[str | float | None, ...]] = []
    for name in _names(record):
        execution = record.nodes.get(name)
        if execution is None:
            rows.append((name, "not run", None, "", ""))
            continue
        state, note = _state(execution, name in own)
        made_by = {makers[a.id].run_id for a in execution.all_outputs() if a.id in makers}
        made_in = max(made_by - {record.run.run_id}, default="")
        seconds = execution.seconds if execution.finished and execution.state != State.CACHED else None
        rows.append((name, state, seconds, made_in, note))
    return Table(
        title="Nodes",
        columns=(
            Column(title="node"),
            Column(title="state"),
            Column(title="time", content="seconds", digits=1),
            Column(title="made by run", content="run"),
            Column(title="note"),
        ),
        rows=tuple(rows),
    )


def _state(execution: Execution, is_own: bool) -> tuple[str, str]:
    """The state of a node in words, and what else is to be said."""
    missing = execution.missing_outputs() if execution.outputs else []
    note = f"removed since: {', '.join(Path(folder).parent.name for folder in missing)}" if missing else ""
    state = STATES[execution.state]
    if execution.state == State.CACHED and not is_own:
        state = "taken from an earlier run"
    return state, note if execution.state in _MADE else execution.error


def tone(state: State) -> Tone:
    """How an execution in this state is marked."""
    return "plain" if state in _MADE else "bad"
