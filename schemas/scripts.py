"""Scripts: which one a text is written in, and whether it puts blanks between words.

This module imports no large library. All thresholds in words use `counts_words`.
"""

from __future__ import annotations

import bisect
import collections
import functools
import itertools
import unicodedata
from collections.abc import Iterable, Mapping

# The letters and marks of each script, from Unicode's Scripts.txt. A range also spans characters that are no
# letters, and letters that several scripts share (Arabic's tatweel, the prolonged sound mark of kana).
RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "Latin": (
        (0x41, 0x2E4), (0x1D00, 0x1D25), (0x1D2C, 0x1D5C), (0x1D62, 0x1D65), (0x1D6B, 0x1D77),
        (0x1D79, 0x1DBE), (0x1E00, 0x1EFF), (0x2071, 0x209C), (0x212A, 0x2184), (0x2C60, 0x2C7F),
        (0xA722, 0xA7FF), (0xAB30, 0xAB64), (0xAB66, 0xAB69), (0xFB00, 0xFB06), (0xFF21, 0xFF5A),
        (0x10780, 0x107BA), (0x107BB, 0x107BF), (0x1DF00, 0x1DF96), (0x1DFCD, 0x1DFF2),
        (0x1DFF5, 0x1DFFF), (0x209D, 0x209F), (0xAB6C, 0xAB6D),
    ),
    "Greek": (
        (0x370, 0x3E1), (0x3F0, 0x3FF), (0x1D26, 0x1D2A), (0x1D5D, 0x1D61), (0x1D66, 0x1D6A),
        (0x1DBF, 0x1DBF), (0x1F00, 0x1FFC), (0x2126, 0x2126), (0xAB65, 0xAB65), (0x1D242, 0x1D244),
        (0x1DFF3, 0x1DFF4),
    ),
    "Cyrillic": (
        (0x400, 0x52F), (0x1C80, 0x1C8A), (0x1D2B, 0x1D2B), (0x1D78, 0x1D78), (0x2DE0, 0x2DFF),
        (0xA640, 0xA69F), (0xFE2E, 0xFE2F), (0x1E030, 0x1E06D), (0x1E08F, 0x1E08F),
    ),
    "Armenian": ((0x531, 0x588), (0x58B, 0x58C), (0xFB13, 0xFB17)),
    "Hebrew": ((0x591, 0x5C9), (0x5D0, 0x5F2), (0xFB1D, 0xFB4F)),
    "Arabic": (
        (0x610, 0x6FF), (0x750, 0x77F), (0x870, 0x8FF), (0xFB50, 0xFDFB), (0xFE70, 0xFEFC),
        (0x10EC2, 0x10EFF), (0x1EE00, 0x1EEBB),
    ),
    "Syriac": ((0x710, 0x74F), (0x860, 0x86A)),
    "Thaana": ((0x780, 0x7B1),),
    "Nko": ((0x7CA, 0x7FD),),
    "Devanagari": ((0x900, 0x97F), (0xA8E0, 0xA8FF), (0x11B0A, 0x11B0A)),
    "Bengali": ((0x980, 0x9FE), (0x11DF0, 0x11DF1)),
    "Gurmukhi": ((0xA01, 0xA75),),
    "Gujarati": ((0xA81, 0xAFF),),
    "Oriya": ((0xB01, 0xB71),),
    "Tamil": ((0xB82, 0xBD7),),
    "Telugu": ((0xC00, 0xC63),),
    "Kannada": ((0xC80, 0xCF3),),
    "Malayalam": ((0xD00, 0xD7F),),
    "Sinhala": ((0xD81, 0xDF3),),
    "Thai": ((0xE01, 0xE4E),),
    "Lao": ((0xE81, 0xEDF),),
    "Tibetan": ((0xF00, 0xFC6),),
    "Myanmar": ((0x1000, 0x109D), (0xA9E0, 0xA9FE), (0xAA60, 0xAA7F)),
    "Georgian": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2D)),
    "Ethiopic": ((0x1200, 0x138F), (0x2D80, 0x2DDE), (0xAB01, 0xAB2E), (0x1E7E0, 0x1E7FE)),
    "Cherokee": ((0x13A0, 0x13FD), (0xAB70, 0xABBF)),
    "Canadian_Aboriginal": ((0x1401, 0x167F), (0x18B0, 0x18F5), (0x11AB0, 0x11ABF)),
    "Khmer": ((0x1780, 0x17DD),),
    "Mongolian": ((0x180B, 0x18AA),),
    "Hiragana": (
        (0x3041, 0x309F), (0x1B001, 0x1B11F), (0x1B123, 0x1B123), (0x1B132, 0x1B132), (0x1B150, 0x1B152),
    ),
    "Katakana": (
        (0x30A1, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D), (0x1AFF0, 0x1B000), (0x1B120, 0x1B122),
        (0x1B124, 0x1B128), (0x1B155, 0x1B155), (0x1B164, 0x1B168),
    ),
    "Bopomofo": ((0x3105, 0x312F), (0x31A0, 0x31BF)),
    "Hangul": (
        (0x1100, 0x11FF), (0x302E, 0x302F), (0x3131, 0x318E), (0xA960, 0xA97C), (0xAC00, 0xD7FB),
        (0xFFA0, 0xFFDC),
    ),
    "Han": (
        (0x2E80, 0x2FD5), (0x3005, 0x3007), (0x303B, 0x303B), (0x3400, 0x9FFF), (0xF900, 0xFAD9),
        (0x16FE3, 0x16FE3), (0x16FF0, 0x16FF3), (0x20000, 0x33479),
    ),
    "Yi": ((0xA000, 0xA48C),),
    "Javanese": ((0xA980, 0xA9C0),),
    "Balinese": ((0x1B00, 0x1B73),),
    "Sundanese": ((0x1B80, 0x1BBF),),
    "Tai_Le": ((0x1950, 0x1974),),
    "New_Tai_Lue": ((0x1980, 0x19C9),),
    "Tai_Tham": ((0x1A20, 0x1AA7),),
    "Tai_Viet": ((0xAA80, 0xAADD),),
    "Tifinagh": ((0x2D30, 0x2D7F),),
    "Ol_Chiki": ((0x1C5A, 0x1C7D),),
    "Meetei_Mayek": ((0xAAE0, 0xAAF6), (0xABC0, 0xABED)),
    "Cham": ((0xAA00, 0xAA4D),),
    "Lisu": ((0xA4D0, 0xA4FD), (0x11FB0, 0x11FB0)),
    "Vai": ((0xA500, 0xA62B),),
    "Adlam": ((0x1E900, 0x1E94B),),
    "Hanifi_Rohingya": ((0x10D00, 0x10D27),),
    "Buginese": ((0x1A00, 0x1A1B),),
    "Batak": ((0x1BC0, 0x1BF3),),
    "Coptic": ((0x3E2, 0x3EF), (0x2C80, 0x2CF3)),
}  # fmt: skip
OTHER = "Other"
"""The letters of a script that is not in `RANGES`."""
NONE = "None"
"""The script of a text without letters."""
JAPANESE = "Japanese"
"""Kana, alone or with Han characters."""
EAST_ASIAN = ("Han", "Bopomofo", "Hiragana", "Katakana")
"""The scripts of Chinese and Japanese."""
_SMALLEST_KANA_SHARE = 0.05
"""Share of kana from which text with Han characters is Japanese. A Chinese corpus quotes a few kana."""
_WITHOUT_BLANKS = frozenset(
    {
        *EAST_ASIAN, JAPANESE, "Yi", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Javanese", "Balinese",
        "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Buginese", "Batak", "Vai",
    }
)  # fmt: skip
_CHARACTERS_PER_WORD = dict.fromkeys((*EAST_ASIAN, JAPANESE, "Yi", "Hangul"), 2)
"""The usual length of a word, in scripts in which it is not 5."""
_SMALLEST_BLANKS = 0.6
"""Blanks per word from which a text was segmented. Thai has a blank after a phrase: 0.2 per word."""


