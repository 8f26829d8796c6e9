"""The report of `bitext status`: the last runs, their nodes and scores, and the pushed model."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from bitext.components.artifacts import ModelBlessing, ModelEvaluation, Property, PushedModel
from bitext.components.shared.display import printable
from bitext.components.shared.metrics import METRICS, Bleu
from bitext.components.shared.parts import count_parts, list_parts
from bitext.pipeline.completion import complete_interrupted
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import (
    ROLLBACK,
    Execution,
    History,
    Run,
    State,
    StoredArtifact,
    pushed_artifact,
    pushed_folder,
)
from bitext.pipeline.reports import contents, running, status_table
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists
from bitext.pipeline.terminal import duration, moment
from bitext.pipeline.tuning import trials

SHOWN_RUNS = 10
"""The most runs shown."""
_NAME_WIDTH = 18
"""The least width of the names of nodes."""
SHOWN_CHARACTERS = 200
"""The most characters shown of an error or a reason."""


def collect(config: PipelineConfig) -> dict[str, Any]:
    """Returns the report as an object that JSON can hold.

    Returns:
      `runs`, newest first, each with `id`, `state`, `started` (ISO 8601), `seconds` (null until it ends; of a
      killed run, up to its last progress, or null),
      `spans` (their names, and those of corpora), `nodes` {name: {`state`, `seconds`, `cached`, `outputs`
      {name: folder, or a list of folders, one per span}}}, `scores` {metric: score}, `trivial` {trivial
      baseline: {metric: score}}, `bleu`, `bleu_signature`, `problem` (null, or why the scores cannot be read;
      those on record are shown then), `blessed` (by Evaluator and InfraValidator; null if there is no
      verdict), `forced` (null, or a person's reason to bless the model), `reasons` (of a refusal, from both),
      `error` and
      `progress` (null, or where the run is; see `running.collect`), `tuning` (null, or of a run of `bitext
      tune`, `trials` {state: number} and the best `validation_bleu`); and `pushed`, null or with `model`,
      `version`, `path`, `digest`, `run` (which pushed it first) and `rolled_back` (whether a rollback made
      this version).
    """
    root = Path(config.work_folder)
    if not store_exists(config.metadata, root):
        return {"runs": [], "pushed": None}
    complete_interrupted(config)
    store = Store(config.metadata, root, config.name)
    history = store.executions()
    layout = Layout.of(config)
    runs = [
        _run(run, [e for e in history if e.run_id == run.run_id]) | {"progress": running.collect(run, layout)}
        for run in store.runs()
    ]
    return {"runs": runs, "pushed": _pushed(history, config.serving)}


def _run(run: Run, executions: list[Execution]) -> dict[str, Any]:
    in_order = sorted(executions, key=lambda e: e.id or 0)
    outputs = {
        artifact.type: artifact for e in in_order if not e.is_of_teacher for artifact in e.all_outputs()
    }
    evaluation = outputs.get(ModelEvaluation.TYPE_NAME)
    metrics = contents.metrics(evaluation) if evaluation else None
    scores = contents.scores(evaluation) if evaluation else {}
    bleu = scores.get(Bleu.name)
    blessings = [outputs[kind] for kind in contents.BLESSINGS if kind in outputs]
    refusals = [
        blessing for blessing in blessings if blessing.properties.get(ModelBlessing.BLESSED_PROPERTY) == 0
    ]
    return {
        "id": run.run_id,
        "state": run.state,
        "started": moment(run.started),
        "seconds": _rounded(run.known_seconds),
        "spans": run.parts.split(", ") if run.parts else [],
        "nodes": {e.node: _node(e) for e in in_order},
        "scores": {name: score.score for name, score in scores.items()},
        "trivial": {name: baseline.scores for name, baseline in metrics.trivial.items()} if metrics else {},
        "bleu": bleu.score if bleu else None,
        "bleu_signature": (bleu.signature or None) if bleu else None,
        "problem": (contents.problem(evaluation) or None) if evaluation else None,
        "blessed": not refusals if blessings else None,
        "forced": contents.forced(blessings) or None,
        "reasons": [reason for blessing in refusals for reason in contents.reasons(blessing)],
        "error": run.error or None,
        "tuning": trials.summary(executions) if run.is_tuning else None,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _node(execution: Execution) -> dict[str, Any]:
    cached = execution.state == State.CACHED
    return {
        "state": State.COMPLETE if cached else execution.state,
        "seconds": _rounded(execution.known_seconds),
        "cached": cached,
        "outputs": {key: _folders(artifacts) for key, artifacts in execution.outputs.items()},
    }


def _folders(artifacts: tuple[StoredArtifact, ...]) -> str | list[str]:
    """The folder of one artifact, or a list of the folders of several (one per span)."""
    folders = [artifact.uri for artifact in artifacts]
    return folders[0] if len(folders) == 1 else folders


def _pushed(history: History, serving: str) -> dict[str, Any] | None:
    """The newest push whose version is in this serving folder."""
    for execution in history:
        for artifact in execution.all_outputs():
            folder = pushed_folder(artifact, serving) if artifact.type == PushedModel.TYPE_NAME else None
            if folder is not None and folder.is_dir():
                digest = artifact.properties.get("digest")
                return {
                    "model": folder.parent.name,
                    "version": int(folder.name),
                    "path": str(folder),
                    "digest": digest,
                    "run": _first_pusher(history, digest),
                    "rolled_back": execution.node == ROLLBACK,
                }
    return None


def _first_pusher(history: History, digest: Property | None) -> str | None:
    """The id of the run that pushed this model first; None: its record is gone."""
    for execution in reversed(history):
        pushed = pushed_artifact(execution) if execution.node != ROLLBACK else None
        if pushed is not None and pushed.properties.get("digest") == digest:
            return execution.run_id
    return None


def render(status: dict[str, Any], width: int = 0) -> str:
    """Returns the report as text.

    Args:
      status: the report.
      width: the width of the terminal that shows it, in columns; 0: it is read by another program. From
        `status_table.MIN_WIDTH` on, the text has escape sequences for colors, and is otherwise printable.
    """
    if not status["runs"]:
        return "No runs yet. Start one with: bitext run CONFIG"
    end = "\n".join([*_more_runs(status), _served(status["pushed"])])
    if width >= status_table.MIN_WIDTH:
        return f"{status_table.render(status, width, SHOWN_RUNS)}\n\n{printable(end)}"
    return f"{_plain(status)}\n{end}"


def _plain(status: dict[str, Any]) -> str:
    lines = []
    for run in status["runs"][:SHOWN_RUNS]:
        took = "" if run["seconds"] is None else f"  {duration(run['seconds'])}"
        lines.append(f"{run['id']}  {run['state']}  {run['started']}{took}{_verdict(run)}")
        if spans := run["spans"]:
            lines.append(f"    {count_parts(spans)}: {list_parts(spans)}")
        width = max([_NAME_WIDTH, *(len(name) + 1 for name in run["nodes"])])
        for name, node in run["nodes"].items():
            seconds = "" if node["seconds"] is None else duration(node["seconds"])
            state = "cached" if node["cached"] else f"{node['state'].lower():<10}{seconds:>12}"
            lines.append(f"    {name:<{width}}{state}")
        for text in status_table.texts(run):
            lines += textwrap.wrap(
                text, SHOWN_CHARACTERS, initial_indent="    ", max_lines=1, placeholder=" ..."
            )
        lines.append("")
    return "\n".join(lines)


def _more_runs(status: dict[str, Any]) -> list[str]:
    more = len(status["runs"]) - SHOWN_RUNS
    return [f"and {more} earlier runs (--json lists them all)", ""] if more > 0 else []


def _served(pushed: dict[str, Any] | None) -> str:
    if pushed is None:
        return "nothing pushed"
    of_run = f" (model of run {pushed['run']})" if pushed["run"] else ""
    return f"pushed: {pushed['model']} version {pushed['version']}{of_run} at {pushed['path']}"


def _verdict(run: dict[str, Any]) -> str:
    scores = "".join(
        f"  {metric.label} {run['scores'][metric.name]:.2f}"
        for metric in METRICS
        if metric.name in run["scores"]
    )
    verdict = status_table.verdict(run)
    return f"{scores}  {verdict}" if verdict else scores
