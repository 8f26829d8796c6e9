"""Translates one set of held-out sentences and scores the translations."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bitext.components.artifacts import BaselineComparison, LengthRow, Metrics
from bitext.components.component import Context
from bitext.components.evaluator import Parameters, set_label
from bitext.components.evaluator.trivial import trivial_scores
from bitext.components.shared.heldout import Sentence
from bitext.components.shared.metrics import METRICS, Bleu, Metric
from bitext.components.translation.attention import AttendedTranslation, translate_with_attention
from bitext.components.translation.forced_decoding import perplexity
from bitext.components.translation.held_out import translate_sentences
from bitext.components.translation.translator import LineTranslator
from bitext.schemas import scripts

if TYPE_CHECKING:
    from bitext.components.shared.metrics.metric import SentenceStatistics

SCORE_DIGITS = 4
"""Digits after the point of the scores of sentences."""


@dataclasses.dataclass(frozen=True)
class ScoredSet:
    """One set of held-out sentences, their translations in the same order, and the scores.

    Attributes:
      sentences: the sentences.
      translations: the model's translations, with their attention.
      metrics: the scores of the set.
      scores: the score of each translation, by metric.
      served: the translations by the model now served; None: no comparison.
      served_scores: the score of each of them, by metric.
    """

    sentences: list[Sentence]
    translations: list[AttendedTranslation]
    metrics: Metrics
    scores: list[dict[str, float]]
    served: list[str] | None
    served_scores: list[dict[str, float]]


def score_set(
    name: str,
    sentences: list[Sentence],
    candidate: LineTranslator,
    baseline: LineTranslator | None,
    parameters: Parameters,
    context: Context,
    frequent_target: str | None = None,
) -> ScoredSet:
    """Translates a set, scores it with every metric, and compares the scores with the baseline's.

    Args:
      name: the set's split.
      sentences: the set's sentences.
      candidate: the model to score.
      baseline: the model now served, which translates the same sentences; None: no comparison.
      parameters: the Evaluator's parameters.
      context: the run, which prints messages.
      frequent_target: the most frequent target of the training split, for the trivial baselines.
    """
    context.say(f"translating the {len(sentences):,} sentences of the {set_label(name)}")
    started = time.monotonic()
    translations = translate_with_attention(candidate, [s.source.encode() for s in sentences])
    seconds = time.monotonic() - started
    references = [s.references for s in sentences]
    hypotheses = [t.translation.text for t in translations]
    metrics = {metric.name: metric(references, parameters) for metric in METRICS}
    statistics = {name: metric.statistics(hypotheses) for name, metric in metrics.items()}
    bleu, bleu_statistics = metrics[Bleu.name], statistics[Bleu.name]
    served, comparison, served_statistics = None, None, dict[str, "SentenceStatistics"]()
    if baseline is not None:
        context.say("translating them with the model now served, to compare")
        served = [t.text for t in translate_sentences(baseline, sentences)]
        served_statistics = {name: metric.statistics(served) for name, metric in metrics.items()}
        comparison = compared(metrics, statistics, served_statistics)
    sources = [sentence.source for sentence in sentences]
    set_metrics = Metrics(
        scores={name: metric.score(statistics[name]) for name, metric in metrics.items()},
        perplexity=perplexity(candidate, pairs_of(sentences)),
        length_ratio=Bleu.length_ratio(bleu_statistics),
        by_source_length=length_rows(bleu, bleu_statistics, sources, parameters),
        source_unit=scripts.unit(scripts.dominant_script(sources)),
        tokenizer=parameters.tokenize,
        sentences=len(sentences),
        sentences_per_second=len(sentences) / max(seconds, 1e-9),
        baseline=comparison,
        trivial=trivial_scores(sentences, hypotheses, metrics, statistics, frequent_target)
        if name == parameters.blessing_set and parameters.beat_trivial_baselines
        else {},
    )
    return ScoredSet(
        sentences,
        translations,
        set_metrics,
        sentence_scores(metrics, statistics),
        served,
        sentence_scores(metrics, served_statistics),
    )


def compared(
    metrics: Mapping[str, Metric],
    statistics: Mapping[str, SentenceStatistics],
    served: Mapping[str, SentenceStatistics],
) -> BaselineComparison:
    """Compares the statistics of the model with those of the model now served, in each metric."""
    by_metric = {name: metric.compare(statistics[name], served[name]) for name, metric in metrics.items()}
    bleu = by_metric[Bleu.name]
    return BaselineComparison(bleu.score, bleu.interval, bleu.difference, bleu.p_value, by_metric)


def sentence_scores(
    metrics: Mapping[str, Metric], statistics: Mapping[str, SentenceStatistics]
) -> list[dict[str, float]]:
    """Returns the scores of each sentence by metric, from the statistics that the corpus scores come from.

    A score that is not finite is left out: JSON has no form for it.
    """
    columns = {
        name: [round(metrics[name].sentence_score(row), SCORE_DIGITS) for row in rows]
        for name, rows in statistics.items()
    }
    return [
        {name: score for name, score in zip(columns, row, strict=True) if math.isfinite(score)}
        for row in zip(*columns.values(), strict=True)
    ]


def pairs_of(sentences: Sequence[Sentence]) -> list[tuple[bytes, bytes]]:
    """Returns each source with each of its references."""
    return [(s.source.encode(), r.encode()) for s in sentences for r in s.references]


def length_rows(
    bleu: Metric, statistics: SentenceStatistics, sources: Sequence[str], parameters: Parameters
) -> tuple[LengthRow, ...]:
    """Returns the BLEU of each length bin that is not empty, in the unit of the sources' script."""
    script = scripts.dominant_script(sources)
    lengths = [scripts.length(source, script) for source in sources]
    return by_source_length(bleu, statistics, lengths, length_bins(parameters, script))


def length_bins(parameters: Parameters, script: str) -> tuple[int, ...]:
    """Returns the lengths at which the rows by source length begin, in the unit of the sources' script."""
    factor = 1 if scripts.counts_words(script) else scripts.characters_per_word(script)
    return tuple((first - 1) * factor + 1 for first in parameters.length_bins)


def by_source_length(
    bleu: Metric, statistics: SentenceStatistics, lengths: Sequence[int], starts: Sequence[int]
) -> tuple[LengthRow, ...]:
    """Returns the BLEU of each length bin that is not empty.

    Args:
      bleu: BLEU with the set's references.
      statistics: BLEU's statistics of each sentence, float64[sentences, figures].
      lengths: the length of each source.
      starts: the length at which each bin begins.
    """
    bins = np.digitize(np.maximum(np.asarray(lengths), 1), starts) - 1
    rows = []
    for index, first in enumerate(starts):
        in_bin = statistics[bins == index]
        if len(in_bin):
            last = starts[index + 1] - 1 if index + 1 < len(starts) else None
            rows.append(LengthRow(first, last, len(in_bin), bleu.corpus_score(in_bin.sum(axis=0))))
    return tuple(rows)
