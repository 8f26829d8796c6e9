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

from bitext.schemas import scripts

Ints = npt.NDArray[np.int64]

KANA = "Kana"
"""Hiragana and Katakana; the script of Japanese text, which also has Han characters."""
_NAMES = {"Hiragana": KANA, "Katakana": KANA, "Bopomofo": "Han"}
"""Scripts of `scripts.RANGES` that have another name here."""
RANGES: dict[str, tuple[tuple[int, int], ...]] = {}
"""The code points of each script."""
for _script, _ranges in scripts.RANGES.items():
    _name = _NAMES.get(_script, _script)
    RANGES[_name] = RANGES.get(_name, ()) + _ranges
OTHER, NONE = scripts.OTHER, scripts.NONE
SCRIPTS = (*RANGES, OTHER, NONE)
_WHITE, _IGNORED = len(SCRIPTS), len(SCRIPTS) + 1
"""Classes of code points after those of SCRIPTS: white space, and characters that are never shown."""
IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Unicode's property Default_Ignorable_Code_Point."""
_SMALLEST_KANA_SHARE = 0.05
"""Share of kana from which text with Han characters is Japanese."""
CLASSED = frozenset({"Ethiopic", "Yi", "Vai", "Canadian_Aboriginal", OTHER})
"""Scripts with so many letters that the ending is a class of letters instead of a letter."""
UNDIVIDED = {
    **dict.fromkeys(("Han", KANA), f"Han, {KANA}"),
    **{name: name for name in ("Hangul", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")},
}
"""The ending of all letters of a script, by script. In these, the last letter of a sentence depends on how
polite or formal it is: it would show a change of style as one of language. The script tells the language."""
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
    """The class of every code point: uint8[0x110000].

    It is the index of its script in SCRIPTS, NONE if it is no letter, _WHITE or _IGNORED.
    """
    category = [unicodedata.category(chr(c)) for c in range(0x110000)]
    alphabetic = np.fromiter((name[0] in "LM" for name in category), bool, 0x110000)
    white = np.fromiter((chr(c).isspace() for c in range(0x110000)), bool, 0x110000)
    # A mark that belongs to no script is used with all.
    letter = np.fromiter((name[0] == "L" for name in category), bool, 0x110000)
    table = np.where(letter, SCRIPTS.index(OTHER), SCRIPTS.index(NONE)).astype(np.uint8)
    for index, ranges in enumerate(RANGES.values()):
        for first, last in ranges:
            table[first : last + 1] = index
    table[~alphabetic] = SCRIPTS.index(NONE)
    table[white] = _WHITE
    for first, last in IGNORABLE:
        table[first : last + 1] = _IGNORED
    return table


@functools.cache
def _ending_of_code_point() -> tuple[npt.NDArray[np.uint16], tuple[str, ...]]:
    """The ending that every code point stands for.

    Returns:
      Index of each code point in the names, uint16[0x110000]; and the names, of which NONE is the first.
    """
    scripts_of = _script_of_code_point()
    names = {NONE: 0}
    table = np.zeros(0x110000, np.uint16)
    undivided = np.isin(scripts_of, [SCRIPTS.index(name) for name in UNDIVIDED])
    for point in np.flatnonzero(undivided).tolist():
        name = UNDIVIDED[SCRIPTS[scripts_of[point]]]
        table[point] = names.setdefault(name, len(names))
    classed = np.isin(scripts_of, [SCRIPTS.index(name) for name in CLASSED])
    for point in np.flatnonzero(classed).tolist():
        name = f"{SCRIPTS[scripts_of[point]]} {point % CLASSES}"
        table[point] = names.setdefault(name, len(names))
    for point in np.flatnonzero(~classed & ~undivided & (scripts_of < SCRIPTS.index(NONE))).tolist():
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
      * `source_words` int64, words separated by white space; in scripts without blanks between words, the
        number of characters without white space;
      * `source_length`, one of LENGTHS. Shares of classes compare two splits more reliably than histograms
        with different ranges do;
      * `source_non_alphabetic` float32, share of characters that are neither letters nor marks nor white
        space. Characters that are never shown (zero-width joiners) do not count;
      * `source_script`, the script of most words, one of SCRIPTS. Words are estimated from the letters, so
        that a name in Latin letters does not outnumber a Chinese sentence. Text with Han characters and kana
        is Kana;
      * `source_ending`, the last letter in lower case and without diacritics; for a script in CLASSED, one of
        CLASSES classes; for one in UNDIVIDED, the script; NONE without letters. The frequencies of last
        letters depend on the language and hardly on the topic, so they show a change of language.
    """
    characters = _ints(pc.utf8_length(text))
    length = np.searchsorted(LENGTH_BOUNDS[1:], characters, side="right")
    points = np.frombuffer("".join(text.to_pylist()).encode("utf-32-le"), np.uint32)
    row = np.repeat(np.arange(len(characters)), characters)
    script = _script_of_code_point()[points]
    counts = _count_scripts(script, row, len(characters))
    letters = counts[:, : SCRIPTS.index(NONE)].sum(axis=1)
    visible = characters - counts[:, _WHITE] - counts[:, _IGNORED]
    share = (visible - letters) / np.maximum(characters, 1)
    dominant = np.where(letters > 0, _dominant_scripts(counts), SCRIPTS.index(NONE))
    words = np.where(_COUNTS_WORDS[dominant], _count_words(script, row, len(characters)), visible)
    return {
        f"{side}_characters": pa.array(characters),
        f"{side}_length": pa.array(LENGTHS).take(pa.array(length)),
        f"{side}_words": pa.array(words),
        f"{side}_non_alphabetic": pa.array(share.astype(np.float32)),
        f"{side}_script": pa.array(SCRIPTS).take(pa.array(dominant)),
        f"{side}_ending": _endings(points, script, letters),
    }


def _count_scripts(script: npt.NDArray[np.uint8], row: Ints, rows: int) -> Ints:
    """Counts the characters of each class in each row: int64[N, _IGNORED + 1]."""
    counts = np.zeros((rows, _IGNORED + 1), np.int64)
    # Few scripts occur in one block: only these are counted.
    present = np.flatnonzero(np.bincount(script, minlength=_IGNORED + 1))
    column = np.zeros(_IGNORED + 1, np.int64)
    column[present] = np.arange(len(present))
    pairs = np.bincount(row * len(present) + column[script], minlength=rows * len(present))
    counts[:, present] = pairs.reshape(rows, len(present))
    return counts


_COUNTS_WORDS = np.array([scripts.counts_words(scripts.JAPANESE if s == KANA else s) for s in SCRIPTS])
_LETTERS_PER_WORD = np.array(
    [1 if name in ("Han", KANA) else scripts.characters_per_word(name) for name in SCRIPTS[:-1]]
)


def _dominant_scripts(counts: Ints) -> Ints:
    """The script of most words of each row, as `scripts.dominant` defines it: index in SCRIPTS, int64[N]."""
    han, kana = SCRIPTS.index("Han"), SCRIPTS.index(KANA)
    words = counts[:, : len(_LETTERS_PER_WORD)] / _LETTERS_PER_WORD
    words[:, han] += words[:, kana]
    words[:, kana] = 0
    dominant = words.argmax(axis=1)
    east_asian = counts[:, han] + counts[:, kana]
    japanese = (dominant == han) & (counts[:, kana] >= _SMALLEST_KANA_SHARE * east_asian)
    return np.where(japanese, kana, dominant)


def _count_words(script: npt.NDArray[np.uint8], row: Ints, rows: int) -> Ints:
    """Counts the runs of characters between white space in each row: int64[N]."""
    white = script == _WHITE
    begins = ~white
    begins[1:] &= white[:-1] | (row[1:] != row[:-1])
    return np.bincount(row[begins], minlength=rows)


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
    letter_positions = np.flatnonzero(script < SCRIPTS.index(NONE))
    has_letters = letters > 0
    ending = np.full(len(letters), names.index(NONE), np.int64)
    ending[has_letters] = table[points[letter_positions[np.cumsum(letters)[has_letters] - 1]]]
    return pa.array(names).take(pa.array(ending))


def _ints(array: pa.Array) -> Ints:
    return cast(Ints, array.to_numpy(zero_copy_only=False).astype(np.int64))
