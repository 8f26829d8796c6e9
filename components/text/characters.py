"""The tables of normalization: which characters are removed, replaced or kept, and where.

Python (`normalization`) and the graph (`normalizer`) read the same tables. What Unicode defines comes from
`unicodedata`; what `unicodedata` lacks (default-ignorable code points, scripts, emoji) is listed here by
range. Characters that this Python's Unicode does not assign are not changed.
"""

from __future__ import annotations

import bisect
import functools
import unicodedata
from collections.abc import Iterable

Range = tuple[int, int]
"""The first and the last code point."""

BOUNDARY_MARK = 0x2581
"""U+2581, the mark of a word boundary. In a text it becomes `_`."""
SURROGATES: Range = (0xD800, 0xDFFF)
NONCHARACTERS: tuple[Range, ...] = (
    (0xFDD0, 0xFDEF),
    *((last - 1, last) for last in range(0xFFFF, 0x110000, 0x10000)),
)
"""The code points that never are characters. TensorFlow encodes them as U+FFFD."""
IGNORABLE: tuple[Range, ...] = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
"""Default_Ignorable_Code_Point of DerivedCoreProperties.txt."""
NON_JOINER, JOINER = 0x200C, 0x200D
JOINERS: tuple[Range, ...] = ((NON_JOINER, JOINER),)
MONGOLIAN_VARIATION: tuple[Range, ...] = ((0x180B, 0x180D), (0x180F, 0x180F))
MONGOLIAN_VOWEL_SEPARATOR: tuple[Range, ...] = ((0x180E, 0x180E),)
MONGOLIAN_LETTERS: tuple[Range, ...] = (
    (0x1820, 0x1878),
    (0x1880, 0x1884),
    (0x1887, 0x18A8),
    (0x18AA, 0x18AA),
)
FLAG = 0x1F3F4
TAGS: tuple[Range, ...] = ((0xE0020, 0xE007F),)
TAG_LETTERS: tuple[Range, ...] = ((0xE0030, 0xE0039), (0xE0061, 0xE007A))
TAG_END = 0xE007F
EMOJI: tuple[Range, ...] = (
    (0x00A9, 0x00A9),
    (0x00AE, 0x00AE),
    (0x2190, 0x21FF),
    (0x2300, 0x2328),
    (0x232B, 0x23FF),
    (0x25A0, 0x27BF),
    (0x2934, 0x2935),
    (0x2B00, 0x2BFF),
    (0x1F000, 0x1FAFF),
)
"""The blocks of symbols that emoji sequences consist of."""
_JOINER_SCRIPTS: tuple[Range, ...] = (
    (0x0600, 0x08FF),  # Arabic, Syriac, N'Ko, Mandaic
    (0x0900, 0x0DFF),  # Devanagari to Sinhala
    (0x1780, 0x18AF),  # Khmer, Mongolian
    (0x1B00, 0x1BBF),  # Balinese, Sundanese
    (0xA840, 0xA8FF),  # Phags-pa, Saurashtra, Devanagari Extended
    (0xA980, 0xA9DF),  # Javanese
    (0xAAE0, 0xAAFF),  # Meetei Mayek
    (0xABC0, 0xABFF),
    (0xFB50, 0xFEFC),  # Arabic presentation forms
    (0x10AC0, 0x10AFF),  # Manichaean
    (0x10B80, 0x10BAF),  # Psalter Pahlavi
    (0x10D00, 0x10D3F),  # Hanifi Rohingya
    (0x10EC0, 0x10FDF),  # Arabic Extended-C, Sogdian, Old Uyghur, Chorasmian
    (0x11000, 0x11DFF),  # Brahmi and its descendants
    (0x1E900, 0x1E95F),  # Adlam
)
"""The blocks of the scripts in which joiners distinguish words."""
_ARABIC: tuple[Range, ...] = ((0x0600, 0x06FF), (0x0750, 0x077F), (0x0870, 0x08FF), (0x10EC0, 0x10EFF))
CJK_LETTERS: tuple[Range, ...] = (
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3031, 0x3035),
    (0x3038, 0x303C),
    (0x3041, 0x3096),
    (0x309D, 0x309F),
    (0x30A1, 0x30FA),
    (0x30FC, 0x312F),
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9D),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x2FFFD),
    (0x30000, 0x3FFFD),
)
"""Han, Hiragana, Katakana and Bopomofo letters, and their iteration and length marks."""
CJK_PUNCTUATION = "！（），．：；？［］｛｝～｟｠"
"""The full-width punctuation that stays in a text with a letter of `CJK_LETTERS`."""
SINGLE_QUOTES = "\u2018\u2019\u201a\u201b\u2032\u00b4\u02bb\u02bc\u02bd\u055a\u05f3\u1fbd\u1ffd"
DOUBLE_QUOTES = "\u201c\u201d\u201e\u201f\u2033\u02ee\u05f4\u2e42"
WIDTHS: Range = (0xFF01, 0xFFEE)
PRESENTATION_FORMS: tuple[Range, ...] = ((0xFB00, 0xFB4F), (0xFB50, 0xFDFB), (0xFE70, 0xFEFC))
"""Latin, Armenian and Hebrew ligatures, and the Arabic letter forms."""


