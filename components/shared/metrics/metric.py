"""The base class of metrics: a corpus score from statistics that add up over sentences.

This module imports no large library, so that programs that only show scores can loop over the metrics.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    SentenceStatistics = npt.NDArray[np.float64]
    """float64[sentences, figures]: what a metric sums over a corpus before it computes a score."""


class MetricOptions(Protocol):
    """Options of the metrics. The Evaluator's parameters implement this protocol.

    Attributes:
      tokenize: sacreBLEU's tokenizer, for BLEU; `auto`: by the script of the references.
      lowercase: whether letter case is ignored.
      bootstrap_samples: number of resamples for an interval or a comparison.
    """

    @property
    def tokenize(self) -> str: ...
    @property
    def lowercase(self) -> bool: ...
    @property
    def bootstrap_samples(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class CorpusScore:
    """The score of a corpus, with its 95 % interval and its signature (the metric's options)."""

    score: float
    signature: str
    interval: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The comparison of a candidate with a baseline, by paired bootstrap on the same sentences.

    Attributes:
      score: the baseline's score.
      interval: the 95 % interval of the baseline's score.
      difference: the candidate's score minus the baseline's.
      p_value: two-sided.
    """

    score: float
    interval: tuple[float, float]
    difference: float
    p_value: float


class Metric(abc.ABC):
    """A corpus metric with fixed references.

    A subclass defines the class attributes, `statistics`, `corpus_score` and `signature`. This class computes
    intervals and comparisons from them by bootstrap resampling.

    Attributes:
      name: the key in metrics.json and in the metadata store, and the last part of the OpenMetrics name.
      label: the name that people read.
      bounds: the smallest and largest value, in words, for the help text of the OpenMetrics file.
      higher_is_better: false for an error rate.

    Args:
      references: one reference or more for each sentence.
      options: tokenizer, letter case, resamples.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    bounds: ClassVar[str] = "0 to 100"
    higher_is_better: ClassVar[bool] = True

    def __init__(self, references: Sequence[Sequence[str]], options: MetricOptions):
        self.references = references
        self.options = options

    @abc.abstractmethod
    def statistics(self, hypotheses: Sequence[str]) -> SentenceStatistics:
        """Returns the statistics of each sentence, float64[sentences, figures]."""

    @abc.abstractmethod
    def corpus_score(self, sums: SentenceStatistics) -> float:
        """Returns the score of a corpus.

        Args:
          sums: float64[figures], the statistics summed over the corpus's sentences.
        """

    @abc.abstractmethod
    def signature(self) -> str:
        """Returns the options that the score depends on, in sacreBLEU's format."""

    def sentence_score(self, statistics: SentenceStatistics) -> float:
        """Returns the score of one sentence.

        Args:
          statistics: float64[figures], the sentence's row of `statistics`.
        """
        return self.corpus_score(statistics)

    def score(self, statistics: SentenceStatistics) -> CorpusScore:
        """Returns score, signature and 95 % interval over all sentences."""
        from bitext.components.shared.metrics import bootstrap

        [resampled] = bootstrap.resampled_scores(
            self.corpus_score, [statistics], self.options.bootstrap_samples
        )
        score = self.corpus_score(statistics.sum(axis=0))
        return CorpusScore(score, self.signature(), bootstrap.interval(resampled))

    def compare(self, candidate: SentenceStatistics, baseline: SentenceStatistics) -> Comparison:
        """Compares the statistics of two systems on the same sentences, by paired bootstrap."""
        from bitext.components.shared.metrics import bootstrap

        systems = [candidate, baseline]
        resampled = bootstrap.resampled_scores(self.corpus_score, systems, self.options.bootstrap_samples)
        candidate_score, baseline_score = (self.corpus_score(system.sum(axis=0)) for system in systems)
        difference = candidate_score - baseline_score
        p = bootstrap.p_value(resampled[0], resampled[1], difference)
        return Comparison(baseline_score, bootstrap.interval(resampled[1]), difference, p)
