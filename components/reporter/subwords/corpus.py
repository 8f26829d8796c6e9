"""The token ids of a split as flat arrays, and the words that they spell. No TensorFlow is needed."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitext.components.artifacts import TransformedExamples, TransformGraph
from bitext.components.artifacts.transform_graph import SideFiles
from bitext.components.shared import tfrecord
from bitext.components.text import EOS_ID, SPECIALS, UNK_ID, WORD_BOUNDARY

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_FACTOR, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


@dataclasses.dataclass(frozen=True)
class Pieces:
    """The vocabulary of one side.

    Attributes:
      names: the piece of each id.
    """

    names: tuple[str, ...]

    @functools.cached_property
    def texts(self) -> tuple[str, ...]:
        """Each piece without the mark of a space; empty for special tokens and bytes."""
        return tuple(
            "" if id_ < len(SPECIALS) or _BYTE.fullmatch(name) else name.replace(WORD_BOUNDARY, "")
            for id_, name in enumerate(self.names)
        )

    @functools.cached_property
    def is_byte(self) -> Bools:
        """Whether each piece is a byte."""
        return np.array([_BYTE.fullmatch(name) is not None for name in self.names])

    @functools.cached_property
    def begins(self) -> Bools:
        """Whether a word begins at each piece."""
        return np.array([name.startswith(WORD_BOUNDARY) for name in self.names])

    @functools.cached_property
    def ends(self) -> Bools:
        """Whether a word ends after each piece."""
        return np.array([len(name) > 1 and name.endswith(WORD_BOUNDARY) for name in self.names])

    @functools.cached_property
    def is_mark(self) -> Bools:
        """Whether each piece has neither letters nor digits: punctuation, which belongs to no word."""
        return np.array([bool(text) and not any(map(str.isalnum, text)) for text in self.texts])

    def word(self, ids: Sequence[int]) -> str:
        """The word that pieces spell."""
        joined, pending = [], bytearray()
        for id_ in ids:
            if self.is_byte[id_]:
                pending.append(int(self.names[id_][3:5], 16))
                continue
            joined += [pending.decode("utf-8", "replace"), self.texts[id_] or self.names[id_]]
            pending = bytearray()
        return "".join([*joined, pending.decode("utf-8", "replace")]).replace(WORD_BOUNDARY, "")


def pieces(graph: TransformGraph, files: SideFiles) -> Pieces:
    """Reads the vocabulary of a side.

    Raises:
      DataError: the file is missing or damaged.
    """
    path = graph.path / files.vocabulary
    with graph.reporting_damage(path):
        return Pieces(tuple(path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")))


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The tokens of one side of a split, without padding, `<s>` and `</s>`.

    Attributes:
      ids: the ids of all sentences, one after the other.
      first: whether a sentence begins at each token.
      sentences: number of sentences.
      of: number of sentences of the split, of which these are a part.
    """

    ids: Ints
    first: Bools
    sentences: int
    of: int


def tokens(examples: TransformedExamples, split: str, limit: int) -> dict[str, Tokens]:
    """Reads the tokens of both sides of a split.

    Args:
      examples: the padded examples.
      split: the split.
      limit: the most examples read, of every padded shape its share.

    Raises:
      DataError: a file is missing or damaged.
    """
    buckets = examples.buckets(split)
    total = sum(bucket.examples for bucket in buckets)
    share = min(1.0, limit / max(total, 1))
    read = 0
    ids: dict[str, list[Ints]] = {"source": [], "target": []}
    first: dict[str, list[Bools]] = {"source": [], "target": []}
    for bucket in buckets:
        left = round(bucket.examples * share)
        for name in bucket.files:
            for batch in tfrecord.read_record_batches(examples.split(split) / name) if left > 0 else ():
                rows = batch.slice(0, left)
                left, read = left - len(rows), read + len(rows)
                for side in ids:
                    column = rows.column(rows.schema.names.index(f"{side}_ids"))
                    flat = column.flatten().to_numpy(zero_copy_only=False).reshape(len(rows), -1)
                    is_token = flat > EOS_ID
                    ids[side].append(flat[is_token])
                    first[side].append((is_token & (np.cumsum(is_token, axis=1) == 1))[is_token])
                if left <= 0:
                    break
    nothing: Ints = np.zeros(0, np.int64)
    return {
        side: Tokens(
            np.concatenate([*ids[side], nothing]), np.concatenate([*first[side], nothing > 0]), read, total
        )
        for side in ids
    }


@dataclasses.dataclass(frozen=True)
class Words:
    """The different words of a split.

    Attributes:
      hashes: the hash of the pieces of each different word, ascending.
      counts: how often each occurs.
      lengths: the number of pieces of each.
      starts: where each occurs first in the tokens.
      total: number of words.
      pieces: number of their pieces.
    """

    hashes: Hashes
    counts: Ints
    lengths: Ints
    starts: Ints
    total: int
    pieces: int


def words(found: Tokens, vocabulary: Pieces) -> Words:
    """Joins tokens to words. Unknown tokens and punctuation belong to none."""
    ids = found.ids
    if not len(ids):
        empty: Ints = np.zeros(0, np.int64)
        return Words(empty.astype(np.uint64), empty, empty, empty, 0, 0)
    outside = vocabulary.is_mark[ids] | (ids == UNK_ID)
    begins = found.first | vocabulary.begins[ids] | outside
    begins[1:] |= vocabulary.ends[ids[:-1]] | outside[:-1]
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, len(ids)))
    place = np.arange(len(ids)) - np.repeat(starts, lengths)
    powers = np.cumprod(np.full(int(lengths.max()), _FACTOR, np.uint64))
    mixed = (ids.astype(np.uint64) + np.uint64(1)) * _MIX
    mixed ^= mixed >> np.uint64(31)
    hashes = np.add.reduceat(mixed * powers[place], starts)
    is_word = ~outside[starts]
    starts, lengths, hashes = starts[is_word], lengths[is_word], hashes[is_word]
    unique, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    return Words(unique, counts, lengths[first], starts[first], len(starts), int(lengths.sum()))
