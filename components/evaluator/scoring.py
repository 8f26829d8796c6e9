"""Corpus scores by sacreBLEU, from statistics gathered once for each sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.metrics.base import Metric

from bitext.components.evaluator import Parameters, bootstrap
from bitext.components.shared.heldout import reference_streams


@dataclasses.dataclass(frozen=True)
class CorpusScore:
    """A metric over all sentences, with its 95 % interval and sacreBLEU's signature."""

    score: float
    signature: str
    interval: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class LengthRow:
    """BLEU of the sources of `first` to `last` words (null: no upper end)."""

    first: int
    last: int | None
    sentences: int
    bleu: float

    def as_json(self) -> dict[str, int | float | None]:
        return {"from": self.first, "to": self.last, "sentences": self.sentences, "bleu": self.bleu}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The candidate against the model now served, by paired bootstrap on the same sentences.

    Attributes:
      bleu: the baseline's score, and `interval` its interval.
      difference: candidate minus baseline.
      p_value: two-sided.
    """

    bleu: float
    interval: tuple[float, float]
    difference: float
    p_value: float


def corpus_score(metric: Metric, statistics: bootstrap.Statistics) -> float:
    """The metric over all sentences, from the statistics of each."""
    return float(metric._compute_score_from_stats(statistics.sum(axis=0)).score)


class Scorer:
    """Scores systems against one set of references.

    Args:
      references: one reference or more for each sentence.
      parameters: tokenizer, case, resamples, length bins.
    """

    def __init__(self, references: Sequence[Sequence[str]], parameters: Parameters):
        self.parameters = parameters
        self._streams = reference_streams(references)
        # `force`: silence sacreBLEU's guess that sentences ending in " ." were not detokenised.
        self.bleu = BLEU(lowercase=parameters.lowercase, tokenize=parameters.tokenize, force=True)
        self.chrf = CHRF(lowercase=parameters.lowercase)

    def statistics(self, metric: Metric, hypotheses: Sequence[str]) -> bootstrap.Statistics:
        """The metric's statistics, float64[sentences, figures]."""
        return np.asarray(metric._extract_corpus_statistics(hypotheses, self._streams), np.float64)

    def score(self, metric: Metric, statistics: bootstrap.Statistics) -> CorpusScore:
        """Score, signature and interval over all sentences."""
        samples = self.parameters.bootstrap_samples
        [resampled] = bootstrap.resampled_scores(metric, [statistics], samples)
        metric.n_bootstrap, metric.seed = samples, str(bootstrap.SEED)
        signature = str(metric.get_signature())
        return CorpusScore(corpus_score(metric, statistics), signature, bootstrap.interval(resampled))

    def length_ratio(self, statistics: bootstrap.Statistics) -> float:
        """Words of the hypotheses over words of the closest references (BLEU's)."""
        hypothesis_words, reference_words = statistics[:, :2].sum(axis=0)
        return float(hypothesis_words / reference_words) if reference_words else 0.0

    def by_source_length(self, statistics: bootstrap.Statistics, words: Sequence[int]) -> list[LengthRow]:
        """BLEU of the sentences in each length bin that holds any."""
        starts = self.parameters.length_bins
        bins = np.digitize(np.maximum(np.asarray(words), 1), starts) - 1
        rows = []
        for index, first in enumerate(starts):
            picked = statistics[bins == index]
            if len(picked):
                last = starts[index + 1] - 1 if index + 1 < len(starts) else None
                rows.append(LengthRow(first, last, len(picked), corpus_score(self.bleu, picked)))
        return rows

    def compare(self, candidate: bootstrap.Statistics, baseline: bootstrap.Statistics) -> Comparison:
        """Paired bootstrap of BLEU."""
        resampled = bootstrap.resampled_scores(
            self.bleu, [candidate, baseline], self.parameters.bootstrap_samples
        )
        score = corpus_score(self.bleu, baseline)
        difference = corpus_score(self.bleu, candidate) - score
        p = bootstrap.p_value(resampled[0], resampled[1], difference)
        return Comparison(score, bootstrap.interval(resampled[1]), difference, p)
