"""Phrases, compared byte by byte with the text that the tokens of a hypothesis spell."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bitext.components.text.surfaces import END, JOINS, Surfaces, unjoined_class

_BASE = 0x9E3779B97F4A7C15 - (1 << 64)
"""Base of the hashes of texts, modulo 2 ** 64: an odd number."""
_UNJOINED = rf"(?:[^\p{{L}}\p{{M}}\p{{N}}]|[{unjoined_class()}])"
"""A character that does not join others to a word; see `surfaces.joins`."""
_ASCII_PUNCTUATION = r"[!-/:-@\[-`{-~]"


class Phrases(NamedTuple):
    """D different phrases, of which each of B sentences has N or fewer.

    A phrase that begins or ends with a letter or digit stands for whole words: `art` is not in `party`.

    Attributes:
      strings: string[D], normalized; "" is none.
      text: int32[D, M], their bytes, padded with -1; M is larger than all lengths.
      length: int32[D], number of bytes.
      begins, ends: bool[D], whether a phrase begins, or ends, a word.
      index: int32[B, N], the phrases of each sentence.
    """

    strings: tf.Tensor
    text: tf.Tensor
    length: tf.Tensor
    begins: tf.Tensor
    ends: tf.Tensor
    index: tf.Tensor

    @property
    def member(self) -> tf.Tensor:
        """Which phrases each sentence has: bool[B, D]."""
        numbers = tf.range(tf.size(self.strings))
        member = tf.reduce_any(tf.equal(self.index[:, :, tf.newaxis], numbers), 1)
        return tf.logical_and(member, self.length > 0)

    @property
    def hashes(self) -> tf.Tensor:
        """The hashes int64[D, M] of the first 0, 1, ... bytes of each phrase."""
        columns = tf.range(tf.shape(self.text)[1])
        exponent = columns[:, tf.newaxis] - 1 - columns
        factors = tf.gather(_powers(tf.size(columns)), tf.maximum(exponent, 0))
        factors = tf.where(exponent >= 0, factors, 0)
        return tf.reduce_sum(tf.cast(self.text + 1, tf.int64)[:, tf.newaxis] * factors, -1)

    def contained(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns which phrases of its sentence each text string[B, K] contains: bool[B, K, D]."""
        literal = tf.strings.regex_replace(self.strings, _ASCII_PUNCTUATION, r"\\\0")
        before = tf.where(self.begins, f"(?s)(?:.*{_UNJOINED})?", "(?s).*")
        after = tf.where(self.ends, f"(?:{_UNJOINED}.*)?", ".*")
        flat, patterns = tf.reshape(texts, [-1]), tf.strings.join([before, literal, after])
        found = tf.map_fn(
            lambda pattern: tf.strings.regex_full_match(flat, pattern), patterns, fn_output_signature=tf.bool
        )
        found = tf.transpose(
            tf.reshape(found, tf.concat([tf.shape(patterns), tf.shape(texts)], 0)), [1, 2, 0]
        )
        return tf.logical_and(found, self.member[:, tf.newaxis])


def phrases(texts: tf.Tensor) -> Phrases:
    """Converts normalized phrases string[B, N] without spaces at their ends; empty ones are none."""
    distinct, index = tf.unique(tf.concat([tf.reshape(texts, [-1]), [""]], 0))  # one phrase at least
    rows = tf.strings.bytes_split(distinct)
    values = tf.cast(tf.reshape(tf.io.decode_raw(rows.values, tf.uint8), [-1]), tf.int32)
    text = rows.with_values(values).to_tensor(-1)
    return Phrases(
        strings=distinct,
        text=tf.pad(text, [[0, 0], [0, 1]], constant_values=-1),
        length=tf.strings.length(distinct),
        begins=tf.logical_not(tf.strings.regex_full_match(distinct, f"(?s){_UNJOINED}.*")),
        ends=tf.logical_not(tf.strings.regex_full_match(distinct, f"(?s).*{_UNJOINED}")),
        index=tf.reshape(index[:-1], tf.shape(texts)),
    )


class TokenTexts:
    """The texts of the tokens, and the last symbols of the texts of hypotheses.

    Args:
      surfaces: the texts of the tokens.
      width: int32[], W, number of symbols that are remembered of a hypothesis.

    Attributes:
      symbols: int32[S], the symbols of all tokens.
      splits: int32[V + 1], the first symbol of each token, and S.
      length: int32[V], number of symbols of each token.
      table: int32[V, L], the symbols of each token, padded with -1.
      begins_joined, begins_with_space: bool[V], whether a token continues a word, or begins with a space.
    """

    def __init__(self, surfaces: Surfaces, width: tf.Tensor):
        self.surfaces, self.width = surfaces, width
        self.symbols = tf.cast(surfaces.symbols, tf.int32)
        self.splits = tf.constant(surfaces.splits)
        self.length = self.splits[1:] - self.splits[:-1]
        ragged = tf.RaggedTensor.from_row_splits(self.symbols, self.splits, validate=False)
        self.table = ragged.to_tensor(-1)
        self.begins_joined = tf.constant(surfaces.begins_joined)
        self.begins_with_space = tf.constant(surfaces.begins_with_space)

    def start(self, sentences: tf.Tensor) -> tf.Tensor:
        """Returns the last symbols int32[B, 1, W] of the hypotheses before the first token."""
        return tf.fill([sentences, 1, self.width], END)

    def extended(self, last: tf.Tensor, token: tf.Tensor) -> tf.Tensor:
        """Returns the last symbols int32[B, K, W] after a token int32[B, K] each."""
        symbols = tf.concat([last, tf.gather(self.table, token)], -1)
        columns = tf.gather(self.length, token)[:, :, tf.newaxis] + tf.range(self.width)
        return tf.gather(symbols, columns, batch_dims=2)


def suffix_hashes(last: tf.Tensor) -> tf.Tensor:
    """Returns the hashes int64[..., W + 1] of the last 0, 1, ... of the symbols int32[..., W]."""
    values = tf.cast(tf.reverse(last, [-1]) % JOINS + 1, tf.int64)
    hashes = tf.cumsum(values * _powers(tf.shape(last)[-1]), -1)
    return tf.concat([tf.zeros_like(hashes[..., :1]), hashes], -1)


def _powers(count: tf.Tensor) -> tf.Tensor:
    """Returns the powers 0, 1, ... of the base: int64[count]."""
    return tf.math.cumprod(tf.fill([count], tf.constant(_BASE, tf.int64)), exclusive=True)
