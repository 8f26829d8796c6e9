"""Reads a model of SentencePiece (`sentencepiece_model.proto`), and refuses what bitext cannot apply.

The parser reads the few fields it needs: the module that the library ships needs another version of protobuf.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import struct
import unicodedata
from collections.abc import Iterable
from typing import Literal

from bitext.components.artifacts.transform_graph import Segmentation
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError
from bitext.components.text import SPECIALS, WORD_BOUNDARY, charsmap

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)
_UNIGRAM, _BPE, _WORD, _CHARACTER = range(1, 5)
_MODEL_TYPES = {_UNIGRAM: "unigram", _BPE: "BPE", _WORD: "word", _CHARACTER: "character"}
_UNKNOWN_PENALTY = 10.0
_FIRST_KEY = b"\x0a"
"""The key of field 1, the pieces, which are the first field of a model."""
_NORMALIZATIONS = ("identity", "nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf")
_REMEDY = "give another model, or leave transform.vocabulary_file out: Transform then learns one"
Fields = dict[int, list[int | bytes]]
Piece = tuple[str, float, int]
"""The text, the score and the type of a piece."""


class _NoModelError(ValueError):
    """Bytes that are no message of protocol buffers."""


def is_model(content: bytes) -> bool:
    """Whether bytes begin as a SentencePiece model does, with a piece. The model may be damaged."""
    if content[:1] != _FIRST_KEY:
        return False
    try:
        length, start = _varint(content, 1)
        fields = _fields(content[start : start + length])
    except (_NoModelError, IndexError):
        return False
    return isinstance(fields.get(1, [0])[0], bytes) and fields.keys() <= {1, 2, 3}


@dataclasses.dataclass(frozen=True)
class Model:
    """A model that bitext can apply exactly.

    Attributes:
      kind: `unigram`, `BPE` or `character`.
      pieces: the ordinary pieces with their scores, without those that no text can have.
      symbols: the user-defined symbols, without those that no text can have.
      unknown_score: the score of an unknown character in a unigram model.
      normalizer: the replacements of characters.
      keeps_spaces: whether several spaces that come from replacements stay.
      dummy_prefix: whether a space is added to text.
      is_suffix: whether U+2581 is at the end of words.
      byte_fallback: whether unknown characters are spelled in bytes.
    """

    kind: str
    pieces: dict[str, float]
    symbols: tuple[str, ...]
    unknown_score: float
    normalizer: dict[str, str]
    keeps_spaces: bool
    dummy_prefix: bool
    is_suffix: bool
    byte_fallback: bool

    @classmethod
    def parse(cls, content: bytes, path: str) -> Model:
        """Parses a serialized model.

        Args:
          content: the bytes of the file.
          path: its path, for messages.

        Raises:
          DataError: the model is damaged, or uses something that bitext cannot apply.
        """
        try:
            fields = _fields(content)
            if not fields.keys() >= {1, 2, 3}:
                raise _NoModelError("it is cut short")
            trainer, normalizer = _message(fields, 2), _message(fields, 3)
            pieces = [_piece(p) for p in fields[1] if isinstance(p, bytes)]
            name = _text(normalizer, 1).decode()
            replacements, other = charsmap.replacements(
                _text(normalizer, 2), characters_only=name in _NORMALIZATIONS
            )
            kind = int(trainer.get(3, [_UNIGRAM])[-1])
            problem = _problem(kind, trainer, normalizer, _message(fields, 5), pieces)
        except (_NoModelError, ValueError, IndexError, struct.error) as error:
            raise DataError(
                f"{path_text(path)} is a damaged SentencePiece model: {error}", "copy it again"
            ) from error
        scores = {piece: score for piece, score, kind in pieces if kind == _NORMAL}
        keeps_spaces = not _flag(normalizer, 4, default=True) and " " in "".join(replacements.values())
        model = cls(
            kind=_MODEL_TYPES.get(kind, ""),
            pieces={piece: score for piece, score in scores.items() if _can_occur(piece, keeps_spaces)},
            symbols=tuple(p for p, _, k in pieces if k == _USER_DEFINED and _can_occur(p, keeps_spaces)),
            unknown_score=_float32(min(scores.values(), default=0.0) - _UNKNOWN_PENALTY),
            normalizer=replacements,
            keeps_spaces=keeps_spaces,
            dummy_prefix=_flag(normalizer, 3, default=True),
            is_suffix=_flag(trainer, 24, default=False),
            byte_fallback=_flag(trainer, 35, default=False),
        )
        if other:
            problem = problem or f"has the normalization rule {name!r}, which replaces {other!r} as a whole"
        problem = problem or model._problem()
        if problem:
            raise DataError(f"{path_text(path)} {problem}, which bitext cannot apply exactly", _REMEDY)
        return model

    def merged(self) -> tuple[str, ...]:
        """The pieces of several characters; in a BPE model, those that merge first come first."""
        merged = [piece for piece in self.pieces if len(piece) > 1]
        return tuple(merged if self.is_unigram else sorted(merged, key=lambda p: -self.pieces[p]))

    def characters(self) -> tuple[str, ...]:
        """The pieces of one character."""
        return tuple(piece for piece in self.pieces if len(piece) == 1)

    @property
    def is_unigram(self) -> bool:
        """Whether the most probable pieces are searched."""
        return self.kind == _MODEL_TYPES[_UNIGRAM]

    def scores(self) -> dict[str, float]:
        """The score of each piece in a unigram model: that of a symbol follows from its bytes."""
        symbols = {symbol: _float32(0.1 * (len(symbol.encode()) - 1)) for symbol in self.symbols}
        return self.pieces | symbols

    def segmentation(self) -> Segmentation:
        """How text becomes words: it is split at spaces unless a piece joins two words."""
        mark: Literal["before", "after"] = "after" if self.is_suffix else "before"
        joins = self._joins_words(self.scores()) or (self.is_suffix and not self.dummy_prefix)
        return Segmentation(
            split="nothing" if joins else "spaces",
            mark=mark if self.dummy_prefix else "between",
            model="unigram" if self.is_unigram else "bpe",
            replacements=self.normalizer,
            keeps_spaces=self.keeps_spaces,
            symbols=() if self.is_unigram else self.symbols,
        )

    def _joins_words(self, pieces: Iterable[str]) -> str:
        """A piece that joins two words, or ""."""
        strip = str.rstrip if self.is_suffix else str.lstrip
        return next((p for p in pieces if WORD_BOUNDARY in strip(p, WORD_BOUNDARY)), "")

    def _problem(self) -> str:
        """Returns what the pieces need that bitext cannot apply; empty: nothing."""
        for piece in (*self.pieces, *self.symbols):
            if piece in SPECIALS or (len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")):
                return f"has the ordinary piece {piece!r}, the name of a special token of bitext"
        for symbol in self.symbols:
            if any(character in self.normalizer for character in symbol):
                return f"has the user-defined symbol {symbol!r}, whose characters its normalization replaces"
        if self.is_unigram:
            return ""
        if self.is_suffix and not self.dummy_prefix:
            return "marks the end of words (treat_whitespace_as_suffix) without add_dummy_prefix"
        if joins := self._joins_words(self.pieces):
            return f"has pieces across spaces, such as {joins!r} (split_by_whitespace: false)"
        if symbol := next((s for s in self.symbols if WORD_BOUNDARY in s), ""):
            return f"has the user-defined symbol {symbol!r} with a space"
        merged = self.merged()
        for piece in merged:
            if missing := next((c for c in piece if c not in self.pieces), ""):
                return f"has the piece {piece!r}, but no piece {missing!r}"
        if len({self.pieces[piece] for piece in merged}) < len(merged):
            return "has several pieces of one score, so their order is open"
        return ""


def _problem(
    kind: int, trainer: Fields, normalizer: Fields, denormalizer: Fields, pieces: list[Piece]
) -> str:
    """Returns what a model uses that bitext cannot apply; empty: nothing."""
    if kind not in (_UNIGRAM, _BPE, _CHARACTER):
        return f"is a {_MODEL_TYPES.get(kind, 'new')} model (--model_type)"
    if not _flag(normalizer, 5, default=True):
        return "keeps spaces in its pieces (escape_whitespaces: false)"
    if _text(denormalizer, 2):
        return "has a denormalization rule"
    if kind != _UNIGRAM and any(kind == _UNUSED for *_, kind in pieces):
        return "has unused pieces (a restricted vocabulary)"
    if not any(kind == _UNKNOWN for *_, kind in pieces) and not _flag(trainer, 35, default=False):
        return "has no piece for unknown characters (<unk>)"
    if not all(math.isfinite(score) for _, score, _ in pieces):
        return "has a score that is not finite"
    names = collections.Counter(piece for piece, *_ in pieces)
    if (twice := names.most_common(1)) and twice[0][1] > 1:
        return f"has the piece {twice[0][0]!r} several times"
    return ""


def _can_occur(piece: str, keeps_spaces: bool) -> bool:
    """Whether normalized text can have the piece: it has no white space and no control character."""
    if not keeps_spaces and 2 * WORD_BOUNDARY in piece:
        return False
    return bool(piece) and not any(c.isspace() or unicodedata.category(c) == "Cc" for c in piece)


def _float32(number: float) -> float:
    """The number as the library stores it."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", number))
    return float(rounded)


