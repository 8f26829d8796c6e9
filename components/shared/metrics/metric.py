"""The base class of metrics: a corpus score from statistics that add up over sentences.

Imports nothing heavy, so that programs which only show scores can loop over the metrics.
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
    """Options that metrics read. The Evaluator's parameters have them.

    Attributes:
      tokenize: sacreBLEU's tokenizer, for BLEU.
      lowercase: whether letter case is ignored.
      bootstrap_samples: resamples behind an interval or a comparison.
    """

    @property
    def tokenize(self) -> str: ...
    @property
    def lowercase(self) -> bool: ...
    @property
    def bootstrap_samples(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class CorpusScore:
    """A metric over all sentences, with its 95 % interval and its signature."""

    score: float
    signature: str
    interval: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A candidate against a baseline, by paired bootstrap on the same sentences.

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
    """A corpus metric against one set of references.

    A subclass defines the class attributes, `statistics`, `corpus_score` and `signature`. Intervals and
    comparisons follow from these by bootstrap resampling.

    Attributes:
      name: the key in metrics.json and the metadata store, and the end of the OpenMetrics name.
      label: the name shown to people.
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
        """The statistics of each sentence, float64[sentences, figures]."""

    @abc.abstractmethod
    def corpus_score(self, sums: SentenceStatistics) -> float:
        """The score of a corpus.

        Args:
          sums: float64[figures], the statistics summed over its sentences.
        """

    @abc.abstractmethod
    def signature(self) -> str:
        """The options that a score depends on, as sacreBLEU writes them."""

    def score(self, statistics: SentenceStatistics) -> CorpusScore:
        """Score, signature and 95 % interval over all sentences."""
        from bitext.components.shared.metrics import bootstrap

        [resampled] = bootstrap.resampled_scores(self, [statistics], self.options.bootstrap_samples)
        score = self.corpus_score(statistics.sum(axis=0))
        return CorpusScore(score, self.signature(), bootstrap.interval(resampled))

    def compare(self, candidate: SentenceStatistics, baseline: SentenceStatistics) -> Comparison:
        """Compares two systems on the same sentences, by paired bootstrap."""
        from bitext.components.shared.metrics import bootstrap

        systems = [candidate, baseline]
        resampled = bootstrap.resampled_scores(self, systems, self.options.bootstrap_samples)
        of_candidate, of_baseline = (self.corpus_score(system.sum(axis=0)) for system in systems)
        difference = of_candidate - of_baseline
        p = bootstrap.p_value(resampled[0], resampled[1], difference)
        return Comparison(of_baseline, bootstrap.interval(resampled[1]), difference, p)
