"""Compares the settings with the data: `vocabulary_size: auto`, and warnings if they do not fit."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bitext.components.shared import corpus_size
from bitext.components.transform import Parameters, WeightedParameters
from bitext.components.transform.lengths import LengthCounts, percentile

MAX_VOCABULARY_FACTOR = 3
"""A vocabulary is too large if it has more than this many times the ids that `auto` gives."""
MAX_OVER_LONG_SHARE = 0.05
FITTING_PERCENTILE = 99
"""A maximum length fits if this percentage of the pairs is within it."""


def with_vocabulary_size(
    parameters: WeightedParameters, count_pairs: Callable[[], int]
) -> tuple[WeightedParameters, str]:
    """Replaces `vocabulary_size: auto` by a number.

    Args:
      parameters: Transform's parameters.
      count_pairs: returns the number of training pairs.

    Returns:
      The parameters, and a line that says the number; empty if the size is given.
    """
    if parameters.vocabulary_size != corpus_size.AUTO:
        return parameters, ""
    pairs = count_pairs()
    size = corpus_size.vocabulary_size(pairs, words=parameters.unit == "word")
    line = f"vocabulary_size auto: {size:,} for {pairs:,} training pairs"
    return msgspec.structs.replace(parameters, vocabulary_size=size), line


def vocabulary_warning(parameters: Parameters, size: int, pairs: int) -> str:
    """Returns a warning if a learned vocabulary is too large for the data; else an empty text.

    Args:
      parameters: Transform's parameters.
      size: number of ids that were learned, which may be below `vocabulary_size`.
      pairs: number of training pairs.
    """
    fitting = corpus_size.vocabulary_size(pairs, words=parameters.unit == "word")
    if parameters.unit == "character" or size <= MAX_VOCABULARY_FACTOR * fitting:
        return ""
    remedy = f"transform.vocabulary_size {fitting:,} would fit (`auto`)"
    if any(parameters.vocabulary_files.values()):
        remedy = f"a vocabulary file of about {fitting:,} pieces would fit"
    return (
        f"a vocabulary of {size:,} is large for {pairs:,} training pairs: most tokens are too rare to be "
        f"learned; {remedy}"
    )


def length_warnings(parameters: Parameters, counts: LengthCounts) -> list[str]:
    """Returns a warning for each maximum length that cuts or leaves out many training pairs.

    Args:
      parameters: Transform's parameters.
      counts: the pairs by their lengths in tokens; at least one pair.
    """
    lines = []
    action = "leaves out" if parameters.over_long == "reject" else "truncates"
    for side, lengths in (("source", counts.source), ("target", counts.target)):
        limit = getattr(parameters, f"{side}_max_length")
        share = int(counts.count[lengths > limit].sum()) / counts.total()
        if share < MAX_OVER_LONG_SHARE:
            continue
        fitting = percentile(lengths, counts.count, FITTING_PERCENTILE)
        also = f" with trainer.search.max_length {fitting - 1:,} or more" if side == "target" else ""
        lines.append(
            f"transform.{side}_max_length {limit:,} {action} {share:.1%} of the training pairs; "
            f"{FITTING_PERCENTILE} % of them fit into {fitting:,}{also}"
        )
    return lines
