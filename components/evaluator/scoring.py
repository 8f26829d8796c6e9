"""Translates one set of held-out sentences and scores the translations."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bitext.components.artifacts import BaselineComparison, LengthRow, Metrics
from bitext.components.component import Context
from bitext.components.evaluator import Parameters, set_label
from bitext.components.evaluator.trivial import trivial_scores
from bitext.components.shared.heldout import Sentence
from bitext.components.shared.metrics import METRICS, Bleu, Metric
from bitext.components.translation.forced_decoding import perplexity
from bitext.components.translation.held_out import translate_sentences
from bitext.components.translation.translator import LineTranslator, Translation
from bitext.schemas import scripts

if TYPE_CHECKING:
    from bitext.components.shared.metrics.metric import SentenceStatistics


@dataclasses.dataclass(frozen=True)
class ScoredSet:
    """One set of held-out sentences, their translations in the same order, and the scores."""

    sentences: list[Sentence]
    translations: list[Translation]
    metrics: Metrics


def score_set(
    name: str,
    sentences: list[Sentence],
    candidate: LineTranslator,
    baseline: LineTranslator | None,
    parameters: Parameters,
    context: Context,
    frequent_target: str | None = None,
) -> ScoredSet:
    """Translates a set, scores it with every metric, and compares BLEU with the baseline.

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
    translations = translate_sentences(candidate, sentences)
    seconds = time.monotonic() - started
    references = [s.references for s in sentences]
    hypotheses = [t.text for t in translations]
    metrics = {metric.name: metric(references, parameters) for metric in METRICS}
    statistics = {name: metric.statistics(hypotheses) for name, metric in metrics.items()}
    bleu, bleu_statistics = metrics[Bleu.name], statistics[Bleu.name]
    comparison = None
    if baseline is not None:
        context.say("translating them with the model now served, to compare")
        baseline_texts = [t.text for t in translate_sentences(baseline, sentences)]
        result = bleu.compare(bleu_statistics, bleu.statistics(baseline_texts))
        comparison = BaselineComparison(result.score, result.interval, result.difference, result.p_value)
    sources = [s.source for s in sentences]
    pairs = [(s.source.encode(), r.encode()) for s in sentences for r in s.references]
    script = scripts.dominant_script(sources)
    lengths = [scripts.length(source, script) for source in sources]
    bins = length_bins(parameters, script)
    set_metrics = Metrics(
        scores={name: metric.score(statistics[name]) for name, metric in metrics.items()},
        perplexity=perplexity(candidate, pairs),
        length_ratio=Bleu.length_ratio(bleu_statistics),
        by_source_length=by_source_length(bleu, bleu_statistics, lengths, bins),
        source_unit=scripts.unit(script),
        tokenizer=parameters.tokenize,
        sentences=len(sentences),
        sentences_per_second=len(sentences) / max(seconds, 1e-9),
        baseline=comparison,
        trivial=trivial_scores(sentences, hypotheses, metrics, statistics, frequent_target)
        if name == parameters.blessing_set and parameters.beat_trivial_baselines
        else {},
    )
    return ScoredSet(sentences, translations, set_metrics)


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
