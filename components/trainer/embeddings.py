"""Starts rows of the embeddings from pretrained vectors of words (`vectors`).

A token names the word without its mark U+2581. A token without a mark
names a word only if it has no letter and no digit: punctuation that follows a word without a space.
"""

from __future__ import annotations

import dataclasses
import math

import keras
import numpy as np

from bitext.components.artifacts import Model
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.shared.display import path_text
from bitext.components.text import SPECIALS, WORD_BOUNDARY
from bitext.components.text.learn import BYTES
from bitext.components.text.processor import TextPair, TextProcessor
from bitext.components.trainer import Parameters, vectors
from bitext.components.trainer.vectors import Rows

_FEW = 0.2
"""A smaller share of tokens with a vector is told, with the reason."""
_RESERVED = frozenset({*SPECIALS, *BYTES})


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
        rows = vectors.read(file, frozenset(filter(None, words)), variable.shape[1])
        named = np.array([word in rows.by_word for word in words])
        known = _known(base, side, joint=network.source_embedding is network.target_embedding)
        assigned = named & np.array([piece not in known for piece in pieces])
        _assign(variable, words, rows, assigned)
        lines += _coverage(side, file, words, rows, int((named & ~assigned).sum()))
        frozen[variable.path] = named | frozen.get(variable.path, np.zeros_like(named))
    return Started(lines, frozen if parameters.embeddings.freeze else {})


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


def _coverage(side: str, file: str, words: list[str], rows: Rows, kept: int) -> list[str]:
    """Returns what a user should know about the use of a file."""
    named, naming = sum(word in rows.by_word for word in words), sum(map(bool, words))
    lines = [
        f"{side} embedding: {named:,} of {len(words):,} tokens ({named / len(words):.1%}) are in "
        f"{path_text(file)}, which has {rows.words:,} words"
    ]
    if kept:
        lines.append(f"{side} embedding: {kept:,} of these keep the rows of the model that is the start")
    if rows.undecodable:
        lines.append(f"{side} embedding: {rows.undecodable:,} words of {path_text(file)} are not UTF-8")
    if named < _FEW * len(words):
        reason = _reason(side, words, rows, named, naming)
        lines.append(f"warning: few tokens of the {side} have a vector: {reason}")
    return lines


def _reason(side: str, words: list[str], rows: Rows, named: int, naming: int) -> str:
    """Why few tokens have a vector, and what would help."""
    parts = len(words) - naming
    in_lower_case = rows.lower_case | rows.by_word.keys()
    lower = sum(word not in rows.by_word and word.lower() in in_lower_case for word in words)
    if lower > named:
        return f"{lower:,} more are there in lower case (`transform.lowercase: true`)"
    if named < _FEW * naming:
        return f"is trainer.embeddings.{side} of this language? Of {naming:,} words, it has {named:,}"
    return (
        f"{parts:,} are parts of words, characters or bytes, which no file has; a larger "
        "transform.vocabulary_size or transform.unit: word has more words"
    )
