"""Starts rows of the embeddings from pretrained vectors in the text form of word2vec, GloVe and fastText.

A line has a word and its numbers, separated by spaces. A first line with two whole numbers is the header: the
number of words and of numbers a word. A token names the word without its mark U+2581. A token without a mark
names a word only if it has no letter and no digit: punctuation that follows a word without a space.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np

from bitext.components.artifacts import Model
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError
from bitext.components.shared.reading import line_blocks, read_chunks, split_lines
from bitext.components.text import SPECIALS, WORD_BOUNDARY
from bitext.components.text.learn import BYTES
from bitext.components.text.processor import TextPair, TextProcessor
from bitext.components.trainer import Parameters

_CHUNK_BYTES = 1 << 20
_FEW = 0.05
"""A smaller share of tokens with a vector is probably a file of another language."""
_RESERVED = frozenset({*SPECIALS, *BYTES})


class Rows(NamedTuple):
    """The vectors of a file that tokens name.

    Attributes:
      by_word: float32[units] by word.
      words: number of words in the file.
    """

    by_word: dict[str, np.ndarray]
    words: int


@dataclasses.dataclass(frozen=True)
class Started:
    """What became of the files.

    Attributes:
      lines: for the user, one for each file.
      frozen: by the path of a variable, whether each row stays as it is, bool[V].
    """

    lines: list[str]
    frozen: dict[str, np.ndarray]


def word_of(piece: str, *, characters: bool = False) -> str:
    """Returns the word that a token names; empty: none.

    Args:
      piece: the token.
      characters: whether tokens are characters, which all name themselves.
    """
    if piece in _RESERVED or not piece.strip(WORD_BOUNDARY):
        return ""
    word = piece.removeprefix(WORD_BOUNDARY)
    if word == piece:
        word = piece.removesuffix(WORD_BOUNDARY)
    if word == piece and not characters and any(c.isalnum() for c in piece):
        return ""
    return word.replace(WORD_BOUNDARY, " ")


def start(network: Seq2Seq, pair: TextPair, parameters: Parameters, base: Model | None) -> Started:
    """Starts the rows of the tokens that the files name.

    The vectors of a file are scaled by one factor, so that their mean square norm is 1 as that of random
    rows. If both sides share one embedding, the target's file goes before the source's. A training that
    starts from another model keeps the rows of the tokens which that model has.

    Args:
      network: the new model, with random weights or those of the base model.
      pair: the text processors of the model.
      parameters: the parameters in effect.
      base: the model that the training starts from.

    Raises:
      DataError: a file cannot be read, or has vectors of another size.
    """
    lines: list[str] = []
    frozen: dict[str, np.ndarray] = {}
    for side in ("source", "target"):
        if not (file := getattr(parameters.embeddings, side)):
            continue
        variable = getattr(network, f"{side}_embedding")
        processor: TextProcessor = getattr(pair, side)
        pieces = processor.pieces()
        words = [word_of(piece, characters=processor.characters) for piece in pieces]
        rows = read(file, frozenset(filter(None, words)), variable.shape[1])
        named = np.array([word in rows.by_word for word in words])
        known = _known(base, side, joint=network.source_embedding is network.target_embedding)
        assigned = named & np.array([piece not in known for piece in pieces])
        _assign(variable, words, rows, assigned)
        lines += _coverage(side, file, named, assigned, rows.words)
        frozen[variable.path] = named | frozen.get(variable.path, np.zeros_like(named))
    return Started(lines, frozen if parameters.embeddings.freeze else {})


def read(path: str, wanted: frozenset[str], units: int) -> Rows:
    """Reads the vectors of some words. The first line of a word counts.

    Args:
      path: a text file, which may be compressed.
      wanted: the words.
      units: the size of the vectors.

    Raises:
      DataError: the file cannot be read, has vectors of another size, is cut short, or has a bad line.
    """
    by_word: dict[str, np.ndarray] = {}
    count, header = 0, None
    for number, line in _numbered_lines(path):
        fields = line.split(b" ", 2)
        if number == 1:
            header = _header(fields)
            _check_size(path, header.units if header else line.count(b" "), units)
            if header:
                continue
        word, numbers = _word_and_numbers(path, number, line, units)
        count += 1
        if word in wanted and word not in by_word:
            by_word[word] = _vector(path, number, word, numbers)
    if not count or (header and count < header.words):
        expected = f", and {header.words:,} by its first line" if header else ""
        raise DataError(
            f"{path_text(path)} has {count:,} vectors{expected}", "copy the file again: it is cut short"
        )
    return Rows(by_word, count)


class _Header(NamedTuple):
    """The first line of a file of word2vec or fastText."""

    words: int
    units: int


def _numbered_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Yields the lines that are not empty, without spaces at the end, with their numbers from 1."""
    number = 0
    for block in line_blocks(read_chunks(path, _CHUNK_BYTES)):
        for line in split_lines(block.text):
            number += 1
            if line := line.replace(b"\t", b" ").rstrip(b" "):
                yield number, line


