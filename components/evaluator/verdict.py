"""Decides from the scores whether a model is blessed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping

from bitext.components.artifacts import Metrics, TrivialScore, Verdict
from bitext.components.evaluator import GOLDEN, TRIVIAL, Parameters, set_label
from bitext.components.shared.metrics import METRICS, Bleu

KEY = "evaluator.beat_trivial_baselines"
SHUFFLED_SIGNIFICANCE = 0.05
"""A p-value from which a difference to the shuffled translations is by chance."""


@dataclasses.dataclass(frozen=True)
class Check:
    """A condition that a model must meet to be blessed.

    Attributes:
      passed: whether the scores meet the condition.
      message: the scores and the condition, as a clause: `BLEU 31.25 on the test split reaches ...`.
    """

    passed: bool
    message: str


def judge(metrics: Mapping[str, Metrics], parameters: Parameters, force: str | None = None) -> Verdict:
    """Returns the verdict on a model.

    A model is refused if on any set its perplexity is not finite, a metric misses its threshold, a trivial
    baseline is as good, or its BLEU is significantly worse than that of the model now served: lower, with a
    p-value below `significance`.

    Args:
      metrics: the scores of each set, by the set's split.
      parameters: the thresholds.
      force: a person's reason to bless the model whatever its scores; None: nobody forces it. A model whose
        perplexity is not finite is refused even then.
    """
    checks = [
        check for name, set_metrics in metrics.items() for check in _checks(name, set_metrics, parameters)
    ]
    failed = [check.message for check in checks if not check.passed]
    reasons = failed or [check.message for check in checks]
    if force is None:
        return Verdict(not failed, reasons)
    if not all(_is_finite(set_metrics.perplexity) for set_metrics in metrics.values()):
        return Verdict(False, [*reasons, f"cannot be forced ({force}): its probabilities are not finite"])
    return Verdict(True, [*reasons, f"forced: {force}"], force)


def _checks(name: str, metrics: Metrics, parameters: Parameters) -> Iterator[Check]:
    """Yields the checks of one set."""
    label = set_label(name)
    yield from _threshold_checks(name, metrics, parameters)
    finite = _is_finite(metrics.perplexity)
    problem = "" if finite else ": the model's probabilities are not finite"
    value = "null" if metrics.perplexity is None else f"{metrics.perplexity:.2f}"
    yield Check(finite, f"perplexity on the {label} is {value}{problem}")
    if problems := trivial_problems(metrics):
        yield Check(False, f"on the {label}, {', '.join(problems)} ({KEY})")
    decides = name in (parameters.blessing_set, GOLDEN)
    if (baseline := metrics.baseline) is not None and decides:
        worse = baseline.difference < 0 and baseline.p_value < parameters.significance
        yield Check(
            not worse,
            f"{Bleu.label} {metrics.scores[Bleu.name].score:.2f} on the {label} against {baseline.bleu:.2f} "
            f"of the model now served ({baseline.difference:+.2f}, p = {baseline.p_value:.3f}): "
            f"{'' if worse else 'not '}significantly worse",
        )


def _threshold_checks(name: str, metrics: Metrics, parameters: Parameters) -> Iterator[Check]:
    """Yields a check for each threshold of a set. An error rate must not exceed its threshold."""
    for threshold in parameters.thresholds_of(name):
        [metric] = (metric for metric in METRICS if metric.name == threshold.metric)
        score = metrics.scores[metric.name].score
        if metric.higher_is_better:
            passed = score >= threshold.value
            relation = "reaches" if passed else "is below"
        else:
            passed = score <= threshold.value
            relation = "does not exceed" if passed else "exceeds"
        yield Check(
            passed,
            f"{metric.label} {score:.2f} on the {set_label(name)} {relation} the threshold "
            f"{threshold.key} {threshold.value:g}",
        )


def trivial_problems(metrics: Metrics) -> list[str]:
    """Returns the trivial baselines that are as good as the model, each as a clause with the scores.

    A higher score than that of shuffled translations must also be significant: translations that do not
    depend on their source are better than their shuffling half the time.
    """
    clauses = [_as_good(name, baseline, metrics) for name, baseline in metrics.trivial.items()]
    return list(filter(None, clauses))


def _as_good(name: str, trivial: TrivialScore, metrics: Metrics) -> str:
    """Returns that a baseline is as good as the model, as a clause; empty: the model is better."""
    own = {metric: metrics.scores[metric].score for metric in trivial.scores}
    worse = {metric: score for metric, score in trivial.scores.items() if own[metric] <= score}
    if worse:
        own_scores = scores_in_words({metric: own[metric] for metric in worse})
        verb = "do not exceed" if len(worse) > 1 else "does not exceed"
        return f"{own_scores} {verb} {scores_in_words(worse)} of {TRIVIAL[name]}"
    chance = {metric: p for metric, p in trivial.p_values.items() if p >= SHUFFLED_SIGNIFICANCE}
    if not chance:
        return ""
    own_scores = scores_in_words({metric: own[metric] for metric in chance})
    others = scores_in_words({metric: trivial.scores[metric] for metric in chance})
    verb = "exceed" if len(chance) > 1 else "exceeds"
    return f"{own_scores} {verb} {others} of {TRIVIAL[name]} only by chance (p = {max(chance.values()):.3f})"


def scores_in_words(scores: Mapping[str, float]) -> str:
    """Returns scores with the labels of their metrics: `BLEU 31.25 and chrF 50.02`."""
    return " and ".join(
        f"{metric.label} {scores[metric.name]:.2f}" for metric in METRICS if metric.name in scores
    )


def _is_finite(perplexity: float | None) -> bool:
    return perplexity is not None and math.isfinite(perplexity)
