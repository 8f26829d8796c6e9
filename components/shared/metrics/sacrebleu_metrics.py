"""The metrics of sacreBLEU. No other module uses sacreBLEU's private members.

sacreBLEU's public functions score a corpus at once. Intervals in bounded memory, scores by sentence length
and paired comparisons need the statistics of each sentence, which only its private methods return.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bitext.components.shared.metrics.metric import Metric, MetricOptions

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacreBleu

    from bitext.components.shared.metrics.metric import SentenceStatistics

ReferenceStreams = list[list[str | None]]
"""References in sacreBLEU's form: stream k holds the k-th reference of each sentence, or None."""


def reference_streams(references: Sequence[Sequence[str]]) -> ReferenceStreams:
    """Returns the references of each sentence in sacreBLEU's form."""
    stream_count = max(len(of_sentence) for of_sentence in references)
    return [
        [of_sentence[k] if k < len(of_sentence) else None for of_sentence in references]
        for k in range(stream_count)
    ]


class SacreBleuMetric(Metric):
    """Adapter for a metric of sacreBLEU, which a subclass makes in `make`."""

    def __init__(self, references: Sequence[Sequence[str]], options: MetricOptions):
        super().__init__(references, options)
        self._metric = self.make(reference_streams(references))

    @abc.abstractmethod
    def make(self, streams: ReferenceStreams) -> SacreBleu:
        """Returns sacreBLEU's metric with these references."""

    def statistics(self, hypotheses: Sequence[str]) -> SentenceStatistics:
        import numpy as np

        # None: sacreBLEU uses the references of its constructor.
        return np.asarray(self._metric._extract_corpus_statistics(hypotheses, None), np.float64)

    def corpus_score(self, sums: SentenceStatistics) -> float:
        return float(self._metric._compute_score_from_stats(sums).score)

    def signature(self) -> str:
        from bitext.components.shared.metrics import bootstrap

        self._metric.n_bootstrap, self._metric.seed = self.options.bootstrap_samples, str(bootstrap.SEED)
        return str(self._metric.get_signature())


class Bleu(SacreBleuMetric):
    """BLEU: precision of word n-grams, with a penalty for short translations."""

    name, label = "bleu", "BLEU"

    def make(self, streams: ReferenceStreams) -> SacreBleu:
        from sacrebleu.metrics import BLEU

        # `force` disables sacreBLEU's warning that sentences ending in " ." may not be detokenized.
        return BLEU(
            lowercase=self.options.lowercase, tokenize=self.options.tokenize, force=True, references=streams
        )

    @staticmethod
    def length_ratio(statistics: SentenceStatistics) -> float:
        """Returns the words of the hypotheses divided by the words of the closest references."""
        hypothesis_words, reference_words = statistics[:, :2].sum(axis=0)
        return float(hypothesis_words / reference_words) if reference_words else 0.0


class ChrF(SacreBleuMetric):
    """chrF: F-score of character n-grams."""

    name, label = "chrf", "chrF"

    def make(self, streams: ReferenceStreams) -> SacreBleu:
        from sacrebleu.metrics import CHRF

        return CHRF(lowercase=self.options.lowercase, references=streams)


class Ter(SacreBleuMetric):
    """TER, translation edit rate: number of edits and shifts of words per reference word.

    Text is split into words at spaces, sacreBLEU's default, so punctuation is part of a word.
    """

    name, label, bounds, higher_is_better = "ter", "TER", "0 (best) upwards", False

    def make(self, streams: ReferenceStreams) -> SacreBleu:
        from sacrebleu.metrics import TER

        return TER(case_sensitive=not self.options.lowercase, references=streams)
