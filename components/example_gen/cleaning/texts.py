"""The characters of a column of texts as NumPy arrays: classes, scripts and words."""

from __future__ import annotations

import functools
import unicodedata
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.example_gen.rows import Ints, Mask, to_ints
from bitext.components.shared.strings import bytes_of
from bitext.components.text import scripts

BLANK, LETTER, DIGIT, PUNCTUATION, OTHER = range(5)
"""The classes of characters. Marks are letters, symbols are punctuation, OTHER are controls."""
SCRIPTS = ("None", "Other", *(name for name in scripts.RANGES if name not in scripts.EAST_ASIAN[1:]))
"""Names of scripts by code. Kana and Bopomofo have the code of Han."""
NO_SCRIPT = 0
_LAST = 0x33480
"""Higher code points are tags, variation selectors and for private use."""
_CLASSES = {"Z": BLANK, "L": LETTER, "M": LETTER, "N": DIGIT, "P": PUNCTUATION, "S": PUNCTUATION}


class Texts:
    """A column of texts, and what the rules measure of them. Everything is computed once, if it is needed.

    Attributes:
      array: string[N] without nulls.
    """

    def __init__(self, array: pa.Array):
        self.array = array

    @cached_property
    def lengths(self) -> Ints:
        """Characters of each text: int64[N]."""
        return to_ints(pc.utf8_length(self.array))

    @cached_property
    def _starts(self) -> Ints:
        """Where each text begins in `_codes`, and where the last one ends: int64[N + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @cached_property
    def _codes(self) -> npt.NDArray[np.uint32]:
        """The code points of all texts; those without a class have the value `_LAST`."""
        data, _ = bytes_of(self.array)
        codes = np.frombuffer(data.tobytes().decode("utf-8").encode("utf-32-le"), np.uint32)
        return np.minimum(codes, np.uint32(_LAST))

    @cached_property
    def _scripts(self) -> npt.NDArray[np.uint8]:
        return _script_table()[self._codes]

    @cached_property
    def _present(self) -> list[int]:
        """The scripts of the letters of all texts."""
        seen = np.zeros(len(SCRIPTS), bool)
        seen[self._scripts] = True
        seen[NO_SCRIPT] = False
        return cast(list[int], np.flatnonzero(seen).tolist())

    def _totals(self, mask: Mask) -> Ints:
        """The number of characters of each text that a mask over all characters selects: int64[N]."""
        return cast(Ints, np.diff(np.searchsorted(np.flatnonzero(mask), self._starts)))

    @cached_property
    def _classes(self) -> npt.NDArray[np.uint8]:
        return _class_table()[self._codes]

    @cached_property
    def _by_class(self) -> tuple[Ints, ...]:
        blanks, digits, marks, others = (
            self._totals(self._classes == kind) for kind in (BLANK, DIGIT, PUNCTUATION, OTHER)
        )
        letters = self.lengths - blanks - digits - marks - others  # most characters: this is faster
        return blanks, letters, digits, marks, others

    def count(self, kind: int) -> Ints:
        """The number of characters of a class in each text: int64[N]."""
        return self._by_class[kind]

    @cached_property
    def words(self) -> Ints:
        """The number of words between blanks in each text: int64[N]. The texts have no blanks at the ends."""
        data, offsets = bytes_of(self.array)
        blanks = np.flatnonzero(data == 0x20)
        first = blanks[np.diff(blanks, prepend=-2) > 1]
        return cast(Ints, np.diff(np.searchsorted(first, offsets)) + (np.diff(offsets) > 0))

    @cached_property
    def ends_in_word(self) -> Mask:
        """Which texts end in a letter or a digit: bool[N]."""
        ends = np.zeros(len(self.array), bool)
        rows = np.flatnonzero(self.lengths)
        last = self._classes[self._starts[1:][rows] - 1]
        ends[rows] = (last == LETTER) | (last == DIGIT)
        return ends

    @cached_property
    def longest_word(self) -> Ints:
        """The most letters and digits in succession in each text: int64[N]."""
        in_word = (self._classes == LETTER) | (self._classes == DIGIT)
        # A word ends before the next character that is not in a word, and before the next text.
        breaks = np.union1d(np.flatnonzero(~in_word), self._starts)
        breaks = breaks[breaks < len(in_word)]
        after = np.append(breaks[1:], len(in_word))
        row = np.searchsorted(self._starts, breaks, side="right") - 1
        longest = np.zeros(len(self.array), np.int64)
        np.maximum.at(longest, row, after - breaks - ~in_word[breaks])
        return longest

    @cached_property
    def script_words(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Of each text, the script of most of its words, their number, and the number of all words.

        Words are estimated from the letters, as in `scripts.dominant`, because a name in Latin letters has
        more letters than the Han characters around it.

        Returns:
          uint8[N], indices in SCRIPTS; float64[N]; float64[N].
        """
        dominant = np.zeros(len(self.array), np.uint8)
        most, every = np.zeros((2, len(self.array)))
        for code in self._present:
            name = SCRIPTS[code]
            characters = 1 if name == "Han" else scripts.characters_per_word(name)
            words = self._totals(self._scripts == code) / characters
            every += words
            dominant[words > most] = code
            most = np.maximum(most, words)
        return dominant, most, every

    @cached_property
    def without_blanks(self) -> Mask:
        """Which texts have letters of a script that puts no blanks between words: bool[N]."""
        dense = [code for code in self._present if not scripts.counts_words(SCRIPTS[code])]
        if not dense:
            return np.zeros(len(self.array), bool)
        return self._totals(np.isin(np.arange(len(SCRIPTS)), dense)[self._scripts]) > 0


@functools.cache
def _class_table() -> npt.NDArray[np.uint8]:
    """The class of each code point: uint8[_LAST + 1]."""
    classes = [_CLASSES.get(unicodedata.category(chr(code))[0], OTHER) for code in range(_LAST)]
    table = np.array([*classes, OTHER], np.uint8)
    table[[ord(c) for c in "\t\n\r\x0b\x0c\x85"]] = BLANK
    return table


@functools.cache
def _script_table() -> npt.NDArray[np.uint8]:
    """The script of each letter or mark as an index in SCRIPTS: uint8[_LAST + 1]."""
    codes = {name: code for code, name in enumerate(SCRIPTS)}
    codes |= dict.fromkeys(scripts.EAST_ASIAN, codes["Han"])
    is_letter = _class_table() == LETTER
    table = np.zeros(_LAST + 1, np.uint8)
    table[is_letter] = codes["Other"]
    marks = [code for code in np.flatnonzero(is_letter).tolist() if unicodedata.category(chr(code))[0] == "M"]
    table[marks] = NO_SCRIPT
    for name, ranges in scripts.RANGES.items():
        for first, last in ranges:
            part = slice(first, min(last, _LAST) + 1)
            table[part] = np.where(is_letter[part], codes[name], NO_SCRIPT)
    return table
