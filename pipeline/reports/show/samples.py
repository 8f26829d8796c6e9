"""The report of `bitext show samples`: translations of held-out sentences, with their sentence scores."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal

from bitext.components.artifacts import TEST_SPLIT, ModelEvaluation, Translated
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.metrics import METRICS
from bitext.components.shared.suggestions import did_you_mean
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.reports.show.outputs import outputs_of
from bitext.pipeline.reports.show.tables import shown

Order = Literal["worst", "best", "random"]
METRIC = "chrf"
"""The metric by which translations are ordered: unlike BLEU, it also tells short sentences apart."""
SEED = 0


def collect(
    config: PipelineConfig, run_id: str | None, split: str, order: Order, text: str, limit: int | None
) -> dict[str, Any]:
    """Returns the report as an object that JSON can hold.

    Args:
      config: the configuration.
      run_id: the run; None: the newest with an evaluation.
      split: the held-out set: `test`, `golden`, or a named test set.
      order: which translations come first.
      text: what the source, a reference or the translation must contain; empty: anything.
      limit: the most translations; None: all.

    Returns:
      `run`, `split`, `sentences` (of the set), `matching` (of these, those with the text), `metric` (that of
      the order), and `rows`, each with `id`, `source`, `hypothesis`, `references`, `score` (of the search)
      and `sentence_score`.

    Raises:
      ConfigError: there is no such run or set.
      DataError: no run has an evaluation, or its file is damaged.
    """
    outputs = outputs_of(config, ModelEvaluation, run_id)
    evaluation = outputs.artifacts[-1]
    if not evaluation.translations_file(split).is_file() and split != TEST_SPLIT:
        metrics = evaluation.metrics()
        known = [TEST_SPLIT, *(["golden"] if metrics.golden else []), *metrics.test_sets]
        raise ConfigError(
            f"--split {split}: there is no such set{did_you_mean(split, known)}",
            f"the sets are {', '.join(known)}",
        )
    rows = evaluation.translations(split)
    matching = [
        row for row in rows if any(text in side for side in (row.source, row.hypothesis, *row.references))
    ]
    scored = list(zip(sentence_scores(matching), matching, strict=True))
    if order == "random":
        random.Random(SEED).shuffle(scored)
    else:
        scored.sort(key=lambda row: row[0], reverse=order == "best")
    return {
        "run": outputs.run.run_id,
        "split": split,
        "sentences": len(rows),
        "matching": len(matching),
        "metric": METRIC,
        "rows": [
            {
                "id": row.id,
                "source": row.source,
                "hypothesis": row.hypothesis,
                "references": row.references,
                "score": row.score,
                "sentence_score": score,
            }
            for score, row in scored[:limit]
        ],
    }


def sentence_scores(rows: Sequence[Translated]) -> list[float]:
    """Returns the chrF of each translation, as recorded or else computed."""
    if all(METRIC in row.scores for row in rows):
        return [row.scores[METRIC] for row in rows]
    from bitext.components.translation.test_set import Options

    [kind] = [metric for metric in METRICS if metric.name == METRIC]
    metric = kind([row.references for row in rows], Options())
    statistics = metric.statistics([row.hypothesis for row in rows])
    return [metric.corpus_score(row) for row in statistics]


def render(report: dict[str, Any], order: Order, text: str) -> str:
    """Returns the report as text."""
    found = f", {report['matching']:,} with {shown(text)}" if text else ""
    label = next(metric.label for metric in METRICS if metric.name == report["metric"])
    which = "at random" if order == "random" else f"{order} {label} first"
    lines = [f"run {report['run']}  {report['split']}: {report['sentences']:,} sentences{found}, {which}"]
    for row in report["rows"]:
        lines += ["", f"{label} {row['sentence_score']:.1f}  {shown(row['id'])}"]
        lines += [f"    source      {shown(row['source'])}", f"    model       {shown(row['hypothesis'])}"]
        lines += [f"    reference   {shown(reference)}" for reference in row["references"]]
    rest = report["matching"] - len(report["rows"])
    return "\n".join([*lines, *(["", f"{rest:,} more (--limit 0 shows all)"] if rest > 0 else [])])
