"""Bootstrap resampling of corpus scores: intervals, and the comparison of two systems.

The results equal those of sacreBLEU's `--confidence` and `--paired-bs`: same resamples, same formulas. They
are computed in chunks, because sacreBLEU holds all resampled statistics at once, which takes gigabytes for a
large held-out split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from bitext.components.shared.metrics.metric import Metric, SentenceStatistics

SEED = 12345
"""The seed of sacreBLEU, so that its command line reproduces the intervals."""

CHUNK_CELLS = 2_000_000
"""Resampled indices held at once."""

ResampledScores = npt.NDArray[np.float64]
"""float64[samples]: the score of each resampled corpus."""


def resampled_scores(
    metric: Metric, systems: list[SentenceStatistics], samples: int
) -> list[ResampledScores]:
    """Scores of `samples` resampled corpora, the same resamples for every system.

    Published in: Koehn 2004, "Statistical significance tests for machine translation evaluation".

    Args:
      metric: computes a score from summed statistics.
      systems: the statistics of each system on the same sentences.
      samples: corpora drawn with replacement, each as large as the original.

    Returns:
      For each system, float64[samples].
    """
    sentences = len(systems[0])
    generator = np.random.default_rng(SEED)
    scores = [np.empty(samples) for _ in systems]
    rows = max(1, CHUNK_CELLS // sentences)
    for start in range(0, samples, rows):
        chunk = generator.choice(sentences, size=(min(rows, samples - start), sentences), replace=True)
        for offset, indices in enumerate(chunk):
            counts = np.bincount(indices, minlength=sentences).astype(np.float64)
            for system, statistics in enumerate(systems):
                scores[system][start + offset] = metric.corpus_score(counts @ statistics)
    return scores


def interval(scores: ResampledScores) -> tuple[float, float]:
    """The 95 % interval of resampled scores: one fortieth of them lies outside at either end."""
    ordered = np.sort(scores)
    outside = len(ordered) // 40
    return float(ordered[outside]), float(ordered[len(ordered) - outside - 1])


def p_value(candidate: ResampledScores, baseline: ResampledScores, difference: float) -> float:
    """The probability of so large a difference if the systems were equal (two-sided, paired).

    Args:
      candidate, baseline: scores on the same resamples.
      difference: of the scores on the whole corpus; its sign does not matter.
    """
    differences = np.abs(candidate - baseline)
    if not differences.any():
        # The outputs are equal. The count below would be 0 and make the difference look significant.
        return 1.0
    above = np.sum(differences - differences.mean() > abs(difference))
    return float((above + 1) / (len(differences) + 1))