_PLANES = (range(0x20000), range(0x2F800, 0x2FA20), range(0xE0000, 0xE1000))
"""The code points that have a combining class or a canonical decomposition are among these."""
_END_OF_LETTERS = 0x40000
"""Behind the last letter. The marks after it are ignorable."""


def code_points(ranges: Iterable[Range]) -> Iterable[int]:
    """The code points of ranges, in order."""
    return (code for first, last in ranges for code in range(first, last + 1))


def to_ranges(codes: Iterable[int]) -> tuple[Range, ...]:
    """The ranges of code points, in ascending order."""
    ranges: list[list[int]] = []
    for code in sorted(codes):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return tuple((first, last) for first, last in ranges)


def without(ranges: Iterable[Range], codes: Iterable[int]) -> tuple[Range, ...]:
    """The ranges without some code points. The ranges are ascending."""
    left, removed = [], sorted(codes)
    for first, last in ranges:
        for code in removed[bisect.bisect_left(removed, first) : bisect.bisect_right(removed, last)]:
            if code > first:
                left.append((first, code - 1))
            first = code + 1
        if first <= last:
            left.append((first, last))
    return tuple(left)


def is_white_space(character: str) -> bool:
    """Whether a character is a separator or a control character: it becomes a space."""
    category = unicodedata.category(character)
    return category[0] == "Z" or category == "Cc"


@functools.cache
def white_space() -> tuple[Range, ...]:
    """The separators and control characters, with the space. All are below U+3001."""
    return to_ranges(code for code in range(0x3001) if is_white_space(chr(code)))


@functools.cache
def combining_marks() -> dict[int, int]:
    """The canonical combining class of each code point whose class is not 0."""
    classes = {code: unicodedata.combining(chr(code)) for plane in _PLANES for code in plane}
    return {code: number for code, number in classes.items() if number}


@functools.cache
def not_composed() -> tuple[Range, ...]:
    """The characters that canonical composition replaces."""
    return to_ranges(
        code for plane in _PLANES for code in plane if not unicodedata.is_normalized("NFC", chr(code))
    )


@functools.cache
def decomposable() -> tuple[Range, ...]:
    """The characters with a canonical decomposition, without Hangul syllables."""
    return to_ranges(
        code
        for plane in _PLANES
        for code in plane
        if not 0xAC00 <= code <= 0xD7A3 and not unicodedata.is_normalized("NFD", chr(code))
    )


@functools.cache
def compositions() -> dict[tuple[int, int], int]:
    """The primary composite of each pair of code points, without Hangul syllables."""
    pairs = {}
    for code in (code for plane in _PLANES for code in plane):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and parts[0][0] != "<" and unicodedata.is_normalized("NFC", chr(code)):
            pairs[int(parts[0], 16), int(parts[1], 16)] = code
    return pairs


