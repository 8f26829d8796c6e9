"""Reads vectors of words in the text form of word2vec, GloVe and fastText.

A line has a word and its numbers, separated by spaces. A first line with two whole numbers is the header: the
number of words and of numbers a word.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bitext.components.shared import file_kinds
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError
from bitext.components.shared.reading import BYTE_ORDER_MARK, line_blocks, read_chunks, split_lines

_CHUNK_BYTES = 1 << 20
_FASTTEXT_MAGIC = b"\xba\x16\x4f\x2f"
_HEADER = re.compile(rb"\d+ \d+\n")


class Rows(NamedTuple):
    """The vectors of a file that tokens name.

    Attributes:
      by_word: float32[units] by word.
      words: number of words in the file.
      lower_case: the words of the file that are the lower case of a wanted word.
      undecodable: number of words that are not UTF-8.
    """

    by_word: dict[str, np.ndarray]
    words: int
    lower_case: frozenset[str]
    undecodable: int


class _Header(NamedTuple):
    """The first line of a file of word2vec or fastText."""

    words: int
    units: int


def read(path: str, wanted: frozenset[str], units: int) -> Rows:
    """Reads the vectors of some words. The first line of a word counts.

    Args:
      path: a text file, which may be compressed.
      wanted: the words.
      units: the size of the vectors.

    Raises:
      DataError: the file cannot be read, has vectors of another size, is cut short, or has a bad line.
    """
    lines = _numbered_lines(path)
    header, first = _head(path, lines, units)
    by_word: dict[bytes, np.ndarray] = {}
    names = {word.encode(errors="surrogatepass"): word for word in wanted}
    lower = {word.lower().encode(errors="surrogatepass") for word in wanted} - names.keys()
    found_lower: set[bytes] = set()
    count = undecodable = 0
    for number, line in itertools.chain(first, lines):
        word = _word(path, number, line, units)
        count += 1
        if word in names:
            if word not in by_word:
                by_word[word] = _vector(path, number, line, units)
        elif word in lower:
            found_lower.add(word)
        undecodable += not (word.isascii() or _is_utf8(word))
    if not count or (header and count < header.words):
        expected = f", and {header.words:,} by its first line" if header else ""
        raise DataError(
            f"{path_text(path)} has {count:,} vectors{expected}", "copy the file again: it is cut short"
        )
    rows = {names[word]: vector for word, vector in by_word.items()}
    return Rows(rows, count, frozenset(word.decode() for word in found_lower), undecodable)


def check(path: str, units: int) -> None:
    """Raises DataError if the first lines show that a file cannot be used; see `read`."""
    _head(path, _numbered_lines(path), units)


def _head(
    path: str, lines: Iterator[tuple[int, bytes]], units: int
) -> tuple[_Header | None, list[tuple[int, bytes]]]:
    """Takes the first line, or the header and the line after it.

    Returns:
      The header, if there is one, and the lines that have been taken after it.

    Raises:
      DataError: the vectors are not as long as the rows of the embedding, or the header contradicts them.
    """
    first = list(itertools.islice(lines, 1))
    header = _header(first[0][1]) if first else None
    if header:
        first = list(itertools.islice(lines, 1))
    received = first[0][1].count(b" ") if first else 0
    if header and first and received < header.units:
        raise DataError(
            f"{path_text(path)}:{first[0][0]}: a vector has {received:,} numbers, and "
            f"{header.units:,} by the first line",
            "correct the first line: the number of words, a space, and the number of numbers a word",
        )
    received = header.units if header else received
    if (first or header) and received != units:
        raise DataError(
            f"{path_text(path)} has vectors of {received:,} numbers, and trainer.model.embedding_units is "
            f"{units:,}",
            f"set trainer.model.embedding_units to {received}, or give vectors of {units} numbers",
        )
    return header, first


def _numbered_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Yields the lines that are not empty, without spaces at the end, with their numbers from 1."""
    number = 0
    for block in line_blocks(read_chunks(path, _CHUNK_BYTES, _check_kind)):
        for line in split_lines(block.text):
            number += 1
            if number == 1:
                line = line.removeprefix(BYTE_ORDER_MARK)
            if b"\t" in line:
                line = line.replace(b"\t", b" ")
            if line := line.rstrip(b" "):
                yield number, line


def _check_kind(head: bytes, path: str) -> None:
    """Raises DataError for binary vectors, and for what is no text."""
    if head.startswith(_FASTTEXT_MAGIC):
        raise DataError(
            f"{path_text(path)} is a binary model of fastText, and no text",
            "give the .vec file beside it, or write one with fastText's example bin_to_vec.py",
        )
    if _HEADER.match(head) and b"\0" in head:
        raise DataError(
            f"{path_text(path)} has binary vectors of word2vec, and no text",
            "write them as text, for example with gensim: "
            "KeyedVectors.load_word2vec_format(FILE, binary=True).save_word2vec_format(TEXT)",
        )
    file_kinds.check_text(head, path)


def _header(line: bytes) -> _Header | None:
    fields = line.split(b" ")
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        return _Header(int(fields[0]), int(fields[1]))
    return None


def _word(path: str, number: int, line: bytes, units: int) -> bytes:
    """Returns the word of a line. It may have spaces (GloVe)."""
    spaces = line.count(b" ")
    word = line[: line.index(b" ")] if spaces == units else line.rsplit(b" ", units)[0]
    if spaces < units or not word:
        raise DataError(
            f"{path_text(path)}:{number}: a line must have a word and {units:,} numbers; received "
            f"{spaces:,} numbers after {line.split(b' ')[0][:40].decode(errors='replace')!r}",
            "correct or delete the line",
        )
    return word


def _vector(path: str, number: int, line: bytes, units: int) -> np.ndarray:
    """Returns the numbers of a line, float32[units]."""
    word, *numbers = line.rsplit(b" ", units)
    shown = word.decode(errors="replace")
    try:
        values = [float(text) for text in numbers]
    except ValueError as error:
        raise DataError(
            f"{path_text(path)}:{number}: the vector of {shown!r} has no number: {error}",
            "correct or delete the line",
        ) from error
    if not all(map(math.isfinite, values)):
        raise DataError(
            f"{path_text(path)}:{number}: the vector of {shown!r} has a value that is not finite",
            "correct or delete the line",
        )
    return np.array(values, np.float32)


def _is_utf8(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True
