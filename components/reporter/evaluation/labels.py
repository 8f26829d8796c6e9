"""Groups of sentences that a reader looks for: worst, improved, repeated words, copies, and others."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bitext.components.artifacts import Translated
from bitext.components.reporter.evaluation.pairwise import SEED, order_of_change
from bitext.components.reporter.evaluation.systems import LABELS, RANKED, System
from bitext.components.reporter.evaluation.train_counts import TrainCounts

WORST, BEST, RANDOM = "worst", "best", "random"
IMPROVED, WORSENED = "most improved", "most worsened"
REPETITION, COPY, LENGTH = "repetition", "copied source", "length outlier"
UNTRANSLATED, UNKNOWN, EMPTY = "untranslated words", "unknown token", "empty"
RANKED_SHARE = 0.05
"""Share of the sentences that are the worst, the best, the most improved or the most worsened."""
MOST_RANKED, RANDOM_SENTENCES = 200, 200
REPEATED_WORDS = 4
"""Words of the longest phrase whose repetition is looked for."""
LENGTH_FACTOR, LENGTH_MARGIN = 2, 3
"""A length outlier differs from the closest reference by this factor and by so many words."""
RARE_FACTOR = 10
"""A word of the source language is so many times rarer in the targets of the training split."""
UNKNOWN_WORD = "\u2047"
"""What the model writes for an unknown word without a replacement."""
_SCORE = LABELS[RANKED.name]
_RANKED_WORDS = f"{100 * RANKED_SHARE:.0f} % of the sentences, at most {MOST_RANKED}"
DEFINITIONS = {
    WORST: f"the lowest {_SCORE} of all: {_RANKED_WORDS}",
    BEST: f"the highest {_SCORE} of all: {_RANKED_WORDS}",
    IMPROVED: f"the largest increase of {_SCORE} over the served model: {_RANKED_WORDS}",
    WORSENED: f"the largest decrease of {_SCORE} against the served model: {_RANKED_WORDS}",
    RANDOM: f"at most {RANDOM_SENTENCES} sentences at random, the same in every report of this set",
    REPETITION: "the translation has a word three times in a row, or a phrase of two to four words twice in a"
    " row (characters, in scripts without blanks between words: once more), and neither the source nor a"
    " reference has as many repetitions",
    COPY: "the translation has the words of the source and no reference has",
    LENGTH: f"the translation has more than {LENGTH_FACTOR} times or less than half as many words as the"
    f" reference of the closest length, and differs from it by at least {LENGTH_MARGIN}",
    UNTRANSLATED: "the translation has a word of the source that no reference has, and that the targets of"
    f" the training split have at most 1/{RARE_FACTOR} as often as its sources, or not at all",
    UNKNOWN: f"the translation has {UNKNOWN_WORD}, which stands for a word that the model does not know",
    EMPTY: "the translation has no text although the source has",
}
"""What each label means, in the order in which labels are shown."""


@dataclasses.dataclass(frozen=True)
class Words:
    """The words of a sentence.

    Attributes:
      source: those of the source.
      hypothesis: those of the translation.
      references: those of each reference.
      closest: the index of the reference that shares most words with the translation.
    """

    source: list[str]
    hypothesis: list[str]
    references: list[list[str]]
    closest: int

    @property
    def reference(self) -> list[str]:
        """The words of the closest reference."""
        return self.references[self.closest]


def groups(
    systems: Sequence[System], words: Sequence[Sequence[Words]], counts: TrainCounts | None
) -> dict[str, list[int]]:
    """Returns the indices of the sentences with each label, in order of what the label ranks by.

    A label that cannot be computed is left out: those of the served model without it, and untranslated words
    without the training split.

    Args:
      systems: the model, and the served model if there is one.
      words: for each system, the words of each sentence.
      counts: what the training split has of the words.
    """
    found = ranked(systems[0])
    if len(systems) > 1:
        improved, worsened = order_of_change(systems[0], systems[1])
        size = _ranked_size(len(systems[0].rows))
        found |= {IMPROVED: improved[:size], WORSENED: worsened[:size]}
    found |= problems(systems[0], words[0], counts)
    return {label: found[label] for label in DEFINITIONS if label in found}


def ranked(system: System) -> dict[str, list[int]]:
    """Returns the worst and the best sentences and random ones. Equal scores have no worst and no best."""
    scores = np.nan_to_num(system.scores())
    size = _ranked_size(len(scores))
    ascending, descending = (np.argsort(s, kind="stable")[:size].tolist() for s in (scores, -scores))
    differ = len(scores) > 1 and scores.min() < scores.max()
    chosen = np.random.default_rng(SEED).permutation(len(scores))[:RANDOM_SENTENCES]
    return {
        WORST: ascending if differ else [],
        BEST: [index for index in descending if scores[index] > scores.min()] if differ else [],
        RANDOM: chosen.tolist(),
    }


def problems(system: System, words: Sequence[Words], counts: TrainCounts | None) -> dict[str, list[int]]:
    """Returns the indices of the sentences with each problem, in order."""
    checks: dict[str, Callable[[Translated, Words], bool]] = {
        REPETITION: lambda row, of: is_repetition(of),
        COPY: lambda row, of: is_copy(of),
        LENGTH: lambda row, of: is_length_outlier(of),
        UNKNOWN: lambda row, of: UNKNOWN_WORD in row.hypothesis and UNKNOWN_WORD not in row.source,
        EMPTY: lambda row, of: not row.hypothesis.strip() and bool(row.source.strip()),
    }
    if counts is not None:
        source, target = counts.source, counts.target
        checks[UNTRANSLATED] = lambda row, of: bool(untranslated(of, source, target))
    return {
        label: [n for n, (row, of) in enumerate(zip(system.rows, words, strict=True)) if check(row, of)]
        for label, check in checks.items()
    }


def is_repetition(words: Words) -> bool:
    """Returns whether a translation repeats a word or phrase more often than its source and references."""
    own = repetitions(words.hypothesis)
    return bool(own) and own > max(map(repetitions, (words.source, *words.references)))


def repetitions(words: list[str]) -> int:
    """Returns the number of places where a word or phrase follows itself often enough to be a repetition."""
    count = 0
    for size in range(1, REPEATED_WORDS + 1):
        start = 0
        while start + 2 * size <= len(words):
            phrase, end = words[start : start + size], start + size
            while words[end : end + size] == phrase:
                end += size
            times = (end - start) // size
            characters = all(len(word) == 1 and not word.isascii() for word in phrase)
            if times >= (3 if size == 1 else 2) + characters and not _is_periodic(phrase):
                count += 1
            start = max(start + 1, end - size + 1)
    return count


def _is_periodic(phrase: list[str]) -> bool:
    """Returns whether a phrase is itself a repetition of a shorter one."""
    size = len(phrase)
    return any(
        size % period == 0 and phrase == phrase[:period] * (size // period) for period in range(1, size)
    )


def is_copy(words: Words) -> bool:
    """Returns whether a translation is its source, apart from case, punctuation and blanks."""
    return bool(words.source) and words.hypothesis == words.source and words.source not in words.references


def is_length_outlier(words: Words) -> bool:
    """Returns whether a translation is much longer or shorter than the reference of the closest length."""
    own = len(words.hypothesis)
    other = min((len(reference) for reference in words.references), key=lambda length: abs(length - own))
    differs = own > LENGTH_FACTOR * other or LENGTH_FACTOR * own < other
    return differs and abs(own - other) >= LENGTH_MARGIN


def untranslated(words: Words, source: Mapping[str, int], target: Mapping[str, int]) -> list[str]:
    """Returns the words of the source that a translation has and should not have.

    Args:
      words: the words of the sentence.
      source: how often the sources of the training split have each word.
      target: how often its targets have each word.
    """
    expected = {word for reference in words.references for word in reference}
    both = (Counter(words.hypothesis) & Counter(words.source)).keys() - expected
    return sorted(
        word
        for word in both
        if any(map(str.isalpha, word)) and RARE_FACTOR * target.get(word, 0) <= source.get(word, 0)
    )


def _ranked_size(sentences: int) -> int:
    return min(MOST_RANKED, max(1, round(RANKED_SHARE * sentences)))
