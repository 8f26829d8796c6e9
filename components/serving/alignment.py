"""The alignment of a translation between words, for the page.

A model aligns tokens, whose texts no signature tells. Where a token of the source ends is found by tokenizing
the beginnings of the sentence; where one of the translation ends, by detokenizing its first tokens.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from bitext.components.text.scripts import counts_words, dominant_script

_WORD = re.compile(r"\w+(?:['’\-]\w+)*|[^\w\s]", re.UNICODE)
MAX_CHARACTERS = 500
"""Characters of the longest sentence that is aligned."""


@dataclasses.dataclass(frozen=True)
class Units:
    """A text, divided into units that are aligned: words, or tokens where a script has no spaces.

    Attributes:
      pieces: parts of the text, which together are the text, each with the index of its unit; None: a space.
      of_token: the index of the unit of each token.
    """

    pieces: list[tuple[str, int | None]]
    of_token: list[int]

    @property
    def count(self) -> int:
        """The number of units."""
        return max(self.of_token, default=-1) + 1


def prefixes(text: str) -> list[str]:
    """Returns the beginnings of a text that may end with a token, the whole text last."""
    return [text[:end] for end in range(1, len(text) + 1) if end == len(text) or not text[end - 1].isspace()]


def source_ends(text: str, tokens: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> list[int] | None:
    """Returns where each token of a source text ends.

    Args:
      text: the text.
      tokens: int32[P, S], the tokens of its `prefixes`.
      lengths: int32[P], their numbers, `</s>` included.

    Returns:
      A position in the text for each token but `</s>`; None if the text has no tokens.
    """
    beginnings = prefixes(text)
    whole = tokens[-1][: int(lengths[-1]) - 1].tolist()
    ends = [0] * len(whole)
    for beginning, row, length in zip(beginnings, tokens, lengths.tolist(), strict=True):
        count = length - 1
        if 0 < count <= len(whole) and not ends[count - 1] and row[:count].tolist() == whole[:count]:
            ends[count - 1] = len(beginning)
    if not whole:
        return None
    ends[-1] = len(text)
    for index in range(len(ends) - 2, -1, -1):  # a token that ends within a character ends with the next one
        ends[index] = min(ends[index] or ends[index + 1], ends[index + 1])
    return ends


def target_ends(text: str, beginnings: Sequence[str]) -> list[int]:
    """Returns where each token of a translation ends.

    Args:
      text: the translation.
      beginnings: the text of the first tokens, for each number of tokens from 1.
    """
    ends: list[int] = []
    for beginning in beginnings:
        common = 0
        for ours, other in zip(text, beginning, strict=False):
            if ours != other:
                break
            common += 1
        ends.append(max(common, ends[-1] if ends else 0))
    if ends:
        ends[-1] = len(text)
    return ends


def ends_of_words(text: str, lengths: Sequence[int], total: int) -> list[int] | None:
    """Returns where each token of a translation ends, if only the tokens of its words can be counted.

    All tokens of a word end where the word ends, so that they belong to one unit.

    Args:
      text: the translation.
      lengths: the number of tokens of each word of `text.split()`.
      total: number of tokens of the translation.

    Returns:
      The ends; None: the translation has other tokens than its words have alone.
    """
    if sum(lengths) != total:
        return None
    ends: list[int] = []
    end = 0
    for word, length in zip(text.split(), lengths, strict=True):
        begin = text.index(word, end)
        end = begin + len(word)
        ends += [end] * length
    return ends


def units(text: str, ends: Sequence[int]) -> Units:
    """Divides a text into words, whose ends are ends of tokens.

    Args:
      text: the text.
      ends: where each token ends.
    """
    by_word = counts_words(dominant_script([text]))
    starts = {match.start() for match in _WORD.finditer(text)} if by_word else set()
    pieces: list[tuple[str, int | None]] = []
    of_token: list[int] = []
    unit, begin = -1, 0
    for end in ends:
        part = text[begin:end]
        blank = len(part) - len(part.lstrip())
        if part.strip() and (unit < 0 or not by_word or any(begin + blank <= s < end for s in starts)):
            unit += 1
        of_token.append(max(unit, 0))
        if blank:
            pieces.append((part[:blank], None))
        if part[blank:]:
            pieces.append((part[blank:], of_token[-1]))
        begin = end
    return Units(_joined(pieces), of_token)


def _joined(pieces: list[tuple[str, int | None]]) -> list[tuple[str, int | None]]:
    """Joins neighboring pieces of the same unit."""
    joined: list[tuple[str, int | None]] = []
    for text, unit in pieces:
        if joined and joined[-1][1] == unit:
            joined[-1] = (joined[-1][0] + text, unit)
        else:
            joined.append((text, unit))
    return joined


def between_units(weights: np.ndarray[Any, Any], source: Units, target: Units) -> list[list[float]]:
    """Returns the weight of each source unit for each target unit.

    Args:
      weights: float32[T, S], the alignment of the tokens; `</s>` may follow on both sides.
      source: the units of the source.
      target: the units of the translation.
    """
    sums = np.zeros((target.count, source.count))
    counts = np.zeros((target.count, 1))
    for row, unit in zip(weights, target.of_token, strict=False):
        np.add.at(sums[unit], source.of_token, row[: len(source.of_token)])
        counts[unit] += 1
    result: list[list[float]] = (sums / np.maximum(counts, 1)).round(3).tolist()
    return result
