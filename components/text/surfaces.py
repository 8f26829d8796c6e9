"""The text of each token of a vocabulary, byte by byte, and where a word may begin and end in it.

A text is cut into tokens in many ways, so a search that must not write a word has to compare text. A word
ends between a letter or digit and another character. Scripts without blanks between words, such as Han and
Thai, have no such ends: any two of their characters may belong to different words.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitext.components.text import EOS_ID, FIRST_BYTE_ID, UNK_ID, WORD_BOUNDARY
from bitext.components.text.scripts import RANGES, counts_words, script_of

JOINS = 256
"""Added to a byte of a character that joins the characters beside it to a word."""
SPACE = ord(" ")
END = 0
"""The byte that stands for the start and the end of a text. It is in no normalized text."""
_BYTES = 256
_UNKNOWN = "\u2581\u2047"


def joins(character: str) -> bool:
    """Whether a character is a letter, mark or digit of a script with blanks between words."""
    if unicodedata.category(character)[0] not in "LMN":
        return False
    script = script_of(character)
    return script not in RANGES or counts_words(script)


def unjoined_class() -> str:
    """Returns the characters of scripts without blanks between words as a class of a regular expression."""
    spans = [span for script, spans in RANGES.items() if not counts_words(script) for span in spans]
    return "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in spans)


@dataclasses.dataclass(frozen=True)
class Starts:
    """Places in tokens where a text may begin, in the order of their bytes.

    Attributes:
      place: int32[P], indices of `Surfaces.symbols`.
      splits: int32[257], the first place of each byte, and P.
    """

    place: npt.NDArray[np.int32]
    splits: npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Surfaces:
    """The texts of V tokens.

    Attributes:
      symbols: int16[S], the bytes of all tokens, one after the other, `JOINS` added where they join.
      splits: int32[V + 1], the first symbol of each token, and S.
      first: the places of the first bytes of tokens.
      later: all other places.
    """

    symbols: npt.NDArray[np.int16]
    splits: npt.NDArray[np.int32]
    first: Starts
    later: Starts

    @property
    def begins_joined(self) -> npt.NDArray[np.bool_]:
        """Whether each token continues a word: bool[V]."""
        return self._first_symbols() >= JOINS

    @property
    def begins_with_space(self) -> npt.NDArray[np.bool_]:
        """Whether each token begins with a space: bool[V]."""
        return self._first_symbols() == SPACE

    def _first_symbols(self) -> npt.NDArray[np.int16]:
        """The first symbol of each token int16[V]; -1 for a token without text."""
        start, end = self.splits[:-1], self.splits[1:]
        first: npt.NDArray[np.int16] = np.append(self.symbols, -1)[start]
        return np.where(start < end, first, np.int16(-1))


def surfaces(pieces: Sequence[str], *, has_bytes: bool) -> Surfaces:
    """Returns the texts of a vocabulary.

    Args:
      pieces: the piece of each token.
      has_bytes: whether tokens 4 to 259 are single bytes.
    """
    rows = [_symbols(token, piece, has_bytes) for token, piece in enumerate(pieces)]
    symbols = np.array([symbol for row in rows for symbol in row], np.int16)
    splits = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    is_first = np.isin(np.arange(len(symbols)), splits[:-1])
    first, later = (_starts(symbols, np.flatnonzero(part)) for part in (is_first, ~is_first))
    return Surfaces(symbols, splits, first, later)


def _symbols(token: int, piece: str, has_bytes: bool) -> list[int]:
    """Returns the symbols of a token. `<pad>` and `<s>` have none."""
    if token == EOS_ID:
        return [END]
    if token == UNK_ID:
        piece = _UNKNOWN
    elif token < FIRST_BYTE_ID:
        return []
    elif has_bytes and token < FIRST_BYTE_ID + _BYTES:
        byte = token - FIRST_BYTE_ID
        return [byte + JOINS * (byte < 128 and joins(chr(byte)))]
    text = piece.replace(WORD_BOUNDARY, " ")
    return [byte + JOINS * joins(character) for character in text for byte in character.encode()]


def _starts(symbols: npt.NDArray[np.int16], place: npt.NDArray[np.intp]) -> Starts:
    """Sorts places by their bytes."""
    byte = symbols[place] % JOINS
    order = np.argsort(byte, kind="stable")
    splits = np.searchsorted(byte[order], np.arange(_BYTES + 1))
    return Starts(place[order].astype(np.int32), splits.astype(np.int32))
