"""The scores of an evaluation beside those of the served model, the verdict, and the trivial baselines."""

from __future__ import annotations

from collections.abc import Mapping

from bitext.components.artifacts import BaselineComparison, Metrics, Verdict
from bitext.components.artifacts.page import (
    Axis,
    Block,
    Cell,
    Chart,
    Column,
    Fact,
    Facts,
    Series,
    Table,
    Text,
    Tone,
)
from bitext.components.shared.metrics import METRICS, Bleu, Comparison, Metric

SIGNIFICANCE = 0.05
"""A difference with a smaller p-value is called significant here, whatever `evaluator.significance` is."""
TEST, GOLDEN = "test split", "golden set"
TRIVIAL = {
    "copied_source": "copying the source",
    "frequent_target": "the most frequent training target",
    "shuffled_translations": "the model's translations, shuffled",
}


def blocks(metrics: Metrics, verdict: Verdict) -> tuple[Block, ...]:
    """Returns the verdict, the scores of all sets, and the trivial baselines."""
    sets = sets_of(metrics)
    found: list[Block] = [*_verdict(verdict), Facts(facts=_facts(metrics)), _scores(sets)]
    if len(sets) > 1:
        found.append(_chart(sets))
    if metrics.trivial:
        found.append(_trivial(metrics))
    return tuple(found)


def sets_of(metrics: Metrics) -> dict[str, Metrics]:
    """Returns the metrics of each set by its name: the test split, the golden set, the named test sets."""
    golden = {} if metrics.golden is None else {GOLDEN: metrics.golden}
    return {TEST: metrics, **golden, **metrics.test_sets}


def comparisons(baseline: BaselineComparison | None) -> dict[str, Comparison]:
    """Returns the comparison with the served model by metric; of an older file, that of BLEU alone."""
    if baseline is None:
        return {}
    bleu = Comparison(baseline.bleu, baseline.interval, baseline.difference, baseline.p_value)
    return baseline.by_metric or {Bleu.name: bleu}


def in_words(metric: type[Metric], comparison: Comparison) -> str:
    """Returns what a comparison means: `significantly better`, `no significant difference`."""
    if comparison.p_value >= SIGNIFICANCE or comparison.difference == 0:
        return "no significant difference"
    better = (comparison.difference > 0) == metric.higher_is_better
    return f"significantly {'better' if better else 'worse'}"


def _verdict(verdict: Verdict) -> list[Block]:
    if verdict.forced is not None:
        outcome = f"Blessed by force: {verdict.forced}."
    else:
        outcome = "Blessed: the model may be pushed." if verdict.blessed else "Not blessed: it is not pushed."
    tone: Tone = "warning" if verdict.forced is not None else "good" if verdict.blessed else "bad"
    return [Text(text=outcome, tone=tone), *(Text(text=reason) for reason in verdict.reasons)]


def _facts(metrics: Metrics) -> tuple[Fact, ...]:
    """Returns the scores of the test split."""
    compared, facts = comparisons(metrics.baseline), []
    for metric in _metrics(metrics):
        score, tone = metrics.scores[metric.name], "plain"
        note = f"[{score.interval[0]:.2f}, {score.interval[1]:.2f}]"
        if metric.name in compared:
            of_served = compared[metric.name]
            words = in_words(metric, of_served)
            note += f"; served model {of_served.score:.2f}, {of_served.difference:+.2f}: {words}"
            tone = "good" if words.endswith("better") else "bad" if words.endswith("worse") else "plain"
        facts.append(Fact(metric.label, f"{score.score:.2f}", note, tone))  # type: ignore[arg-type]
    finite = metrics.perplexity is not None
    facts += [
        Fact(
            "perplexity",
            f"{metrics.perplexity:.2f}" if finite else "not finite",
            "of the references, per token",
            "plain" if finite else "bad",
        ),
        Fact("length ratio", f"{metrics.length_ratio:.3f}", "tokens of translations over references"),
        Fact("sentences", f"{metrics.sentences:,}", f"{metrics.sentences_per_second:.0f} per second"),
    ]
    return tuple(facts)