def _piece(message: bytes) -> Piece:
    """Returns the text, the score and the type of a piece."""
    fields = _fields(message)
    (score,) = struct.unpack("<f", _text(fields, 2) or bytes(4))
    return _text(fields, 1).decode(), score, int(fields.get(3, [_NORMAL])[0])


def _message(fields: Fields, number: int) -> Fields:
    return _fields(_text(fields, number))


def _text(fields: Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise _NoModelError(f"field {number} is a number")
    return value


def _flag(fields: Fields, number: int, *, default: bool) -> bool:
    return bool(fields.get(number, [default])[-1])


def _fields(message: bytes) -> Fields:
    """Returns the values of each field of a message; those of 32 and 64 bits are bytes."""
    result: Fields = {}
    position = 0
    try:
        while position < len(message):
            key, position = _varint(message, position)
            size = {1: 8, 5: 4}.get(key & 7)
            value: int | bytes
            if key & 7 == 0:
                value, position = _varint(message, position)
            else:
                if key & 7 == 2:
                    size, position = _varint(message, position)
                if size is None or position + size > len(message) or not key >> 3:
                    raise _NoModelError(f"byte {position} is not of a message")
                value, position = message[position : position + size], position + size
            result.setdefault(key >> 3, []).append(value)
    except IndexError:
        raise _NoModelError("it is cut short") from None
    return result


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Returns a number and the position after it."""
    value = shift = 0
    while True:
        byte = message[position]
        value, shift, position = value | (byte & 127) << shift, shift + 7, position + 1
        if byte < 128:
            return value, position
