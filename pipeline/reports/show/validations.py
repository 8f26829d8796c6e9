"""The report of `bitext show validations`: how the translations of some sentences change during training."""

from __future__ import annotations

import itertools
from typing import Any

from bitext.components.artifacts import ModelRun
from bitext.components.shared.errors import DataError
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.reports.show.outputs import outputs_of
from bitext.pipeline.reports.show.tables import shown


def collect(config: PipelineConfig, run_id: str | None, text: str, limit: int | None) -> dict[str, Any]:
    """Returns the report as an object that JSON can hold.

    Args:
      config: the configuration.
      run_id: the run; None: the newest with a training.
      text: what the source, the reference or a translation must contain; empty: anything.
      limit: the most sentences; None: all.

    Returns:
      `run`, `validations` {update: `minutes`, `bleu`, `chrf`}, `sentences` (that are recorded), `matching`
      (of these, those with the text), and `rows`, each with `source`, `reference` and `hypotheses`
      {update: translation}.

    Raises:
      ConfigError: there is no such run.
      DataError: no run has a training, an older version trained the model, or a file is damaged.
    """
    outputs = outputs_of(config, ModelRun, run_id)
    model_run = outputs.artifacts[-1]
    if not model_run.has_progress:
        raise DataError(
            f"the training of run {outputs.run.run_id} has no sample translations: an older"
            " version recorded it",
            "train again, or see those of the trained model: bitext show samples CONFIG",
        )
    sentences: dict[tuple[str, str], dict[int, str]] = {}
    for validation in model_run.samples():
        for sample in validation.samples:
            of_sentence = sentences.setdefault((sample.source, sample.reference), {})
            of_sentence[validation.step] = sample.hypothesis
    matching = [
        {"source": source, "reference": reference, "hypotheses": hypotheses}
        for (source, reference), hypotheses in sentences.items()
        if any(text in side for side in (source, reference, *hypotheses.values()))
    ]
    return {
        "run": outputs.run.run_id,
        "validations": {
            row.step: {"minutes": row.minutes, "bleu": row.bleu, "chrf": row.chrf}
            for row in model_run.history()
        },
        "sentences": len(sentences),
        "matching": len(matching),
        "rows": matching[:limit],
    }


def render(report: dict[str, Any], text: str) -> str:
    """Returns the report as text. Of equal translations in sequence, only the first is shown."""
    found = f", {report['matching']:,} with {shown(text)}" if text else ""
    lines = [f"run {report['run']}  {report['sentences']:,} sentences of the eval split{found}"]
    width = max((len(f"{step:,}") for row in report["rows"] for step in row["hypotheses"]), default=0)
    for row in report["rows"]:
        lines += ["", f"{'source':<{width + 7}}  {shown(row['source'])}"]
        for hypothesis, steps in itertools.groupby(row["hypotheses"].items(), key=lambda item: item[1]):
            lines.append(f"update {next(steps)[0]:>{width},}  {shown(hypothesis)}")
        lines.append(f"{'reference':<{width + 7}}  {shown(row['reference'])}")
    rest = report["matching"] - len(report["rows"])
    return "\n".join([*lines, *(["", f"{rest:,} more (--limit 0 shows all)"] if rest > 0 else [])])
