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
from bitext.pipeline.reports import contents, running
from bitext.pipeline.reports.run_page.record import RunRecord
from bitext.pipeline.terminal import duration

_MADE = (State.COMPLETE, State.CACHED)
_CONTINUES = "the same command continues where this one stopped"


def verdict(record: RunRecord) -> Text:
    """Returns the result of the run in words."""
    run = record.run
    if run.state == State.RUNNING:
        return Text(text=_unfinished(record), tone="warning")
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
    reasons = "; ".join(contents.checks(_blessings(record)))
    if forced := contents.forced(_blessings(record)):
        return _forced(record, forced, reasons)
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


def _unfinished(record: RunRecord) -> str:
    """What is known of a run that is recorded as running."""
    if record.progress is None:
        return "This run has not ended, or its process was killed."
    if record.progress["alive"]:
        return (
            f"This run was running when this page was written. {'; '.join(running.lines(record.progress))}."
        )
    return f"The process of this run was killed{_where(record)}. The next run continues."


def _forced(record: RunRecord, forced: str, checks: str) -> Text:
    """The verdict of a model that a person blessed."""
    pushed = _pushed(record)
    result = "this run pushes nothing" if pushed is None else f"it is version {pushed.properties['version']}"
    text = f"The model was blessed by force, and {result}. The reason: {forced}. The checks: {checks}"
    return Text(text=text, tone="warning")


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
    took = run.known_seconds
    is_killed = run.finished or (record.progress is not None and not record.progress["alive"])
    seconds = duration(took) if took is not None else "unknown" if is_killed else "not ended"
    started = datetime.datetime.fromtimestamp(run.started, datetime.UTC)
    facts.append(Fact(label="duration", value=seconds, note=f"started {started:%Y-%m-%d %H:%M} UTC"))
    blocks: list[Block] = [Facts(facts=tuple(facts))]
    if found := problem(record):
        blocks.append(Text(text=f"{found[0].upper()}{found[1:]}", tone="warning"))
    is_stopped = record.state_of(run) in ("interrupted", "killed") and ROLLBACK not in record.nodes
    if remedy := run.remedy or (_CONTINUES if is_stopped else ""):
        blocks.append(Text(text=f"What to do: {remedy}"))
    return tuple(blocks)


def problem(record: RunRecord) -> str:
    """Returns why the scores of the run cannot be read; empty: they can, or there are none."""
    evaluation = next(reversed(record.outputs(ModelEvaluation.TYPE_NAME)), None)
    return contents.problem(evaluation) if evaluation is not None else ""


def _scores(record: RunRecord) -> Iterator[Fact]:
    """The scores on the test split, beside those of the model that was served."""
    evaluation = next(reversed(record.outputs(ModelEvaluation.TYPE_NAME)), None)
    if evaluation is None:
        return
    metrics, scores = contents.metrics(evaluation), contents.scores(evaluation)
    for metric in METRICS:
        if metric.name not in scores:
            continue
        score = scores[metric.name]
        note = "" if score.interval is None else f"[{score.interval[0]:.2f}, {score.interval[1]:.2f}]"
        if metrics is not None and metrics.baseline is not None:
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
    if failed is not None and failed.traceback and failed.state == State.FAILED:
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
    done = sum(execution.state in _MADE for execution in record.nodes.values())
    summary = f"{done} of {len(_names(record))} nodes are complete, {cached} of them cached."
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
        state, note = _state(record, execution, name in own)
        made_by = {makers[a.id].run_id for a in execution.all_outputs() if a.id in makers}
        made_in = max(made_by - {record.run.run_id}, default="")
        seconds = None if execution.state == State.CACHED else execution.known_seconds
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


def _state(record: RunRecord, execution: Execution, is_own: bool) -> tuple[str, str]:
    """The state of a node in words, and what else is to be said."""
    missing = execution.missing_outputs() if execution.outputs else []
    note = f"removed since: {', '.join(Path(folder).parent.name for folder in missing)}" if missing else ""
    state = record.state_of(execution)
    if execution.state == State.CACHED and not is_own:
        state = "taken from an earlier run"
    return state, note if execution.state in _MADE else execution.error


def tone(state: State) -> Tone:
    """How an execution in this state is marked."""
    return "plain" if state in _MADE else "bad"