@functools.cache
def joiner_letters() -> tuple[Range, ...]:
    """The letters and marks of the scripts that use joiners."""
    return _in_categories(code_points(_JOINER_SCRIPTS), "LM") + MONGOLIAN_VOWEL_SEPARATOR


@functools.cache
def arabic_letters() -> tuple[Range, ...]:
    """The letters of the Arabic script, without presentation forms."""
    return _in_categories(code_points(_ARABIC), "L")


@functools.cache
def word_characters() -> tuple[Range, ...]:
    """The letters, marks and digits of all scripts."""
    return _in_categories(range(_END_OF_LETTERS), "LMN")


@functools.cache
def closing() -> tuple[Range, ...]:
    """The closing brackets and the quotation marks, which a suffix may follow."""
    closing = (code for code in range(0x10000) if unicodedata.category(chr(code)) in ("Pe", "Pf"))
    return to_ranges({*closing, *map(ord, SINGLE_QUOTES + DOUBLE_QUOTES + "'\"")})


def _in_categories(codes: Iterable[int], categories: str) -> tuple[Range, ...]:
    """The code points whose category begins with one of the letters."""
    return to_ranges(code for code in codes if unicodedata.category(chr(code))[0] in categories)


@functools.cache
def viramas() -> tuple[Range, ...]:
    """The marks that join consonants (combining class 9), and the characters composed with one."""
    marks = {code for code, number in combining_marks().items() if number == 9}
    return to_ranges(
        marks
        | {
            code
            for code in code_points(joiner_letters())
            if marks & set(map(ord, unicodedata.normalize("NFD", chr(code))))
        }
    )


@functools.cache
def replacements(fold_quotes: bool, cjk: bool) -> dict[int, str]:
    """What replaces a character, except for white space and ignorable characters.

    Args:
      fold_quotes: whether typographic quotation marks and apostrophes are replaced.
      cjk: whether the text has a letter of `CJK_LETTERS`, so that full-width punctuation stays.
    """
    table = {BOUNDARY_MARK: "_"} | dict.fromkeys(code_points(NONCHARACTERS), "\ufffd")
    for code in range(WIDTHS[0], WIDTHS[1] + 1):
        kind, _, form = unicodedata.decomposition(chr(code)).partition(" ")
        if kind in ("<wide>", "<narrow>") and not (cjk and chr(code) in CJK_PUNCTUATION):
            table[code] = chr(int(form, 16))
    for code in code_points(PRESENTATION_FORMS):
        if unicodedata.decomposition(chr(code)).startswith("<"):
            table[code] = unicodedata.normalize("NFKC", chr(code))
    if fold_quotes:
        table |= {ord(quote): "'" for quote in SINGLE_QUOTES} | {ord(quote): '"' for quote in DOUBLE_QUOTES}
    return {code: new for code, new in table.items() if not _in(code, IGNORABLE)}


def decompositions(replacements: dict[int, str]) -> dict[int, str]:
    """What each character that is replaced or canonically decomposed, or both, becomes; in form NFD."""
    new = {code: _decomposed(text) for code, text in replacements.items()}
    for code in code_points(decomposable()):
        parts = (replacements.get(ord(part), part) for part in _decomposed(chr(code)))
        new.setdefault(code, _decomposed("".join(parts)))
    return new


def _decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def _in(code: int, ranges: Iterable[Range]) -> bool:
    return any(first <= code <= last for first, last in ranges)


def python_class(ranges: Iterable[Range]) -> str:
    """The inside of a character class of Python's `re`."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def re2_class(ranges: Iterable[Range]) -> str:
    """The inside of a character class of RE2, which TensorFlow and Arrow use."""
    return "".join(
        _re2_character(first) + (f"-{_re2_character(last)}" if last > first else "") for first, last in ranges
    )


def _re2_character(code: int) -> str:
    """A character as it is, for short patterns, or escaped if it is ASCII or not allowed in UTF-8."""
    return f"\\x{{{code:x}}}" if code < 0x80 or 0xD800 <= code <= 0xDFFF else chr(code)
