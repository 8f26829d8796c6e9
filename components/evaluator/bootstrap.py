"""Bootstrap resampling of corpus scores: intervals, and the comparison of two systems.

The figures are those of sacreBLEU's `--confidence` and `--paired-bs` (same resamples, same formulas),
computed in chunks: sacreBLEU holds all resampled statistics at once, gigabytes for a large held-out split.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.base import Metric

SEED = 12345
"""sacreBLEU's own, so that its command line reproduces our intervals."""

CHUNK_CELLS = 2_000_000
"""Resampled indices held at once."""

Statistics = npt.NDArray[np.float64]
"""float64[sentences, figures]: what a metric sums over a corpus before it computes a score."""


Scores = npt.NDArray[np.float64]
"""float64[samples]: the score of each resampled corpus."""


def resampled_scores(metric: Metric, systems: list[Statistics], samples: int) -> list[Scores]:
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
        for offset, drawn in enumerate(chunk):
            times = np.bincount(drawn, minlength=sentences).astype(np.float64)
            for system, statistics in enumerate(systems):
                scores[system][start + offset] = metric._compute_score_from_stats(times @ statistics).score
    return scores


def interval(scores: Scores) -> tuple[float, float]:
    """The 95 % interval of resampled scores: a fortieth of them lies outside at either end."""
    ordered = np.sort(scores)
    outside = len(ordered) // 40
    return float(ordered[outside]), float(ordered[len(ordered) - outside - 1])


def p_value(candidate: Scores, baseline: Scores, difference: float) -> float:
    """How probable so large a difference is, were the systems equal (two-sided, paired).

    Args:
      candidate, baseline: scores on the same resamples.
      difference: of the scores on the whole corpus; its sign does not matter.
    """
    differences = np.abs(candidate - baseline)
    if not differences.any():
        # Equal outputs: the count below would find no larger difference, and call none at all significant.
        return 1.0
    above = np.sum(differences - differences.mean() > abs(difference))
    return float((above + 1) / (len(differences) + 1))
