"""The top of the page of a run: the verdict in words, the scores, what was pushed, and each node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bitext.components.artifacts import ModelBlessing, ModelEvaluation, PushedModel
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
from bitext.pipeline.records import Execution, State, StoredArtifact, pushed_folder
from bitext.pipeline.reports import contents
from bitext.pipeline.reports.run_page.record import RunRecord
from bitext.pipeline.terminal import duration, moment

_MADE = (State.COMPLETE, State.CACHED)


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
    if pushed is not None:
        version = pushed.properties["version"]
        return Text(text=f"The model was blessed and is version {version}: {reasons}", tone="good")
    if reasons:
        return Text(text=f"The model was blessed; this run pushes nothing: {reasons}", tone="good")
    return Text(text=f"The run is complete. It ended after {[*record.nodes, 'no node'][-2]}, as told.")


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
        facts.append(Fact(label="pushed", value=value, note=str(folder or "")))
    seconds = duration(run.seconds) if run.finished else "not ended"
    facts.append(Fact(label="duration", value=seconds, note=f"started {moment(run.started)}"))
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
    served = _served_scores(record)
    for metric in METRICS:
        if metric.name not in metrics.scores:
            continue
        score = metrics.scores[metric.name]
        low, high = score.interval
        note = f"[{low:.2f}, {high:.2f}]"
        if metric.name == Bleu.name and metrics.baseline is not None:
            note += f"; served model {metrics.baseline.bleu:.2f}, p = {metrics.baseline.p_value:.3f}"
        elif metric.name in served:
            note += f"; served model {served[metric.name]:.2f}"
        yield Fact(label=metric.label, value=f"{score.score:.2f}", note=note)


def _served_scores(record: RunRecord) -> dict[str, float]:
    """The scores that the model now served had on the same test split; empty: it was another one."""
    evaluator = record.nodes.get("Evaluator")
    evaluation = next(iter(evaluator.outputs.get("evaluation", ())), None) if evaluator else None
    own = record.makers().get(evaluation.id) if evaluation else None
    baseline = next(iter(own.inputs.get("baseline", ())), None) if own else None
    if own is None or baseline is None:
        return {}
    examples = [artifact.split_digests.get("test") for artifact in own.inputs.get("examples", ())]
    for execution in record.history:
        judged = next(iter(execution.inputs.get("model", ())), None)
        of_it = next(iter(execution.outputs.get("evaluation", ())), None)
        if of_it is None or judged is None or judged.id != baseline.id:
            continue
        if [a.split_digests.get("test") for a in execution.inputs.get("examples", ())] == examples:
            metrics = contents.metrics(of_it)
            return {name: score.score for name, score in metrics.scores.items()} if metrics else {}
    return {}


def section(record: RunRecord) -> Section:
    """Returns the section of the nodes."""
    blocks: list[Block] = [_nodes(record)]
    failed = record.failed()
    if failed is not None and failed.traceback:
        code = Code(title=f"Traceback of {failed.node}", text=failed.traceback)
        blocks.append(Details(summary="Traceback", blocks=(code,)))
    log = record.layout.log_file(record.run.run_id)
    if log.is_file():
        blocks.append(Text(text=f"Log: {log}"))
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
        if execution.state in _MADE and execution.state == State.CACHED:
            made_by = {makers[a.id].run_id for a in execution.all_outputs() if a.id in makers}
            others = sorted(made_by - {record.run.run_id})
            made_in = others[-1] if others else ""
        else:
            made_in = record.run.run_id if execution.state in _MADE else ""
        seconds = execution.seconds if execution.finished and execution.state != State.CACHED else None
        rows.append((name, state, seconds, made_in, note))
    return Table(
        title="Nodes",
        columns=(
            Column(title="node"),
            Column(title="state"),
            Column(title="time", content="seconds", digits=1),
            Column(title="outputs made by run", content="run"),
            Column(title="note"),
        ),
        rows=tuple(rows),
    )


def _state(execution: Execution, is_own: bool) -> tuple[str, str]:
    """The state of a node in words, and what else is to be said."""
    missing = execution.missing_outputs() if execution.outputs else []
    note = f"removed since: {', '.join(Path(folder).parent.name for folder in missing)}" if missing else ""
    match execution.state:
        case State.COMPLETE:
            return "ran", note
        case State.CACHED:
            return ("cached" if is_own else "taken from an earlier run"), note
        case State.RUNNING:
            return "killed or running", ""
        case State.CANCELED:
            return "interrupted", execution.error
        case _:
            return "failed", execution.error


def tone(state: State) -> Tone:
    """How an execution in this state is marked."""
    return "plain" if state in _MADE else "bad"