def _metrics(metrics: Metrics) -> list[type[Metric]]:
    return [metric for metric in METRICS if metric.name in metrics.scores]


def _scores(sets: Mapping[str, Metrics]) -> Table:
    """Returns a row for each set and metric."""
    rows: list[tuple[Cell, ...]] = []
    has_served = any(metrics.baseline for metrics in sets.values())
    for name, metrics in sets.items():
        compared = comparisons(metrics.baseline)
        for metric in _metrics(metrics):
            score = metrics.scores[metric.name]
            row: list[Cell] = [name, metric.label, score.score, *score.interval]
            if has_served:
                row += _served(metric, compared.get(metric.name))
            rows.append((*row, metrics.sentences, score.signature))
    columns = [Column("set"), Column("metric")]
    columns += [Column(title, "number", 2) for title in ("score", "interval from", "to")]
    if has_served:
        columns += [Column(title, "number", 2) for title in ("served model", "difference")]
        columns += [Column("p-value", "number", 3), Column("in words")]
    note = "95 % intervals by bootstrap resampling (Koehn 2004)."
    if has_served:
        note += (
            f" The p-value is two-sided, by paired resampling; below {SIGNIFICANCE} a difference is called"
            " significant."
        )
    return Table(
        title="Scores of each set",
        columns=(*columns, Column("sentences", "number"), Column("signature")),
        rows=tuple(rows),
        note=note,
    )


def _served(metric: type[Metric], comparison: Comparison | None) -> list[Cell]:
    if comparison is None:
        return [None, None, None, None]
    words = in_words(metric, comparison)
    return [comparison.score, comparison.difference, comparison.p_value, words]


def _chart(sets: Mapping[str, Metrics]) -> Chart:
    """Returns BLEU of each set."""
    named = {name: metrics for name, metrics in sets.items() if Bleu.name in metrics.scores}
    scores = [metrics.scores[Bleu.name] for metrics in named.values()]
    series = [
        Series(
            "this model",
            tuple(named),
            tuple(score.score for score in scores),
            tuple(score.interval[0] for score in scores),
            tuple(score.interval[1] for score in scores),
        )
    ]
    served = [comparisons(metrics.baseline).get(Bleu.name) for metrics in named.values()]
    if any(served):
        series.append(
            Series(
                "served model",
                tuple(named),
                tuple(None if one is None else one.score for one in served),
                tuple(None if one is None else one.interval[0] for one in served),
                tuple(None if one is None else one.interval[1] for one in served),
                role="other",
            )
        )
    parts = [f"{name} {score.score:.2f}" for name, score in zip(named, scores, strict=True)]
    return Chart(
        form="bar",
        title=f"{Bleu.label} of each set",
        x=Axis(title="set", scale="ordinal"),
        y=Axis(title=Bleu.label),
        series=tuple(series),
        alternative=f"{Bleu.label} of this model: {', '.join(parts)}.",
    )


def _trivial(metrics: Metrics) -> Table:
    """Returns the scores of answers that need no model."""
    names = [metric for metric in METRICS if any(metric.name in t.scores for t in metrics.trivial.values())]
    rows: list[tuple[Cell, ...]] = [
        ("this model", *(metrics.scores[metric.name].score for metric in names), None)
    ]
    for name, trivial in metrics.trivial.items():
        scores = (trivial.scores.get(metric.name) for metric in names)
        rows.append((TRIVIAL.get(name, name), *scores, trivial.text))
    return Table(
        title="Trivial baselines",
        columns=(
            Column("answer"),
            *(Column(metric.label, "number", 2) for metric in names),
            Column("text", "corpus"),
        ),
        rows=tuple(rows),
        note="Answers that need no model. A model that is not better than each of them is not blessed.",
    )
