"""One regular expression that matches texts which normalization does not change.

Most texts match, so that normalization costs them one pass of RE2. A text that does not match is normalized
in full; some of these do not change either, such as a text with a combining mark that could be composed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from bitext.components.text import characters
from bitext.components.text.characters import re2_class, to_ranges, without

_LAST_CODE = 0x10FFFF
_INDIC_CLASSES = frozenset((0, 7, 9))
"""Combining classes of the marks that compose with few letters: vowel signs, nuktas and viramas. A text with
another mark that could be composed is normalized in full."""


@functools.cache
def pattern(fold_quotes: bool) -> str:
    """The pattern, for RE2's full and partial match.

    A match is valid UTF-8 with single spaces inside. It consists of units: a starter with the marks that
    follow it in canonical order. A starter that could be composed with a mark has no such mark. Full-width
    punctuation comes after a letter of `CJK_LETTERS`.
    """
    punctuation = set(map(ord, characters.CJK_PUNCTUATION))
    marks, pairs = characters.combining_marks(), characters.compositions()
    seconds = {second for _, second in pairs} | set(_conjoining_jamo())
    allowed = {code for code in seconds if marks.get(code, 0) in _INDIC_CLASSES} - set(_conjoining_jamo())
    firsts = {first for first, second in pairs if second in allowed}
    changed = _changed(fold_quotes)
    plain_marks = {code: n for code, n in marks.items() if code not in seconds and code not in changed}
    indic_marks = {code: n for code, n in marks.items() if code in allowed}
    excluded = changed | set(marks) | seconds | firsts
    after_plain = _in_order(plain_marks | indic_marks)
    vowels = _class(code for code in allowed if code not in marks)
    joined = f"[{re2_class(without(characters.joiner_letters(), excluded))}]{after_plain}"
    joined = f"(?:{joined}[{re2_class(characters.JOINERS)}])+{joined}"

    def unit(excluded: set[int]) -> str:
        starters = re2_class(without([(0, _LAST_CODE)], excluded))
        plain = f"[{starters}]{after_plain}(?:[{vowels}]{after_plain})*"
        return f"(?:{plain}|{joined}|[{_class(firsts - changed)}]{_in_order(plain_marks)})"

    ordinary = unit(excluded | punctuation)
    rest = f"[{re2_class(without(characters.CJK_LETTERS, excluded))}](?: ?{unit(excluded)})*"
    return f"\\A(?:(?:{ordinary} ?)*(?:{ordinary}|{rest}))?\\z"


def _changed(fold_quotes: bool) -> set[int]:
    """The code points that are always removed or replaced, sometimes removed, or a space."""
    ranges = (
        *characters.white_space(),
        *characters.IGNORABLE,
        *characters.not_composed(),
        characters.SURROGATES,
    )
    return {*characters.code_points(ranges), *characters.replacements(fold_quotes, True)}


def _conjoining_jamo() -> Iterable[int]:
    """The Hangul vowels and finals that are composed with the letters before them."""
    return (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))


def _in_order(marks: dict[int, int]) -> str:
    """A pattern of marks in canonical order, also of none."""
    by_class: dict[int, list[int]] = {}
    for code, number in marks.items():
        by_class.setdefault(number, []).append(code)
    return "".join(f"[{_class(codes)}]*" for _, codes in sorted(by_class.items()))


def _class(codes: Iterable[int]) -> str:
    return re2_class(to_ranges(codes))