def _header(fields: list[bytes]) -> _Header | None:
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        return _Header(int(fields[0]), int(fields[1]))
    return None


def _check_size(path: str, received: int, units: int) -> None:
    """Raises DataError if the vectors are not as long as the rows of the embedding."""
    if received != units:
        raise DataError(
            f"{path_text(path)} has vectors of {received:,} numbers, and trainer.model.embedding_units is "
            f"{units:,}",
            f"set trainer.model.embedding_units to {received}, or give vectors of {units} numbers",
        )


def _word_and_numbers(path: str, number: int, line: bytes, units: int) -> tuple[str, list[bytes]]:
    """Splits a line. A word may have spaces (GloVe)."""
    word, *numbers = line.rsplit(b" ", units)
    if len(numbers) != units or not word:
        raise DataError(
            f"{path_text(path)}:{number}: a line must have a word and {units:,} numbers; received "
            f"{line.count(b' '):,} numbers after {line.split(b' ')[0][:40].decode(errors='replace')!r}",
            "correct or delete the line",
        )
    return word.decode(errors="replace"), numbers


def _vector(path: str, number: int, word: str, numbers: list[bytes]) -> np.ndarray:
    try:
        values = [float(text) for text in numbers]
    except ValueError as error:
        raise DataError(
            f"{path_text(path)}:{number}: the vector of {word!r} has no number: {error}",
            "correct or delete the line",
        ) from error
    if not all(map(math.isfinite, values)):
        raise DataError(
            f"{path_text(path)}:{number}: the vector of {word!r} has a value that is not finite",
            "correct or delete the line",
        )
    return np.array(values, np.float32)


def _known(base: Model | None, side: str, *, joint: bool) -> frozenset[str]:
    """The tokens whose rows come from the base model."""
    if base is None:
        return frozenset()
    vocabulary = base.vocabulary()
    tokens = {"source": vocabulary.source, "target": vocabulary.target}
    return frozenset(tokens["source"] + tokens["target"] if joint else tokens[side])


def _assign(variable: keras.Variable, words: list[str], rows: Rows, assigned: np.ndarray) -> None:
    """Writes the vectors of the words into the assigned rows of an embedding."""
    if not assigned.any():
        return
    square = np.mean([float(vector @ vector) for vector in rows.by_word.values()])
    table = np.array(variable.numpy())
    for row in np.flatnonzero(assigned):
        table[row] = rows.by_word[words[row]] / max(math.sqrt(square), 1e-9)
    variable.assign(table)


def _coverage(side: str, file: str, named: np.ndarray, assigned: np.ndarray, words: int) -> list[str]:
    """Returns what a user should know about the use of a file."""
    share = named.mean()
    lines = [
        f"{side} embedding: {named.sum():,} of {len(named):,} tokens ({share:.1%}) are in {path_text(file)}, "
        f"which has {words:,} words"
    ]
    if kept := int((named & ~assigned).sum()):
        lines.append(f"{side} embedding: {kept:,} of these keep the rows of the model that is the start")
    if share < _FEW:
        lines.append(
            f"warning: few tokens of the {side} have a vector: is trainer.embeddings.{side} of this "
            "language, and are most tokens whole words (transform.unit, vocabulary_size)?"
        )
    return lines