def script_of(character: str) -> str:
    """Returns the script of a character: `Latin`, `Han`, `Hiragana`, ...

    `OTHER` for a letter of another script; `NONE` for what is no letter and no mark, and for marks that are
    used with every script.
    """
    if unicodedata.category(character)[0] not in "LM":
        return NONE
    firsts, lasts, names = _table()
    point = ord(character)
    index = bisect.bisect_right(firsts, point) - 1
    if index >= 0 and point <= lasts[index]:
        return names[index]
    return NONE if unicodedata.category(character)[0] == "M" else OTHER


@functools.cache
def _table() -> tuple[list[int], list[int], list[str]]:
    """The first and last code points of all ranges, in order, and their scripts."""
    ranges = sorted((first, last, name) for name, spans in RANGES.items() for first, last in spans)
    return [r[0] for r in ranges], [r[1] for r in ranges], [r[2] for r in ranges]


def letter_counts(texts: Iterable[str]) -> dict[str, int]:
    """Returns the number of letters and marks of each script in texts, as `script_of` names it."""
    characters: collections.Counter[str] = collections.Counter()
    for text in texts:
        characters.update(text)
    counts: collections.Counter[str] = collections.Counter()
    for character, count in characters.items():
        counts[script_of(character)] += count
    counts.pop(NONE, None)
    return dict(counts)


