"""The rules that judge a row by itself.

A rule is a function from both sides and its limit to `Violations`, and an entry in `RULES`. Its key is in
`cleaning.KEYS`.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.example_gen.cleaning import KEYS, Cleaning, overlap, repeats
from bitext.components.example_gen.cleaning.texts import (
    BLANK,
    DIGIT,
    LETTER,
    OTHER,
    PUNCTUATION,
    SCRIPTS,
    Texts,
)
from bitext.components.example_gen.rows import Mask, to_ints, to_mask

Pair: TypeAlias = tuple[Texts, Texts]
Detail: TypeAlias = Callable[[int], str]
SIDES = ("source", "target")
LEAST_CHARACTERS = 10
"""Shares of characters are not judged in shorter sides, which may be a number, or a name and a mark."""


@dataclasses.dataclass(frozen=True)
class Violations:
    """Rows that break a rule.

    Attributes:
      mask: bool[N].
      detail: says what is wrong with the row of an index, with the value and the limit.
    """

    mask: Mask
    detail: Detail


def _by_value(
    reason: str, name: str, value: Callable[[Texts], npt.NDArray[Any]], *, over: bool = True
) -> Callable[[Pair, Any], Iterator[Violations]]:
    """A check that compares a value of each side with a limit. NaN passes."""
    key = KEYS[reason]

    def check(pair: Pair, limit: float) -> Iterator[Violations]:
        for side, texts in zip(SIDES, pair, strict=True):
            values = value(texts)
            mask = values > limit if over else values < limit

            def detail(row: int, side: str = side, values: npt.NDArray[Any] = values) -> str:
                number = f"{values[row]:.2f}" if values.dtype.kind == "f" else f"{values[row]}"
                return f"{side}: {name} {number}, {'over' if over else 'under'} {key} {limit:g}"

            yield Violations(mask, detail)

    return check


def _share(kind: int) -> Callable[[Texts], npt.NDArray[Any]]:
    """The share of a class among the characters that are no blanks; NaN for short texts."""

    def share(texts: Texts) -> npt.NDArray[Any]:
        visible = texts.lengths - texts.count(BLANK) - texts.count(OTHER)
        return np.where(visible >= LEAST_CHARACTERS, texts.count(kind) / np.maximum(visible, 1), np.nan)

    return share


def _word_lengths(texts: Texts) -> npt.NDArray[Any]:
    """The letters and digits of the longest word; 0 in scripts that put no blanks between words."""
    return np.where(texts.without_blanks, 0, texts.longest_word)


def _spaced_words(texts: Texts) -> npt.NDArray[Any]:
    """The number of words; NaN in scripts that put no blanks between words."""
    return np.where(texts.without_blanks, np.nan, texts.words)


def _mean_word_lengths(texts: Texts) -> npt.NDArray[Any]:
    """The characters of a word on average; NaN for short texts, and in Hangul and scripts without blanks."""
    visible = texts.lengths - texts.count(BLANK)
    is_judged = (visible >= LEAST_CHARACTERS) & ~texts.without_blanks
    is_judged &= texts.script_words[0] != SCRIPTS.index("Hangul")
    return np.where(is_judged, visible / np.maximum(texts.words, 1), np.nan)


def _matches(array: pa.Array, pattern: str, *, ignore_case: bool = False) -> Mask:
    return to_mask(pc.match_substring_regex(array, pattern=pattern, ignore_case=ignore_case))


_TAG_NAMES = (
    "a|abbr|address|article|aside|b|big|blockquote|body|br|button|center|cite|code|dd|del|div|dl|dt|em|font|footer"
    "|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|label|li|link|main|meta|nav|nobr|ol|option|p|pre|q"
    "|s|script|section|select|small|span|strike|strong|style|sub|sup|table|tbody|td|textarea|tfoot|th|thead"
    "|title|tr|tt|u|ul"
)
_TAG = rf"</?(?:{_TAG_NAMES})(?:\s[^<>]*)?/?>|<!--|<!\[CDATA|<!doctype"


def _markup(pair: Pair, limit: str) -> Iterator[Violations]:
    masks = [_with_tags(texts.array) for texts in pair]
    for index, (side, texts, mask) in enumerate(zip(SIDES, pair, masks, strict=True)):

        def detail(row: int, side: str = side, texts: Texts = texts) -> str:
            tag = re.search(_TAG, texts.array[row].as_py(), re.IGNORECASE)
            where = ", on this side only" if limit == "one_side" else ""
            return f"{side}: HTML tag {tag[0] if tag else ''}{where} (markup: {limit})"

        yield Violations(mask & ~masks[1 - index] if limit == "one_side" else mask, detail)


def _with_tags(array: pa.Array) -> Mask:
    mask = to_mask(pc.match_substring(array, "<"))
    rows = np.flatnonzero(mask)
    if len(rows):
        mask[rows] = _matches(array.take(pa.array(rows)), _TAG, ignore_case=True)
    return mask


_LINK = r"(?:(?:https?|ftp|file)://|www\.)[!-~]+|[\pL\pN_.+-]+@[\pL\pN_-]+(?:\.[\pL\pN_-]+)+"


def _links_only(pair: Pair, limit: bool) -> Iterator[Violations]:
    for side, texts in zip(SIDES, pair, strict=True):
        mask = _matches(texts.array, r"://|www\.|WWW\.|@")
        rows = np.flatnonzero(mask)
        if len(rows):
            only = rf"^(?:(?:{_LINK})|[^\pL]+)*$"
            mask[rows] &= _matches(texts.array.take(pa.array(rows)), only, ignore_case=True)
            mask[rows] &= _matches(texts.array.take(pa.array(rows)), _LINK, ignore_case=True)
        yield Violations(mask, lambda row, side=side: f"{side}: only addresses (links_only: true)")  # type: ignore[misc]


def _copied(pair: Pair, limit: int) -> Iterator[Violations]:
    source, target = (texts.array for texts in pair)
    mask = np.zeros(len(source), bool)
    # Equal sides have about equal lengths: most rows need no comparison of text.
    lengths = [texts.count(LETTER) for texts in pair]
    words = np.zeros(len(source), np.int64)
    rows = np.flatnonzero((lengths[0] == lengths[1]) & (lengths[0] >= limit))
    if len(rows):
        sides = [comparable(side.take(pa.array(rows))) for side in (source, target)]
        rows = rows[to_mask(pc.equal(*sides))]
    if len(rows):
        words[rows] = common_words(source.take(pa.array(rows)))
        mask = words >= limit
    yield Violations(
        mask, lambda row: f"source and target are equal, {words[row]} words; min_copied_words {limit}"
    )


def _nearly_copied(pair: Pair, limit: float) -> Iterator[Violations]:
    shares = overlap.shared_words(pair, limit)
    yield Violations(
        shares > limit,
        lambda row: f"share of words that both sides have {shares[row]:.2f}, over max_shared_words {limit:g}",
    )


def comparable(array: pa.Array) -> pa.Array:
    """Texts without case, punctuation and blanks; a text without letters and digits is empty."""
    return pc.replace_substring_regex(pc.utf8_lower(array), pattern=r"[^\pL\pM\pN]+", replacement="")


def common_words(array: pa.Array) -> npt.NDArray[np.int64]:
    """The number of words that are no names: those that begin with a small letter. int64[N].

    Three letters of a script without case count as a word.
    """
    # Not `^`: it would also match after each match.
    small = pc.count_substring_regex(
        pc.binary_join_element_wise(" ", array, ""), pattern=r"[^\pL\pM\pN'’]\p{Ll}"
    )
    caseless = pc.count_substring_regex(array, pattern=r"\p{Lo}")
    return to_ints(small) + to_ints(caseless) // 3


def _repeated(pair: Pair, limit: int) -> Iterator[Violations]:
    for index, (side, texts) in enumerate(zip(SIDES, pair, strict=True)):
        counts = repeats.most(texts, at_least=limit + 1)
        rows = np.flatnonzero(counts > limit)
        mask = np.zeros(len(counts), bool)
        if len(rows):
            other = repeats.most(Texts(pair[1 - index].array.take(pa.array(rows))), at_least=2)
            mask[rows] = 2 * other < counts[rows]

        def detail(row: int, side: str = side, counts: npt.NDArray[np.int64] = counts) -> str:
            return f"{side}: repeats the same {counts[row]} times in succession, over max_repeats {limit}"

        yield Violations(mask, detail)


_NUMBER = re.compile(r"\d{2,}")


def _numbers(pair: Pair, limit: bool) -> Iterator[Violations]:
    mask = np.zeros(len(pair[0].array), bool)
    digits = [texts.count(DIGIT) >= 2 for texts in pair]
    for row in np.flatnonzero(digits[0] & digits[1]).tolist():
        source, target = (numbers_in(texts.array[row].as_py()) for texts in pair)
        mask[row] = bool(source and target) and 2 * len(source & target) < max(len(source), len(target))

    def detail(row: int) -> str:
        source, target = (", ".join(sorted(numbers_in(texts.array[row].as_py()))) for texts in pair)
        return f"less than half of the numbers agree: {source} against {target} (numbers: true)"

    yield Violations(mask, detail)


def numbers_in(text: str) -> set[str]:
    """The numbers with at least two digits, in ASCII digits, without the marks between groups of digits."""
    joined = re.sub(r"(?<=\d)[.,'’\u00a0\u202f\u066c ](?=\d{3}(?!\d))", "", text)
    return {
        "".join(str(unicodedata.digit(c)) for c in number).lstrip("0") for number in _NUMBER.findall(joined)
    }


Check: TypeAlias = Callable[[Pair, Any], Iterator[Violations]]
"""Checks both sides by a limit, which is not 0, false or empty."""
RULES: dict[str, Check] = {
    "too_short": _by_value("too_short", "characters", lambda texts: texts.lengths, over=False),
    "too_few_words": _by_value("too_few_words", "words", _spaced_words, over=False),
    "too_many_words": _by_value("too_many_words", "words", lambda texts: texts.words),
    "long_word": _by_value("long_word", "characters of a word", _word_lengths),
    "letters_apart": _by_value("letters_apart", "mean characters of a word", _mean_word_lengths, over=False),
    "long_words": _by_value("long_words", "mean characters of a word", _mean_word_lengths),
    "few_letters": _by_value("few_letters", "share of letters", _share(LETTER), over=False),
    "many_digits": _by_value("many_digits", "share of digits", _share(DIGIT)),
    "much_punctuation": _by_value("much_punctuation", "share of punctuation", _share(PUNCTUATION)),
    "links_only": _links_only,
    "copied": _copied,
    "nearly_copied": _nearly_copied,
    "repeated": _repeated,
    "markup": _markup,
    "numbers_differ": _numbers,
}
"""The rules by the reason of the rows that they reject."""


def check(pair: Pair, cleaning: Cleaning) -> Iterator[tuple[str, Violations]]:
    """Checks rows by every rule that is on.

    Yields:
      The reason, and the rows that break the rule on one side.
    """
    for reason, check_rows in RULES.items():
        if limit := cleaning.limit(KEYS[reason]):
            for violations in check_rows(pair, limit):
                yield reason, violations
