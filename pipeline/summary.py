"""The screen a run ends with: the score, some translations, where the model lies and how to use it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from bitext.components.shared.metrics import METRICS, CorpusScore
from bitext.pipeline import reports
from bitext.pipeline.records import State
from bitext.pipeline.runner import Result
from bitext.pipeline.terminal import INDENT, duration

EXAMPLES = 10
SENTENCE = "Where is the station?"


def summarise(result: Result, serving: str) -> str:
    """The end of a run as text.

    Args:
      result: the run.
      serving: the folder of the pushed versions.
    """
    sections = [_translations(result), _score(result), _model(result, serving), _ending(result)]
    return "\n\n".join(section for section in sections if section)


def _translations(result: Result) -> str:
    evaluation = result.artifact("ModelEvaluation")
    rows = reports.evenly(reports.translations(evaluation), EXAMPLES) if evaluation else []
    if not rows:
        return ""
    lines = [f"{len(rows)} held-out sentences:"]
    for row in rows:
        lines.append(f"{INDENT}source      {row.source}")
        lines.append(f"{INDENT}model       {row.hypothesis}")
        lines += [f"{INDENT}reference   {reference}" for reference in row.references]
        lines.append("")
    return "\n".join(lines).rstrip()


def _score(result: Result) -> str:
    evaluation = result.artifact("ModelEvaluation")
    metrics = reports.metrics(evaluation) if evaluation else None
    if metrics is None:
        return ""
    return "\n".join(
        _metric(metric.label, metrics.scores[metric.name])
        for metric in METRICS
        if metric.name in metrics.scores
    )


def _metric(label: str, score: CorpusScore) -> str:
    low, high = score.interval
    return f"{label} {score.score:.2f}  (95 % interval {low:.2f} to {high:.2f})  {score.signature}"


def _model(result: Result, serving: str) -> str:
    artifact = result.artifact("PushedModel")
    pushed = reports.pushed(artifact) if artifact else None
    if pushed is None:
        return ""
    if not pushed.path:
        return f"Not pushed: {pushed.reason.removeprefix('not pushed: ')}"
    command = f"echo {shlex.quote(SENTENCE)} | {_bitext()} translate --model {shlex.quote(serving)}"
    return f"SavedModel  {pushed.path}\nTranslate   {command}".replace(f"'{SENTENCE}'", f'"{SENTENCE}"')


def _ending(result: Result) -> str:
    cached = sum(execution.state == State.CACHED for execution in result.executions.values())
    return f"{len(result.executions)} nodes, {cached} of them cached, in {duration(result.seconds)}"


def _bitext() -> str:
    """How to call this command: `bitext` where the PATH finds it, else by a path from the current folder."""
    called = Path(sys.argv[0])
    on_path = shutil.which("bitext")
    if called.name != "bitext":
        return "bitext" if on_path else f"{shlex.quote(os.path.basename(sys.executable))} -m bitext"
    if on_path and os.path.samefile(on_path, called):
        return "bitext"
    relative = os.path.relpath(called)
    return shlex.quote(str(called) if relative.startswith("..") else relative)
