"""Bootstrap resampling of corpus scores: intervals, and the comparison of two systems.

The results equal those of sacreBLEU's `--confidence` and `--paired-bs`: same resamples, same formulas. They
are computed in chunks. sacreBLEU holds all resampled statistics at once, which takes gigabytes for a large
held-out split.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

SEED = 12345
"""The seed of sacreBLEU, so that its command line reproduces the intervals."""

CHUNK_CELLS = 2_000_000
"""Number of resampled indices held in memory at once."""

Statistics = npt.NDArray[np.float64]
"""float64[sentences, figures] of a system, or their sums float64[figures]."""
ResampledScores = npt.NDArray[np.float64]
"""float64[samples]: the score of each resampled corpus."""


def resampled_scores(
    corpus_score: Callable[[Statistics], float], systems: list[Statistics], samples: int
) -> list[ResampledScores]:
    """Returns the scores of `samples` resampled corpora, with the same resamples for every system.

    Published in: Koehn 2004, "Statistical significance tests for machine translation evaluation".

    Args:
      corpus_score: computes a score from summed statistics.
      systems: the statistics of each system on the same sentences.
      samples: number of corpora, each drawn with replacement and as large as the original.

    Returns:
      For each system, float64[samples].
    """
    sentences = len(systems[0])
    generator = np.random.default_rng(SEED)
    scores = [np.empty(samples) for _ in systems]
    chunk_samples = max(1, CHUNK_CELLS // sentences)
    for start in range(0, samples, chunk_samples):
        size = (min(chunk_samples, samples - start), sentences)
        chunk = generator.choice(sentences, size=size, replace=True)
        for offset, indices in enumerate(chunk):
            counts = np.bincount(indices, minlength=sentences).astype(np.float64)
            for system, statistics in enumerate(systems):
                scores[system][start + offset] = corpus_score(counts @ statistics)
    return scores


def interval(scores: ResampledScores) -> tuple[float, float]:
    """Returns the 95 % interval of resampled scores: 2.5 % of them are lower, and 2.5 % higher."""
    ordered = np.sort(scores)
    outside = len(ordered) // 40
    return float(ordered[outside]), float(ordered[len(ordered) - outside - 1])


def p_value(candidate: ResampledScores, baseline: ResampledScores, difference: float) -> float:
    """Returns the probability of so large a difference if the systems were equal (two-sided, paired).

    Args:
      candidate, baseline: float64[samples], scores on the same resamples.
      difference: the difference of the scores on the original corpus; its sign does not matter.
    """
    differences = np.abs(candidate - baseline)
    if not differences.any():
        # The outputs are equal. The formula below would give the smallest p-value.
        return 1.0
    above = np.sum(differences - differences.mean() > abs(difference))
    return float((above + 1) / (len(differences) + 1))
