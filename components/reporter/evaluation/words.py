"""The words of texts, as all counts of the section "Evaluation" define them, in Arrow: no loop over rows."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.text.normalization import normalize_array
from bitext.schemas import scripts

DEFINITION = (
    "A word is a run of letters, marks and digits, in lower case; an apostrophe between two letters joins"
    " them (I'm is one word, well-known two); in a script without blanks between words (Chinese, Japanese,"
    " Thai and others) each character is one. Punctuation does not count."
)
_WITHOUT_BLANKS = (
    "Han", "Bopomofo", "Hiragana", "Katakana", "Yi", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Javanese",
    "Balinese", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Buginese", "Batak", "Vai",
)  # fmt: skip
"""The scripts that `schemas.scripts.counts_words` is false for, by the names of RE2."""
_CHARACTERS = "([" + "".join(rf"\p{{{name}}}" for name in _WITHOUT_BLANKS) + r"]\p{M}*)"
_APOSTROPHE = "\u02bc"
"""A letter by its category, so that `don't` is one word."""
_BETWEEN_LETTERS = r"(\p{L})'(\p{L})"


def word_lists(texts: pa.Array) -> pa.Array:
    """Returns the words of string[N] as list<string>[N]. A text without words has one empty string."""
    texts = pc.utf8_lower(normalize_array(texts))
    for _ in range(2):  # matches do not overlap: `rock'n'roll` needs two
        texts = pc.replace_substring_regex(texts, _BETWEEN_LETTERS, rf"\1{_APOSTROPHE}\2")
    texts = pc.replace_substring_regex(texts, r"[^\p{L}\p{M}\p{N}]+", " ")
    texts = pc.replace_substring_regex(texts, _CHARACTERS, r" \1 ")
    texts = pc.replace_substring_regex(texts, f"{_APOSTROPHE}* [{_APOSTROPHE} ]*", " ")
    texts = pc.replace_substring(pc.utf8_trim(texts, f" {_APOSTROPHE}"), _APOSTROPHE, "'")
    return pc.split_pattern(texts, " ")


def words_of(texts: Sequence[str]) -> list[list[str]]:
    """Returns the words of each text."""
    lists = word_lists(pa.array(texts, pa.string())).to_pylist()
    return [[word for word in words if word] for words in lists]


def closest(words: Sequence[str], references: Sequence[Sequence[str]]) -> int:
    """Returns the index of the reference that shares most words with a translation; the first of several.

    Shared words are counted as F1: twice their number divided by the words of both.
    """
    counts = Counter(words)

    def shared(index: int) -> float:
        reference = references[index]
        both = len(words) + len(reference)
        return 2 * sum((counts & Counter(reference)).values()) / both if both else 1.0

    return max(range(len(references)), key=lambda index: (shared(index), -index))


def joined(ngram: Sequence[str]) -> str:
    """Returns an n-gram as text, without blanks beside characters of scripts that have none between words."""
    text = "".join(ngram[:1])
    for word in ngram[1:]:
        has_blank = _has_blanks(text[-1]) and _has_blanks(word[0])
        text += f" {word}" if has_blank else word
    return text


@functools.cache
def _has_blanks(character: str) -> bool:
    return scripts.counts_words(scripts.script_of(character))


def longest_of_equal(
    order: Iterable[tuple[str, ...]], values: Mapping[tuple[str, ...], float], most: int
) -> list[tuple[str, ...]]:
    """Returns the first `most` n-grams of an order, without parts of a chosen one that have its value.

    Args:
      order: the n-grams in order; of equal ones the longer first.
      values: what each is ordered by.
      most: the largest number of n-grams.
    """
    chosen: list[tuple[str, ...]] = []
    parts: set[tuple[tuple[str, ...], float]] = set()
    for ngram in order:
        if len(chosen) == most:
            break
        if (ngram, values[ngram]) not in parts:
            chosen.append(ngram)
            shorter = (part for size in range(1, len(ngram)) for part in ngrams(ngram, size))
            parts.update((part, values[ngram]) for part in shorter)
    return chosen


def ngrams(words: Sequence[str], order: int) -> list[tuple[str, ...]]:
    """Returns the n-grams of `order` words, in order."""
    return [tuple(words[start : start + order]) for start in range(len(words) - order + 1)]
