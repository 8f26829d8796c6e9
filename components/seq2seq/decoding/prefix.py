"""A forced prefix: every hypothesis begins with a text, whose last word may go on.

The words before the last one are forced as tokens (Wuebker et al. 2016). The last one is forced as bytes,
because its tokens depend on how it goes on: after `esta`, a model writes the one token `estación`, not the
tokens `esta`, `ción`.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bitext.components.seq2seq.decoding.phrases import TokenTexts
from bitext.components.text.surfaces import JOINS


class Prefix(NamedTuple):
    """The prefixes of B sentences.

    Attributes:
      tokens: int32[B, P], the first tokens of each hypothesis, padded with 0.
      rest: int32[B, T], the bytes that their text then begins with, padded with -1.
    """

    tokens: tf.Tensor
    rest: tf.Tensor

    @property
    def token_count(self) -> tf.Tensor:
        """The number of tokens int32[B]."""
        return tf.math.count_nonzero(self.tokens, 1, dtype=tf.int32)

    @property
    def rest_length(self) -> tf.Tensor:
        """The number of bytes of the rest int32[B]."""
        return tf.math.count_nonzero(self.rest >= 0, 1, dtype=tf.int32)

    def advanced(
        self, sentence: tf.Tensor, written: tf.Tensor, before: tf.Tensor, bytes_: tf.Tensor
    ) -> tf.Tensor:
        """Returns the bytes int32[B, K] that hypotheses have of the rest after one more token.

        Args:
          sentence: int32[B], indices of the sentences.
          written: int32[B, K], the bytes before it.
          before: int32[], the number of tokens before it.
          bytes_: int32[B, K], the bytes of the token.
        """
        is_rest = before >= tf.gather(self.token_count, sentence)
        added = tf.where(is_rest[:, tf.newaxis], bytes_, 0)
        return tf.minimum(written + added, tf.gather(self.rest_length, sentence)[:, tf.newaxis])

    def is_within(self, sentence: tf.Tensor, written: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """Whether the next token of hypotheses belongs to the prefix: bool[R].

        Args:
          sentence: int32[R], the sentence of each.
          written: int32[R], the bytes that it has of the rest.
          length: int32[], number of tokens, the next one included.
        """
        is_rest = written < tf.gather(self.rest_length, sentence)
        return tf.logical_or(self.is_token(sentence, length), is_rest)

    def is_token(self, sentence: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """Whether the next token is forced as such: bool[R]. Arguments as of `is_within`."""
        return length <= tf.gather(self.token_count, sentence)

    def forced(
        self, texts: TokenTexts, sentence: tf.Tensor, written: tf.Tensor, length: tf.Tensor, size: int
    ) -> tf.Tensor:
        """Finds the tokens that may come next in a prefix: bool[R, `size`]. Arguments as of `is_within`."""
        padded = tf.pad(self.tokens, [[0, 0], [0, 1]])
        token = tf.gather(padded[:, tf.minimum(length, tf.shape(padded)[1]) - 1], sentence)[:, tf.newaxis]
        is_token = tf.equal(token, tf.range(size))
        width = tf.shape(texts.table)[1]
        rest = tf.pad(self.rest, [[0, 0], [0, width]], constant_values=-1)
        columns = written[:, tf.newaxis] + tf.range(width)
        expected = tf.gather_nd(
            rest, tf.stack([tf.broadcast_to(sentence[:, tf.newaxis], tf.shape(columns)), columns], -1)
        )

        def compare(column: tf.Tensor, fits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            """Compares one byte of every token with the expected one; -1 is no byte."""
            symbol, byte = texts.table[:, column], expected[:, column, tf.newaxis]
            is_equal = tf.equal(symbol % JOINS, byte)
            return column + 1, fits & (is_equal | (symbol < 0) | (byte < 0))

        fits = tf.tile((texts.length > 0)[tf.newaxis], [tf.size(sentence), 1])
        _, fits = tf.while_loop(lambda column, _: column < width, compare, (0, fits), parallel_iterations=1)
        fits = tf.pad(fits, [[0, 0], [0, size - tf.shape(fits)[1]]])
        return tf.where(token > 0, is_token, fits)