def dominant_script(texts: Iterable[str]) -> str:
    """Returns the script that most of the words of texts are written in.

    Words are estimated from the letters, so that a Chinese sentence with a long name in Latin letters is
    Chinese. Text in Han characters is `JAPANESE` if it has kana, else `Han`.

    Args:
      texts: the texts, or a sample of them. A text may be a word or a corpus.

    Returns:
      A name in `RANGES` except `Hiragana`, `Katakana` and `Bopomofo`; or `JAPANESE`; `OTHER` for another
      script; `NONE` without letters.
    """
    return dominant(letter_counts(texts))


def dominant(counts: Mapping[str, int]) -> str:
    """Returns the dominant script of texts with these `letter_counts`."""
    words: dict[str, float] = {}
    for name, count in counts.items():
        script = "Han" if name in EAST_ASIAN else name
        # A Han character or kana counts as a word, so that names in Latin letters do not outnumber them.
        word_characters = 1 if script == "Han" else characters_per_word(script)
        words[script] = words.get(script, 0.0) + count / word_characters
    if not words:
        return NONE
    script = max(words, key=lambda name: words[name])
    if script == "Han":
        kana = counts.get("Hiragana", 0) + counts.get("Katakana", 0)
        if kana >= _SMALLEST_KANA_SHARE * sum(counts.get(name, 0) for name in EAST_ASIAN):
            return JAPANESE
    return script


def counts_words(script: str) -> bool:
    """Returns whether the script puts blanks between words, so that words can be counted at blanks.

    It is false for Han, Japanese, Thai, Lao, Khmer, Myanmar, Tibetan and others.
    """
    return script not in _WITHOUT_BLANKS


def characters_per_word(script: str) -> int:
    """Returns the usual number of letters and marks of a word: the factor from words to characters."""
    return _CHARACTERS_PER_WORD.get(script, 5)


def unit(script: str) -> str:
    """Returns the unit of lengths in this script: `words` or, without blanks between words, `characters`."""
    return "words" if counts_words(script) else "characters"


def length(text: str, script: str) -> int:
    """Returns the length of a text in `unit(script)`. White space does not count."""
    words = text.split()
    return len(words) if counts_words(script) else sum(map(len, words))


def is_segmented(texts: Iterable[str], script: str) -> bool:
    """Returns whether texts have blanks between words although their script does not: a word segmenter ran.

    Args:
      texts: the texts, or a sample of them.
      script: their script, one without blanks between words.
    """
    letters = blanks = 0
    for text in texts:
        words = text.split()
        letters += sum(map(len, words))
        # A blank beside Latin letters, digits or punctuation is usual.
        blanks += sum(
            not counts_words(script_of(left[-1])) and not counts_words(script_of(right[0]))
            for left, right in itertools.pairwise(words)
        )
    return blanks > _SMALLEST_BLANKS * letters / characters_per_word(script)
