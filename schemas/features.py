"""The derived features of sentence pairs that a schema checks: lengths, ratios, scripts, endings, copies.

They are computed for a block of rows at a time, on Arrow and numpy columns.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]

# Ranges of code points whose letters and marks belong to a script: blocks of Unicode's Blocks.txt, without
# exceptions for single characters, because only the script of most letters of a sentence is used. Kana is
# Hiragana and Katakana.
RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "Latin": (
        (0x41, 0x24F), (0x250, 0x2AF), (0x1D00, 0x1DBF), (0x1E00, 0x1EFF), (0x2C60, 0x2C7F), (0xA720, 0xA7FF),
        (0xAB30, 0xAB6F), (0xFB00, 0xFB06), (0xFF21, 0xFF5A),
    ),
    "Greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "Cyrillic": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
    "Armenian": ((0x530, 0x58F), (0xFB13, 0xFB17)),
    "Hebrew": ((0x590, 0x5FF), (0xFB1D, 0xFB4F)),
    "Arabic": ((0x600, 0x6FF), (0x750, 0x77F), (0x870, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFE)),
    "Syriac": ((0x700, 0x74F),),
    "Thaana": ((0x780, 0x7BF),),
    "Devanagari": ((0x900, 0x97F), (0xA8E0, 0xA8FF)),
    "Bengali": ((0x980, 0x9FF),),
    "Gurmukhi": ((0xA00, 0xA7F),),
    "Gujarati": ((0xA80, 0xAFF),),
    "Oriya": ((0xB00, 0xB7F),),
    "Tamil": ((0xB80, 0xBFF),),
    "Telugu": ((0xC00, 0xC7F),),
    "Kannada": ((0xC80, 0xCFF),),
    "Malayalam": ((0xD00, 0xD7F),),
    "Sinhala": ((0xD80, 0xDFF),),
    "Thai": ((0xE00, 0xE7F),),
    "Lao": ((0xE80, 0xEFF),),
    "Tibetan": ((0xF00, 0xFFF),),
    "Myanmar": ((0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F)),
    "Georgian": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F)),
    "Ethiopic": ((0x1200, 0x139F), (0x2D80, 0x2DDF), (0xAB00, 0xAB2F)),
    "Khmer": ((0x1780, 0x17FF),),
    "Mongolian": ((0x1800, 0x18AF),),
    "Kana": ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F), (0x1B000, 0x1B16F)),
    "Hangul": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF)),
    "Han": ((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
        (0x20000, 0x323AF)),
}  # fmt: skip
OTHER = "Other"
"""Letters of a script that is not in RANGES."""
NONE = "None"
"""No letters."""
SCRIPTS = (*RANGES, OTHER, NONE)
CLASSED = frozenset({"Han", "Ethiopic", OTHER})
"""Scripts with so many letters that the ending is a class of letters instead of a letter."""
CLASSES = 32
"""Number of classes that the letters of each of these scripts fall into."""
LENGTH_BOUNDS = (1, 10, 20, 40, 80, 160, 320)
"""Lower bounds of the classes of length, in characters."""
LENGTHS = (
    *tuple(f"{low}-{high - 1}" for low, high in itertools.pairwise(LENGTH_BOUNDS)),
    f"{LENGTH_BOUNDS[-1]}+",
)


@functools.cache
def _script_of_code_point() -> npt.NDArray[np.uint8]:
    """The script of every code point, as index in SCRIPTS; NONE if it is no letter: uint8[0x110000]."""
    alphabetic = np.fromiter(
        (unicodedata.category(chr(c))[0] in "LM" for c in range(0x110000)), bool, 0x110000
    )
    table = np.full(0x110000, SCRIPTS.index(OTHER), np.uint8)
    for index, ranges in enumerate(RANGES.values()):
        for first, last in ranges:
            table[first : last + 1] = index
    # Combining diacritics (U+0300 to U+036F) are used with letters of any script: they count for none.
    table[0x300:0x370] = SCRIPTS.index(NONE)
    table[~alphabetic] = SCRIPTS.index(NONE)
    return table


@functools.cache
def _ending_of_code_point() -> tuple[npt.NDArray[np.uint16], tuple[str, ...]]:
    """The ending that every code point stands for.

    Returns:
      Index of each code point in the names, uint16[0x110000]; and the names, of which NONE is the first.
    """
    scripts = _script_of_code_point()
    names = {NONE: 0}
    table = np.zeros(0x110000, np.uint16)
    classed = np.isin(scripts, [SCRIPTS.index(name) for name in CLASSED])
    for point in np.flatnonzero(classed).tolist():
        name = f"{SCRIPTS[scripts[point]]} {point % CLASSES}"
        table[point] = names.setdefault(name, len(names))
    for point in np.flatnonzero(~classed & (scripts != SCRIPTS.index(NONE))).tolist():
        decomposed = unicodedata.normalize("NFKD", chr(point).lower())
        name = next((character for character in decomposed if character.isalpha()), chr(point))
        table[point] = names.setdefault(name, len(names))
    return table, tuple(names)


def derive(source: pa.Array, target: pa.Array) -> dict[str, pa.Array]:
    """Derives the features of a block of rows.

    Args:
      source: string[N].
      target: string[N].

    Returns:
      Arrays of length N by name: the features of both sides (`of_side`); `length_ratio` float32, target
      characters divided by source characters; `copied`, "yes" if both sides differ in case at most, else
      "no".
    """
    features = of_side("source", source) | of_side("target", target)
    lengths = [_ints(features[f"{side}_characters"]) for side in ("target", "source")]
    features["length_ratio"] = pa.array((lengths[0] / np.maximum(lengths[1], 1)).astype(np.float32))
    same = pc.equal(pc.utf8_lower(source), pc.utf8_lower(target))
    features["copied"] = pc.if_else(same, pa.scalar("yes"), pa.scalar("no"))
    return features


def of_side(side: str, text: pa.Array) -> dict[str, pa.Array]:
    """Derives the features of one side of a block of rows.

    Args:
      side: `source` or `target`: the names of the features begin with it.
      text: string[N].

    Returns:
      Arrays of length N by name:

      * `source_characters` int64;
      * `source_words` int64, words separated by white space;
      * `source_length`, one of LENGTHS. Shares of classes compare two splits more reliably than histograms
        with different ranges do;
      * `source_non_alphabetic` float32, share of characters that are neither letters nor marks nor white
        space;
      * `source_script`, the script of most letters, one of SCRIPTS;
      * `source_ending`, the last letter in lower case and without diacritics; for a script in CLASSED, one of
        CLASSES classes; NONE without letters. The frequencies of last letters depend on the language and
        hardly on the topic, so they show a change of language.
    """
    characters = _ints(pc.utf8_length(text))
    length = np.searchsorted(LENGTH_BOUNDS[1:], characters, side="right")
    points = np.frombuffer("".join(text.to_pylist()).encode("utf-32-le"), np.uint32)
    row = np.repeat(np.arange(len(characters)), characters)
    script = _script_of_code_point()[points]
    scripts = _count_scripts(script, row, len(characters))
    letters = scripts.sum(axis=1)
    white = (points == 0x20) | (points == 0xA0) | (points == 0x3000)
    spaces = np.bincount(row[white], minlength=len(characters))
    share = (characters - spaces - letters) / np.maximum(characters, 1)
    dominant = np.where(letters > 0, scripts.argmax(axis=1), SCRIPTS.index(NONE))
    return {
        f"{side}_characters": pa.array(characters),
        f"{side}_length": pa.array(LENGTHS).take(pa.array(length)),
        f"{side}_words": pa.array(_ints(pc.count_substring_regex(text, pattern=r"\S+"))),
        f"{side}_non_alphabetic": pa.array(share.astype(np.float32)),
        f"{side}_script": pa.array(SCRIPTS).take(pa.array(dominant)),
        f"{side}_ending": _endings(points, script, letters),
    }


def _count_scripts(script: npt.NDArray[np.uint8], row: Ints, rows: int) -> Ints:
    """Counts the letters of each script in each row: int64[N, len(SCRIPTS) - 1], without NONE."""
    width = len(SCRIPTS)
    counts = np.bincount(row * width + script, minlength=rows * width).reshape(-1, width)
    return counts[:, : width - 1].astype(np.int64)


def _endings(points: npt.NDArray[np.uint32], script: npt.NDArray[np.uint8], letters: Ints) -> pa.Array:
    """The ending of each row.

    Args:
      points: uint32[M], the code points of all rows.
      script: uint8[M], the script of each.
      letters: int64[N], the number of letters of each row.

    Returns:
      string[N].
    """
    table, names = _ending_of_code_point()
    letter_positions = np.flatnonzero(script != SCRIPTS.index(NONE))
    has_letters = letters > 0
    ending = np.full(len(letters), names.index(NONE), np.int64)
    ending[has_letters] = table[points[letter_positions[np.cumsum(letters)[has_letters] - 1]]]
    return pa.array(names).take(pa.array(ending))


def _ints(array: pa.Array) -> Ints:
    return cast(Ints, array.to_numpy(zero_copy_only=False).astype(np.int64))
