"""Settings that follow from the number of training pairs: what `auto` stands for.

The vocabulary grows so that a token stays frequent enough to be learned. The passes over the data fall,
because a large corpus is learned in fewer passes. The table follows the recipes of docs/how-to/train.md.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from typing import Literal

Auto = Literal["auto"]
AUTO: Auto = "auto"
MIN_STEPS = 1000
"""The smallest number of updates that `auto` gives."""
_WORD_FACTOR = 4
"""A vocabulary of words has this many times the tokens of one of subwords: it cannot spell a rare word."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """What fits corpora below a size.

    Attributes:
      below: number of training pairs.
      vocabulary_size: ids of a vocabulary of subwords.
      passes: how often training reads each pair.
    """

    below: float
    vocabulary_size: int
    passes: int


RULES = (
    Rule(10_000, 2_000, 80),
    Rule(100_000, 4_000, 40),
    Rule(500_000, 8_000, 16),
    Rule(5_000_000, 16_000, 12),
    Rule(math.inf, 32_000, 8),
)


def rule(pairs: int) -> Rule:
    """Returns the rule for a number of training pairs."""
    return RULES[bisect.bisect_right([rule.below for rule in RULES], pairs)]


def vocabulary_size(pairs: int, *, words: bool = False) -> int:
    """Returns the number of ids that fits a number of training pairs.

    Args:
      pairs: number of training pairs.
      words: whether tokens are words.
    """
    return rule(pairs).vocabulary_size * (_WORD_FACTOR if words else 1)


def steps(pairs: int, updates_per_pass: float, warmup_steps: int) -> int:
    """Returns the number of updates that fits a number of training pairs, in whole hundreds.

    Args:
      pairs: number of training pairs.
      updates_per_pass: number of updates that read as many examples as there are pairs.
      warmup_steps: updates of the warm-up, which are at most half of the training.
    """
    fitting = max(MIN_STEPS, 2 * warmup_steps, rule(pairs).passes * updates_per_pass)
    return math.ceil(fitting / 100) * 100
