"""The summary that ends a run: translations, scores, and where the model is and how to use it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bitext.components.artifacts import ModelEvaluation, PushedModel, Translated
from bitext.components.shared.display import isolate
from bitext.components.shared.metrics import METRICS, CorpusScore
from bitext.components.shared.spacing import evenly
from bitext.pipeline.records import State, pushed_folder
from bitext.pipeline.reports import contents, corpora
from bitext.pipeline.runner import Result
from bitext.pipeline.terminal import INDENT, duration

EXAMPLES = 10
"""The most translations shown."""
_FITTING_CHARACTERS = range(12, 50)
"""Lengths of a sentence that fits into a command line and is longer than a word or two."""


def summarize(result: Result, serving: str) -> str:
    """Returns the summary of a run as text. It leaves out what is missing or damaged.

    Args:
      result: the run.
      serving: the folder of the pushed versions.
    """
    evaluation = result.artifact(ModelEvaluation.TYPE_NAME)
    rows = contents.translations(evaluation) if evaluation else []
    by_corpus = corpora.table(corpora.summaries(result.executions.values()))
    sections = [
        _translations(rows),
        "\n".join(corpora.render(by_corpus)),
        _scores(result),
        _model(result, serving, rows),
        _duration(result),
    ]
    return "\n\n".join(section for section in sections if section)


def _translations(rows: Sequence[Translated]) -> str:
    shown = evenly(rows, EXAMPLES)
    if not shown:
        return ""
    lines = [f"{len(shown)} held-out sentences:"]
    for row in shown:
        lines.append(f"{INDENT}source      {isolate(row.source)}")
        lines.append(f"{INDENT}model       {isolate(row.hypothesis)}")
        lines += [f"{INDENT}reference   {isolate(reference)}" for reference in row.references]
        lines.append("")
    return "\n".join(lines).rstrip()


def _scores(result: Result) -> str:
    evaluation = result.artifact(ModelEvaluation.TYPE_NAME)
    metrics = contents.metrics(evaluation) if evaluation else None
    if metrics is None:
        return ""
    return "\n".join(
        _score(metric.label, metrics.scores[metric.name])
        for metric in METRICS
        if metric.name in metrics.scores
    )


def _score(label: str, score: CorpusScore) -> str:
    low, high = score.interval
    return f"{label} {score.score:.2f}  (95 % interval {low:.2f} to {high:.2f})  {score.signature}"


def _model(result: Result, serving: str, rows: Sequence[Translated]) -> str:
    """Where the pushed model is, and a command that translates a sentence of the corpus with it."""
    artifact = result.artifact(PushedModel.TYPE_NAME)
    pushed = contents.pushed(artifact) if artifact else None
    if artifact is None or pushed is None:
        return ""
    folder = pushed_folder(artifact, serving)
    if folder is None:
        return f"Not pushed: {pushed.reason.removeprefix('not pushed: ')}"
    translate = f"{_bitext_command()} translate --model {shlex.quote(serving)}"
    if sentence := _example(rows):
        translate = f"echo {_quoted(sentence)} | {translate}"
    return f"SavedModel  {folder}\nTranslate   {translate}"


def _example(rows: Sequence[Translated]) -> str:
    """Returns a short source sentence: the first that fits into a command line, or else the shortest."""
    sources = [row.source for row in rows if row.source.isprintable() and row.source.strip()]
    fitting = (source for source in sources if len(source) in _FITTING_CHARACTERS)
    return next(fitting, min(sources, key=len, default=""))


def _quoted(sentence: str) -> str:
    """Quotes a sentence for the shell, in double quotes if they suffice."""
    return shlex.quote(sentence) if set(sentence) & set('"$`\\!') else f'"{sentence}"'


def _duration(result: Result) -> str:
    cached = sum(execution.state == State.CACHED for execution in result.executions.values())
    return f"{len(result.executions)} nodes, {cached} of them cached, in {duration(result.seconds)}"


def _bitext_command() -> str:
    """Returns how to call this command: `bitext` if the PATH finds it, a path, or `python -m bitext`."""
    called = Path(sys.argv[0])
    on_path = shutil.which("bitext")
    if called.name != "bitext":
        return "bitext" if on_path else f"{shlex.quote(os.path.basename(sys.executable))} -m bitext"
    if on_path and os.path.samefile(on_path, called):
        return "bitext"
    relative = os.path.relpath(called)
    return shlex.quote(str(called) if relative.startswith("..") else relative)
