"""BPE-dropout (Provilkov et al. 2020): tokenizes token ids again, with merges left out at random."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import tensorflow as tf

from bitext.components.text import PAD_ID, WORD_BOUNDARY, byte_pairs
from bitext.components.text.processor import TextProcessor

_NONE, _ATOM, _LETTER, _DIGIT, _OTHER, _APOSTROPHE, _MARK = range(7)
"""Kinds of characters. `_NONE`: no character; `_ATOM`: a token that is never split; `_MARK`: U+2581."""
_OF_CATEGORY = {"L": _LETTER, "M": _LETTER, "N": _DIGIT}
_OF_CHARACTER = {
    WORD_BOUNDARY: _MARK,
    **dict.fromkeys("'\u2019", _APOSTROPHE),
    **dict.fromkeys("\u180e\u200c\u200d", _LETTER),
}


class BpeDropout:
    """Tokenizes the words of token ids again. The text stays the same.

    The ids alone tell where words begin, because a pretoken ends where the kind of character changes
    (`pretokens`). Only a pretoken that was cut for its length is whole again. Tokens that no merge makes
    (special tokens, bytes, texts that stay whole) do not change.

    Args:
      text: the text path, with byte-pair encoding.
      rate: the probability that a possible merge is left out, at each step of the encoding of a word.
    """

    def __init__(self, text: TextProcessor, rate: float):
        self._text, self._rate = text, rate
        pieces, merged = text.pieces(), text.merged_ids()
        ids = {piece: number for number, piece in enumerate(pieces)}
        symbols = [_symbols(piece, ids) if ids[piece] in merged else [ids[piece]] for piece in pieces]
        self._symbols = tf.ragged.constant(symbols, tf.int32, row_splits_dtype=tf.int64)
        self._kinds = tf.constant([_kinds(*each) for each in zip(pieces, symbols, strict=True)], tf.int32)

    def __call__(self, sides: Sequence[tf.Tensor], seed: tf.Tensor, limits: Sequence[int]) -> list[tf.Tensor]:
        """Tokenizes batches again, all in one loop over the merges.

        Args:
          sides: int32[B, T] each, padded with 0 on the right; each row ends with `</s>`.
          seed: int32[2], the seed of the draws.
          limits: for each side, the most ids of a row: one that would have more does not change.

        Returns:
          int32[B, T'] each, padded with 0 on the right.
        """
        given = [tf.RaggedTensor.from_tensor(ids, padding=PAD_ID, row_splits_dtype=tf.int64) for ids in sides]
        rows = tf.concat(given, axis=0)
        symbols = tf.gather(self._symbols, rows.values)
        first_tokens = tf.where(self._is_first(rows.values))[:, 0]
        ends = tf.concat([first_tokens, tf.size(rows.values, tf.int64)[tf.newaxis]], 0)
        words = tf.RaggedTensor.from_row_splits(
            symbols.values, tf.gather(symbols.row_splits, ends), validate=False
        )
        merged = self._text.merge(words, byte_pairs.Dropout(self._rate, seed))
        row_of_word = tf.gather(rows.value_rowids(), first_tokens)
        lengths = tf.math.unsorted_segment_sum(merged.row_lengths(), row_of_word, rows.nrows())
        drawn = tf.RaggedTensor.from_row_lengths(merged.values, lengths, validate=False)
        result, start = [], tf.constant(0, tf.int64)
        for ids, limit in zip(sides, limits, strict=True):
            end = start + tf.shape(ids, tf.int64)[0]
            own = drawn[start:end]
            result.append(_where(own.row_lengths() <= limit, own.to_tensor(PAD_ID), ids))
            start = end
        return result

    def _is_first(self, tokens: tf.Tensor) -> tf.Tensor:
        """Whether each token int32[N] is the first of a word: bool[N]."""
        first, second, before_last, last = tf.unstack(tf.gather(self._kinds, tokens), axis=1)
        left = _shifted(last, 1)  # the character before each token
        segmentation = self._text.segmentation
        if segmentation.split == "nothing":
            return tf.equal(left, _ATOM) | tf.equal(first, _ATOM)
        if segmentation.split == "spaces":
            marked = left if segmentation.mark == "after" else first
            return tf.equal(left, _ATOM) | tf.equal(first, _ATOM) | tf.equal(marked, _MARK)
        # An apostrophe belongs to a word if it stands between two letters.
        right_of_first = tf.where(tf.equal(second, _NONE), _shifted(first, -1), second)
        left_of_last = tf.where(tf.equal(before_last, _NONE), left, before_last)
        begins = tf.equal(first, _APOSTROPHE) & tf.equal(left, _LETTER) & tf.equal(right_of_first, _LETTER)
        ends = (
            tf.equal(first, _LETTER)
            & tf.equal(left, _APOSTROPHE)
            & tf.equal(_shifted(left_of_last, 1), _LETTER)
        )
        first, left = (tf.where(tf.equal(kind, _APOSTROPHE), _OTHER, kind) for kind in (first, left))
        is_same = tf.equal(first, left) & tf.not_equal(first, _ATOM) & tf.not_equal(first, _MARK)
        is_after_mark = tf.equal(left, _MARK) & tf.not_equal(first, _ATOM) & tf.not_equal(first, _MARK)
        return ~(begins | ends | is_same | is_after_mark)


def _symbols(piece: str, ids: Mapping[str, int]) -> list[int]:
    """Returns the ids of the characters of a piece; its own if one of them has none."""
    symbols = [ids[character] for character in piece if character in ids]
    return symbols if len(symbols) == len(piece) else [ids[piece]]


def _kinds(piece: str, symbols: list[int]) -> tuple[int, int, int, int]:
    """Returns the kinds of the first, the second, the second last and the last character of a piece."""
    if not piece or (len(piece) > 1 and len(symbols) == 1):
        return _ATOM, _ATOM, _ATOM, _ATOM
    kinds = [_kind(character) for character in piece]
    return kinds[0], (*kinds, _NONE)[1], (_NONE, *kinds)[-2], kinds[-1]


def _kind(character: str) -> int:
    category = unicodedata.category(character)[0]
    return _OF_CHARACTER.get(character, _OF_CATEGORY.get(category, _OTHER))


def _shifted(kinds: tf.Tensor, places: int) -> tf.Tensor:
    """Shifts kinds int32[N] to the right by one place, or to the left if `places` is -1."""
    atom = tf.constant([_ATOM])
    return tf.concat([atom, kinds[:-1]] if places == 1 else [kinds[1:], atom], 0)


def _where(condition: tf.Tensor, one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Chooses rows of int32[B, T] or int32[B, U] by bool[B], padded to the longer of both."""
    width = tf.maximum(tf.shape(one)[1], tf.shape(other)[1])
    padded = [tf.pad(ids, [[0, 0], [0, width - tf.shape(ids)[1]]]) for ids in (one, other)]
    return tf.where(condition[:, tf.newaxis], *padded)
