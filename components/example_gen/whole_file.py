"""Judges whether a file is out of step for the most part: its own rows then do not show what in step is.

`alignment.find` compares groups with the usual group of the same file, so it finds nothing if most groups are
out of step. Here each group is compared with what little any translation shows, and the rows found must agree
no better than chance: than the same rows with permuted targets, and than the rows with shifted targets. The
mean and the variance over all permutations are known, so nothing is drawn.
"""

from __future__ import annotations

import numpy as np

from bitext.components.example_gen.alignment import (
    LEAST_GROUPS,
    MOST_OF_A_GROUP,
    OFFSETS,
    Floats,
    Groups,
    OutOfStep,
    correlations,
    sequences,
)

LEAST_SHARE = 0.5
"""Fewer rows than this share of a file are left to `alignment.find`."""
MOST_DEVIATION = 3.0
"""Rows agree no better than chance if they agree by at most so many standard deviations more."""
_NOISE = 1.0
"""Variance of the length of translations of equally long sources, in square roots of characters. Corpora of
ten languages have 0.3 to 0.9."""
_STRENGTH, _MOST_CORRELATION = 0.75, 0.5
_AGREEMENT = 0.4
"""Least agreement of marks and numbers in translations: 0 is by chance, 1 is the most that is possible."""


def find(groups: Groups) -> list[OutOfStep]:
    """The sequences of groups of a file that agree no better than chance, if they are most of its rows."""
    if len(groups.rows) < LEAST_GROUPS:
        return []
    measures = [_lengths(groups)]
    for same, chance, most in zip(groups.same, groups.chance, groups.most, strict=True):
        measures.append(_agreement(groups, same, chance, most))
    evidence = np.maximum(sum(evidence for evidence, _ in measures), -MOST_OF_A_GROUP)
    found = [
        (first, end)
        for first, end in sequences(-evidence)
        if all(_deviation(*agreement, first, end) <= MOST_DEVIATION for _, agreement in measures)
    ]
    if sum(float(groups.rows[first:end].sum()) for first, end in found) < LEAST_SHARE * groups.rows.sum():
        return []
    correlation = correlations(groups)[:, 0]
    return [
        OutOfStep(
            first=int(groups.first[first]),
            last=int(groups.last[end - 1]),
            rows=int(groups.rows[first:end].sum()),
            shift=0,
            correlation=float(correlation[first:end].mean()),
            usual=float(correlation[first:end].mean()),
        )
        for first, end in found
    ]


def _lengths(groups: Groups) -> tuple[Floats, tuple[Floats, Floats]]:
    """By the lengths: the logarithm of the odds that a group is in step; and its agreement and variance."""
    correlation = correlations(groups)
    least: Floats = np.minimum(groups.source_variance, groups.target_variance)
    expected: Floats = np.minimum(_STRENGTH * np.sqrt(least / (least + _NOISE)), _MOST_CORRELATION)
    freedom = np.maximum(groups.rows - 2, 0)
    rest = 1 - expected**2
    evidence = freedom * (-0.5 * np.log(rest) - (expected**2 - expected * correlation[:, 0]) / rest)
    agreement = freedom * (correlation[:, 0] - np.maximum(correlation[:, 1:].mean(1), 0))
    return evidence, (agreement, freedom * (least > 0) * len(OFFSETS) / (len(OFFSETS) - 1))


def _agreement(
    groups: Groups, same: Floats, chance: Floats, most: Floats
) -> tuple[Floats, tuple[Floats, Floats]]:
    """The same by equal marks or numbers."""
    pairs = np.maximum(groups.pairs, 1)
    by_chance: Floats = np.minimum(np.maximum(chance, 1e-3), 1 - 1e-3)
    expected: Floats = np.clip(by_chance + _AGREEMENT * np.maximum(most - by_chance, 0), 1e-3, 1 - 1e-3)
    agreed, number = same[:, 0], groups.pairs[:, 0]
    evidence = agreed * np.log(expected / by_chance) + (number - agreed) * np.log(
        (1 - expected) / (1 - by_chance)
    )
    shifted = (same[:, 1:] / pairs[:, 1:]).mean(1)
    agreement = agreed - number * np.maximum(shifted, chance)
    variance = number * chance * (1 - chance) * len(OFFSETS) / (len(OFFSETS) - 1)
    return evidence, (agreement, variance)


def _deviation(agreement: Floats, variance: Floats, first: int, end: int) -> float:
    """By how many standard deviations the groups agree more than by chance."""
    return float(agreement[first:end].sum() / np.sqrt(max(float(variance[first:end].sum()), 1.0)))
