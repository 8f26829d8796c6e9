"""Reads a BPE model of SentencePiece (`sentencepiece_model.proto`), and refuses what bitext cannot apply.

The parser reads the few fields it needs: the module that the library ships needs another version of protobuf.
"""

from __future__ import annotations

import dataclasses
import struct
import unicodedata

from bitext.components.artifacts.transform_graph import Segmentation
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError
from bitext.components.text import SPECIALS, WORD_BOUNDARY

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)
_BPE = 2
_MODEL_TYPES = {1: "unigram", 2: "BPE", 3: "word", 4: "character"}
_NORMALIZATIONS = ("identity", "nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf")
_REMEDY = "give a BPE model without it, or leave transform.vocabulary_file out: Transform then learns one"
Fields = dict[int, list[int | bytes]]


class _NoModelError(ValueError):
    """Bytes that are no message of protocol buffers."""


def is_model(content: bytes) -> bool:
    """Whether bytes are a SentencePiece model."""
    try:
        pieces = _fields(content).get(1, [])
        return bool(pieces) and all(isinstance(p, bytes) and 1 in _fields(p) for p in pieces[:10])
    except _NoModelError:
        return False


@dataclasses.dataclass(frozen=True)
class Model:
    """A model that bitext can apply exactly.

    Attributes:
      pieces: the ordinary pieces with their scores.
      normalizer: the replacements of characters.
      dummy_prefix: whether text begins with a space.
      byte_fallback: whether unknown characters are spelled in bytes.
    """

    pieces: dict[str, float]
    normalizer: dict[str, str]
    dummy_prefix: bool
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
            trainer, normalizer = _message(fields, 2), _message(fields, 3)
            pieces = [_piece(p) for p in fields[1] if isinstance(p, bytes)]
            problem = _problem(trainer, normalizer, _message(fields, 5), pieces)
            normal = {piece: score for piece, score, kind in pieces if kind == _NORMAL and _can_occur(piece)}
            problem = problem or _problem_of_pieces(normal)
            replacements = {} if problem else _replacements(_text(normalizer, 2))
        except (_NoModelError, UnicodeDecodeError, IndexError, struct.error) as error:
            raise DataError(
                f"{path_text(path)} is a damaged SentencePiece model: {error}", "copy it again"
            ) from error
        if (
            not problem
            and _flag(normalizer, 4, default=True) is False
            and " " in "".join(replacements.values())
        ):
            problem = "keeps several spaces (remove_extra_whitespaces: false)"
        if problem:
            raise DataError(f"{path_text(path)} {problem}, which bitext cannot apply exactly", _REMEDY)
        fallback = _flag(trainer, 35, default=False)
        return cls(normal, replacements, _flag(normalizer, 3, default=True), fallback)

    def merged(self) -> tuple[str, ...]:
        """The pieces of several characters; those that merge first come first."""
        return tuple(sorted((p for p in self.pieces if len(p) > 1), key=lambda p: -self.pieces[p]))

    def characters(self) -> tuple[str, ...]:
        """The pieces of one character."""
        return tuple(piece for piece in self.pieces if len(piece) == 1)

    def segmentation(self) -> Segmentation:
        """How text becomes words: no piece joins two words, so they are split at spaces."""
        return Segmentation(
            split="spaces",
            mark="before" if self.dummy_prefix else "between",
            replacements=self.normalizer,
        )


def _problem(
    trainer: Fields, normalizer: Fields, denormalizer: Fields, pieces: list[tuple[str, float, int]]
) -> str:
    """Returns what a model uses that bitext cannot apply; empty: nothing."""
    kind = trainer.get(3, [1])[0]
    name = _text(normalizer, 1).decode()
    user_defined = [piece for piece, _, kind in pieces if kind == _USER_DEFINED]
    if kind != _BPE:
        return f"is a {_MODEL_TYPES.get(int(kind), 'new')} model, not BPE (--model_type=bpe)"
    if _flag(trainer, 24, default=False):
        return "marks the end of words (treat_whitespace_as_suffix)"
    if not _flag(normalizer, 5, default=True):
        return "keeps spaces in its pieces (escape_whitespaces: false)"
    if _text(denormalizer, 2):
        return "has a denormalization rule"
    if _text(normalizer, 2) and name not in _NORMALIZATIONS:
        return f"has the normalization rule {name!r} (bitext knows {', '.join(_NORMALIZATIONS)})"
    if user_defined:
        shown = ", ".join(user_defined[:3])
        return f"has {len(user_defined):,} user-defined symbols ({shown})"
    if any(kind == _UNUSED for *_, kind in pieces):
        return "has unused pieces (a restricted vocabulary)"
    return ""


def _problem_of_pieces(pieces: dict[str, float]) -> str:
    """Returns what the ordinary pieces need that bitext cannot apply; empty: nothing."""
    merged = [piece for piece in pieces if len(piece) > 1]
    for piece in merged:
        if WORD_BOUNDARY in piece.lstrip(WORD_BOUNDARY):
            return f"has pieces across spaces, such as {piece!r} (split_by_whitespace: false)"
        if missing := next((c for c in piece if c not in pieces), ""):
            return f"has the piece {piece!r}, but no piece {missing!r}"
        if piece in SPECIALS or (len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")):
            return f"has the ordinary piece {piece!r}, the name of a special token of bitext"
    if len({pieces[piece] for piece in merged}) < len(merged):
        return "has several pieces of one score, so their order is open"
    return ""


def _can_occur(piece: str) -> bool:
    """Whether normalized text can have the piece: it has no white space and no control character."""
    return bool(piece) and not any(c.isspace() or unicodedata.category(c) == "Cc" for c in piece)


def _replacements(charsmap: bytes) -> dict[str, str]:
    """Returns the replacements of single characters in a normalization rule.

    The rule is a trie of UTF-8 strings (a double array of Darts-clone) and the strings that replace them. The
    longer keys are characters with marks, whose replacements are the composed form (NFC) of the replaced
    characters. Normalized text has no characters with a canonical decomposition that NFC does not compose.
    """
    if not charsmap:
        return {}
    (size,) = struct.unpack_from("<I", charsmap)
    units, strings = struct.unpack_from(f"<{size // 4}I", charsmap, 4), charsmap[4 + size :]
    result = {}
    for code in range(1, 0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        character = chr(code)
        start = _lookup(units, character.encode())
        if start >= 0 and unicodedata.is_normalized("NFC", character) and character != WORD_BOUNDARY:
            new = strings[start : strings.index(b"\0", start)].decode()
            if new != character:
                result[character] = new
    return result


def _lookup(units: tuple[int, ...], key: bytes) -> int:
    """Returns the value of a key in a double array of Darts-clone, or -1."""
    position = 0
    for byte in key:
        unit = units[position]
        position ^= (unit >> 10) << ((unit & 0x200) >> 6) ^ byte
        if units[position] & 0x800000FF != byte:
            return -1
    unit = units[position]
    if not unit >> 8 & 1:
        return -1
    return units[position ^ (unit >> 10) << ((unit & 0x200) >> 6)] & 0x7FFFFFFF


def _piece(message: bytes) -> tuple[str, float, int]:
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
