"""Compares the scores of two runs: as they were recorded, and on the sentences that both translated."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec

from bitext.components.artifacts import TEST_SPLIT, Examples, Metrics, ModelEvaluation, Translated
from bitext.components.reporter.evaluation import pairwise
from bitext.components.reporter.evaluation.summary import GOLDEN, SIGNIFICANCE, TEST
from bitext.components.reporter.evaluation.systems import (
    ScoreOptions,
    System,
    common,
    options_of,
    scored,
    statistics_of,
)
from bitext.components.shared.errors import DataError
from bitext.components.shared.metrics import METRICS, Metric
from bitext.pipeline.reports.compare.content import Better, CommonScore, CommonSet, RecordedScore
from bitext.pipeline.reports.compare.sides import Side
from bitext.pipeline.reports.contents import Score
from bitext.pipeline.reports.history.scores import comparable

SAMPLES = 1000
"""Resamples of the paired bootstrap."""
_OTHER_SENTENCES = "not the same sentences"
_UNKNOWN_SENTENCES = "whether the sentences are the same is not on record"
_FILES = {TEST: TEST_SPLIT, GOLDEN: "golden"}
"""The sets that have another name in file names."""


@dataclasses.dataclass(frozen=True)
class Paired:
    """Both runs on the sentences of a set that both translated.

    Attributes:
      summary: the figures.
      systems: the second run and the first, in the order in which the report has a model and the served one.
    """

    summary: CommonSet
    systems: tuple[System, System]


def recorded(first: Side, second: Side, paired: Sequence[Paired]) -> list[RecordedScore]:
    """Returns the scores that the runs recorded, of each set that either has.

    Args:
      first: the first run.
      second: the second run.
      paired: the common sentences of the sets that both have.
    """
    differing = {
        one.summary.set: _OTHER_SENTENCES
        for one in paired
        if one.summary.first_only or one.summary.second_only
    }
    if not paired and not _same_test_split(first, second):
        differing[TEST] = _UNKNOWN_SENTENCES
    sides = [_scores_by_set(side) for side in (first, second)]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    found = []
    for name in names:
        before, after = (side.get(name, {}) for side in sides)
        for metric in METRICS:
            if metric.name in before or metric.name in after:
                scores = before.get(metric.name), after.get(metric.name)
                found.append(_recorded(name, metric, *scores, differing.get(name, "")))
    return found


def _same_test_split(first: Side, second: Side) -> bool:
    """Whether both runs have the same test split on record, span by span."""
    digests = [
        [a.split_digests.get(TEST_SPLIT) for _, a in side.one.outputs(Examples.TYPE_NAME)]
        for side in (first, second)
    ]
    return digests[0] == digests[1] and any(digests[0])


def _scores_by_set(side: Side) -> dict[str, dict[str, Score]]:
    """The scores of each set; only those of the test split if the evaluation was collected."""
    metrics = side.metrics()
    if not metrics:
        return {TEST: side.entry.scores} if side.entry.scores else {}
    return {
        name: {
            metric: Score(score=score.score, interval=score.interval, signature=score.signature)
            for metric, score in of_set.scores.items()
        }
        for name, of_set in metrics.items()
    }


def _recorded(
    name: str, metric: type[Metric], before: Score | None, after: Score | None, reason: str
) -> RecordedScore:
    if before is None or after is None:
        reason = ""
    if before is not None and after is not None and not _same_signature(before, after):
        reason = f"other signatures: {before.signature or 'unknown'}; {after.signature or 'unknown'}"
    is_both = before is not None and after is not None and not reason
    return RecordedScore(
        set=name,
        metric=metric.name,
        first=before.score if before else None,
        first_interval=before.interval if before else None,
        second=after.score if after else None,
        second_interval=after.interval if after else None,
        difference=after.score - before.score if is_both and before and after else None,
        reason=reason,
    )


def _same_signature(before: Score, after: Score) -> bool:
    return bool(before.signature) and comparable(before.signature) == comparable(after.signature)


def paired(first: Side, second: Side) -> list[Paired]:
    """Returns both runs on the common sentences of each set that both have.

    Raises:
      DataError: the translations of a run are damaged.
    """
    evaluations = [side.artifact(ModelEvaluation) for side in (first, second)]
    metrics = [side.metrics() for side in (first, second)]
    if evaluations[0] is None or evaluations[1] is None:
        return []
    found = []
    for name in (name for name in metrics[1] if name in metrics[0]):
        file = _FILES.get(name, name)
        rows = [evaluation.translations(file) for evaluation in evaluations if evaluation is not None]
        names = (first.name, second.name)
        found.append(pair(name, names, (rows[0], rows[1]), options(metrics[1][name], rows[1])))
    return found


def options(metrics: Metrics, rows: Sequence[Translated]) -> ScoreOptions:
    """Returns the options of the second run, with which the common sentences of both are scored."""
    return dataclasses.replace(options_of(metrics, rows), bootstrap_samples=SAMPLES)


def pair(
    name: str,
    runs: tuple[str, str],
    rows: tuple[Sequence[Translated], Sequence[Translated]],
    options: ScoreOptions,
) -> Paired:
    """Compares the translations of a set.

    Args:
      name: the set.
      runs: the names of the runs.
      rows: the translations of each.
      options: how both are scored. Sentence scores on record may be of other options, and are not used.
    """
    unscored = [[_without_scores(row) for row in of_run] for of_run in rows]
    second, first = common(System(runs[1], unscored[1]), System(runs[0], unscored[0]))
    sentences = len(second.rows)
    summary = CommonSet(
        set=name,
        sentences=sentences,
        first_only=len(rows[0]) - sentences,
        second_only=len(rows[1]) - sentences,
    )
    if not sentences:
        return Paired(summary, (second, first))
    systems = (
        System(second.name, scored(second.rows, options)),
        System(first.name, scored(first.rows, options)),
    )
    improved, worsened = pairwise.order_of_change(*systems)
    metrics = [metric([row.references for row in second.rows], options) for metric in METRICS]
    summary = msgspec.structs.replace(
        summary,
        scores=tuple(_common_score(metric, systems) for metric in metrics),
        signature=metrics[0].signature(),
        improved=len(improved),
        worsened=len(worsened),
    )
    return Paired(summary, systems)


def _without_scores(row: Translated) -> Translated:
    return Translated(row.id, row.source, row.hypothesis, row.references, row.score, part=row.part)


def _common_score(metric: Metric, systems: tuple[System, System]) -> CommonScore:
    own, other = (statistics_of(metric, system) for system in systems)
    comparison = metric.compare(own, other)
    better: Better = "neither"
    if comparison.p_value < SIGNIFICANCE and comparison.difference:
        better = "second" if (comparison.difference > 0) == metric.higher_is_better else "first"
    return CommonScore(
        metric=metric.name,
        first=comparison.score,
        second=comparison.score + comparison.difference,
        difference=comparison.difference,
        p_value=comparison.p_value,
        better=better,
    )


def problem(evaluation: Side) -> str:
    """Returns why the translations of a run cannot be compared; empty: they can."""
    record = evaluation.newest(ModelEvaluation)
    if record is None:
        return f"run {evaluation.name} has no evaluation: its outcome is {evaluation.entry.outcome}"
    if not record.exists:
        return f"bitext gc removed the translations of run {evaluation.name}"
    try:
        ModelEvaluation(record.path).metrics()
    except (DataError, OSError) as error:
        return str(error)
    return ""
