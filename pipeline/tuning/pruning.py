"""Stops trials that are hopeless: the median stopping rule (Golovin et al. 2017, section 3.2.2).

A trial stops if its best score so far is below the median of the best scores that complete trials had at the
same share of their steps. The share counts, not the step: a learning rate that decays until the last update
makes scores rise towards the end, so 1,000 of 2,000 updates compare with 2,000 of 4,000.

Successive halving (Li et al. 2018) stops more trials and earlier. Here that would decide against settings
that learn slowly at first and end higher, such as more dropout.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

Curve = Sequence[tuple[float, float]]
"""The validations of a trial, in order: the share of its steps, from 0 to 1, and BLEU."""
MIN_COMPLETE = 4
"""The fewest complete trials that the median is taken of."""


def best_until(curve: Curve, share: float) -> float | None:
    """Returns the best score up to a share of the steps; None: no validation was that early."""
    return max((score for at, score in curve if at <= share), default=None)


def is_hopeless(curve: Curve, complete: Sequence[Curve], after: float) -> bool:
    """Whether a trial in progress should stop.

    Args:
      curve: its validations so far.
      complete: those of the complete trials.
      after: the share of the steps before which no trial stops.
    """
    if not curve or not after <= curve[-1][0] < 1.0:
        return False
    share, own = curve[-1][0], max(score for _, score in curve)
    others = [best for each in complete if (best := best_until(each, share)) is not None]
    return len(others) >= MIN_COMPLETE and own < statistics.median(others)
