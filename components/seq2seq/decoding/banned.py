"""Banned words: phrases that no translation may contain, whichever tokens spell them.

A ban of token sequences (Kajiwara 2019; `suppress_sequences` in CTranslate2) bans one way to cut a phrase
into tokens; the search then takes another way. Here the texts of the tokens are compared: a token is
forbidden if it completes a banned phrase. A ban of `art` forbids neither `party` nor the one token
`article`. It does forbid the tokens `art`, `icle`: after a word whose most probable end is forbidden, a
search would write one that does not exist.
"""

from __future__ import annotations

import tensorflow as tf

from bitext.components.seq2seq.decoding.phrases import Phrases, TokenTexts, suffix_hashes
from bitext.components.text.surfaces import JOINS, SPACE, Starts


class BannedWords:
    """The tokens that banned phrases forbid, for one request.

    Args:
      texts: the texts of the tokens.
      banned: the phrases.
    """

    def __init__(self, texts: TokenTexts, banned: Phrases):
        self.texts, self.banned, self.hashes, self.member = texts, banned, banned.hashes, banned.member
        self._longest = tf.reduce_max(texts.length)
        self._token_of = tf.repeat(tf.range(tf.size(texts.length)), texts.length)
        phrases, columns = tf.unstack(tf.shape(banned.text))
        self._is_suffix = tf.range(columns) < banned.length[:, tf.newaxis]
        self._after = self._completing(tf.range(phrases * columns), texts.surfaces.first)
        within = self._completing(tf.range(phrases) * columns, texts.surfaces.later)
        self._within = self._by_sentence(within)

    def _by_sentence(self, tokens: tf.RaggedTensor) -> tf.RaggedTensor:
        """Converts the tokens int32[D, None] of each phrase to those of each sentence: int32[B, None]."""
        pairs, sentences = tf.where(self.member), tf.shape(self.member, tf.int64)[0]
        splits = tf.searchsorted(pairs[:, 0], tf.range(sentences + 1), out_type=tf.int64)
        tokens = tf.gather(tokens, pairs[:, 1])
        return tf.RaggedTensor.from_row_splits(tokens, splits, validate=False).merge_dims(1, 2)

    def _completing(self, suffixes: tf.Tensor, starts: Starts) -> tf.RaggedTensor:
        """Finds the tokens int32[Q, None] that have the rest of a phrase from one of the places on.

        Args:
          suffixes: int32[Q], d * M + i: what follows the first i bytes of phrase d.
          starts: where the rest may begin.
        """
        columns = tf.shape(self.banned.text)[1]
        phrase, first = suffixes // columns, suffixes % columns
        rest = tf.gather(self.banned.length, phrase) - first
        byte = tf.maximum(tf.gather_nd(self.banned.text, tf.stack([phrase, first], -1)), 0)
        splits = tf.constant(starts.splits)
        low = tf.gather(splits, byte)
        places = tf.ragged.range(low, tf.where(rest > 0, tf.gather(splits, byte + 1), low))
        row, place = places.value_rowids(), tf.gather(tf.constant(starts.place), places.values)
        token = tf.gather(self._token_of, place)
        fits = tf.where(place + tf.gather(rest, row) <= tf.gather(self.texts.splits, token + 1))[:, 0]
        row, place, token = (tf.gather(tensor, fits) for tensor in (row, place, token))
        completes = tf.where(self._completes(tf.gather(suffixes, row), place, token))[:, 0]
        return tf.RaggedTensor.from_value_rowids(
            tf.gather(token, completes),
            tf.gather(row, completes),
            tf.size(suffixes, tf.int64),
            validate=False,
        )

    def _completes(self, suffix: tf.Tensor, place: tf.Tensor, token: tf.Tensor) -> tf.Tensor:
        """Whether suffixes int32[P] are at places int32[P] of tokens int32[P], as whole words: bool[P]."""
        banned, symbols, columns = self.banned, self.texts.symbols, tf.shape(self.banned.text)[1]
        phrase, first = suffix // columns, suffix % columns
        rest = tf.gather(banned.length, phrase) - first
        step = tf.range(tf.minimum(self._longest, columns))
        expected = _window(tf.reshape(banned.text, [-1]), suffix, step)
        is_equal = tf.equal(_window(symbols, place, step) % JOINS, expected)
        is_equal = tf.reduce_all(tf.logical_or(step >= rest[:, tf.newaxis], is_equal), 1)
        start, end = (tf.gather(self.texts.splits, token + ends) for ends in (0, 1))
        after, before = (_window(symbols, place + shift, tf.range(1))[:, 0] for shift in (rest, -1))
        goes_on = (place + rest < end) & (after >= JOINS) & tf.gather(banned.ends, phrase)
        is_inner = (place > start) & (before >= JOINS) & (first < 1) & tf.gather(banned.begins, phrase)
        return is_equal & ~goes_on & ~is_inner

    def forbidden(self, sentence: tf.Tensor, last: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the tokens that must not come next.

        Args:
          sentence: int32[R], index of each hypothesis's sentence.
          last: int32[R, W], its last symbols.

        Returns:
          Pairs int32[Q, 2] of a hypothesis and a token. And bool[R, V], true for a space after a space.
        """
        banned, columns = self.banned, tf.shape(self.banned.text)[1]
        member = tf.gather(self.member, sentence)
        hashes = suffix_hashes(last)[:, tf.newaxis, :columns]
        active = tf.logical_and(tf.equal(hashes, self.hashes), member[:, :, tf.newaxis])
        is_joined = tf.reverse(last, [1])[:, tf.newaxis, :columns] >= JOINS
        is_inner = tf.logical_and(is_joined, banned.begins[:, tf.newaxis])
        begun = tf.where(active & ~is_inner & self._is_suffix)
        suffix = tf.cast(begun[:, 1] * tf.cast(columns, tf.int64) + begun[:, 2], tf.int32)
        pairs = [
            _pairs(tf.cast(begun[:, 0], tf.int32), tf.gather(self._after, suffix)),
            _pairs(tf.range(tf.size(sentence)), tf.gather(self._within, sentence)),
        ]
        has_space = tf.logical_and(tf.equal(last[:, -1], SPACE), tf.reduce_any(member, 1))[:, tf.newaxis]
        return tf.concat(pairs, 0), tf.logical_and(has_space, self.texts.begins_with_space)


def _pairs(rows: tf.Tensor, tokens: tf.RaggedTensor) -> tf.Tensor:
    """Returns each row int32[R] with each of its tokens int32[R, None]: int32[Q, 2]."""
    return tf.stack([tf.gather(rows, tokens.value_rowids()), tokens.values], -1)


def _window(values: tf.Tensor, first: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Returns the values at first int32[P] + step int32[S]: int32[P, S]. Outside is what is nearest."""
    index = first[:, tf.newaxis] + step
    return tf.gather(values, tf.clip_by_value(index, 0, tf.size(values) - 1))
