"""The constraints of a request, converted from text for the search, and compared with the translations."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from bitext.components.seq2seq.decoding.banned import BannedWords
from bitext.components.seq2seq.decoding.constrained import Constraints
from bitext.components.seq2seq.decoding.phrases import Phrases, TokenTexts, phrases
from bitext.components.seq2seq.decoding.prefix import Prefix
from bitext.components.seq2seq.decoding.required import Required
from bitext.components.seq2seq.model import PAD
from bitext.components.text.processor import TextProcessor
from bitext.components.text.surfaces import surfaces, unjoined_class

_FOLLOWS = rf"(?s)[{unjoined_class()}\p{{Pe}}\p{{Pf}},.:;!?%…。、，．：；！？].*"
"""A phrase that stands behind other text without a space."""


class GivenConstraints(NamedTuple):
    """The constraints of a request, normalized, for B texts.

    Attributes:
      prefix: string[B].
      prefix_ends: bool[B], whether the prefix ends with a space.
      required, banned: the phrases.
      tokens: int32[B, M, L], those of the required phrases.
      forced: the prefix as the search takes it.
      is_writable: bool[B], whether the prefix's tokens have its text.
      unwritable: string[...], the required phrases whose tokens do not have their text.
    """

    prefix: tf.Tensor
    prefix_ends: tf.Tensor
    required: Phrases
    banned: Phrases
    tokens: tf.Tensor
    forced: Prefix
    is_writable: tf.Tensor
    unwritable: tf.Tensor

    @classmethod
    def of(
        cls, target: TextProcessor, prefix: tf.Tensor, required: tf.Tensor, banned: tf.Tensor
    ) -> GivenConstraints:
        """Normalizes the inputs of the signature."""
        ends = tf.strings.regex_full_match(prefix, r"(?s).*[\s\p{Zs}]")
        prefix = target.normalize(prefix)
        ends = tf.logical_and(ends, tf.not_equal(prefix, ""))
        of_required = phrases(_normalized(target, required))
        tokens = _tokens(target, of_required.strings)
        written = target.detokenize(tokens)
        return cls(
            prefix=prefix,
            prefix_ends=ends,
            required=of_required,
            banned=phrases(_normalized(target, banned)),
            tokens=tf.gather(tokens, of_required.index),
            forced=_forced(target, prefix, ends),
            is_writable=tf.equal(target.detokenize(_padded(target.tokenize(prefix))), prefix),
            unwritable=tf.boolean_mask(of_required.strings, tf.not_equal(written, of_required.strings)),
        )

    def constraints(
        self, target: TextProcessor, no_repeat_ngram: tf.Tensor, repetition_penalty: tf.Tensor
    ) -> Constraints:
        """Returns the constraints of the search."""
        width = tf.maximum(tf.shape(self.banned.text)[1], tf.shape(self.required.text)[1]) + 1
        with tf.init_scope():
            pieces = target.pieces()
        texts = TokenTexts(surfaces(pieces, has_bytes=not target.words), width)
        return Constraints(
            texts=texts,
            prefix=self.forced,
            banned=BannedWords(texts, self.banned),
            required=Required.of(self.required, self.tokens),
            no_repeat_ngram=no_repeat_ngram,
            repetition_penalty=repetition_penalty,
        )

    def is_met_by(self, texts: tf.Tensor) -> tf.Tensor:
        """Whether translations string[B, N] meet the constraints: bool[B, N].

        The search compares tokens, but normalization may join what they spell: a letter and an accent.
        """
        required = self.required
        is_missing = required.member[:, tf.newaxis] & ~required.contained(texts)
        is_met = ~tf.reduce_any(tf.concat([is_missing, self.banned.contained(texts)], -1), -1)
        wanted = tf.strings.join([self.prefix, tf.where(self.prefix_ends, " ", "")])[:, tf.newaxis]
        size = tf.broadcast_to(tf.strings.length(wanted), tf.shape(texts))
        return is_met & tf.equal(tf.strings.substr(texts, tf.zeros_like(size), size), wanted)


def _padded(tokens: tf.RaggedTensor) -> tf.Tensor:
    """Pads tokens with 0, to one column at least."""
    dense = tokens.to_tensor(PAD)
    return tf.pad(dense, [[0, 0], [0, tf.maximum(1 - tf.shape(dense)[1], 0)]])


def _normalized(target: TextProcessor, texts: tf.Tensor) -> tf.Tensor:
    """Normalizes phrases string[B, N]: string[B, N + 1], of which the last is "", none."""
    normalized = tf.reshape(target.normalize(tf.reshape(texts, [-1])), tf.shape(texts))
    return tf.pad(normalized, [[0, 0], [0, 1]], constant_values="")


def _tokens(target: TextProcessor, texts: tf.Tensor) -> tf.Tensor:
    """Converts phrases string[D] to the tokens int32[D, L] that they have inside of a translation."""
    both = tf.concat([target.tokenize(texts, "before"), target.tokenize(texts, "between")], 0)
    follows = tf.cast(tf.strings.regex_full_match(texts, _FOLLOWS), tf.int32)
    tokens = _padded(tf.gather(both, tf.range(tf.size(texts)) + tf.size(texts) * follows))
    return tf.where(tf.equal(texts, "")[:, tf.newaxis], PAD, tokens)


def _forced(target: TextProcessor, prefix: tf.Tensor, ends: tf.Tensor) -> Prefix:
    """Divides prefixes string[B] into the tokens of all words but the last, and the bytes of the last."""
    head = tf.where(ends, prefix, tf.strings.regex_replace(prefix, "(?s)(^| )[^ ]*$", ""))
    rest = tf.where(ends, " ", tf.strings.regex_replace(prefix, "(?s)^.* ", ""))
    has_space = ~ends & (prefix != "") & ((head != "") | (target.mark == "before"))
    if target.mark == "after":
        rest, has_space = tf.where(ends, "", rest), tf.zeros_like(ends)
    rest = tf.strings.join([tf.where(has_space, " ", ""), rest])
    bytes_ = tf.strings.bytes_split(rest)
    values = tf.cast(tf.reshape(tf.io.decode_raw(bytes_.values, tf.uint8), [-1]), tf.int32)
    return Prefix(_padded(target.tokenize(head)), bytes_.with_values(values).to_tensor(-1))
