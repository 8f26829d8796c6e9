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

_WITHOUT_SPACE = rf"(?s)[{unjoined_class()}\p{{Pe}}\p{{Pf}},.:;!?%…。、，．：；！？].*"
"""A phrase before which no space stands."""


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
        # One phrase at least, "": none.
        inputs = [
            prefix,
            *(tf.pad(texts, [[0, 0], [0, 1]], constant_values="") for texts in (required, banned)),
        ]
        flat = target.normalize(tf.concat([tf.reshape(texts, [-1]) for texts in inputs], 0))
        parts = tf.split(flat, [tf.size(texts) for texts in inputs], num=3)
        prefix, required, banned = (
            tf.reshape(part, tf.shape(texts)) for part, texts in zip(parts, inputs, strict=True)
        )
        ends = tf.logical_and(ends, tf.not_equal(prefix, ""))
        of_required, head = phrases(required), _head(prefix, ends)
        # All texts at once: every call adds the whole text path to the graph.
        spelled = tf.concat([head, prefix, of_required.strings], 0)
        stands_behind = ~tf.strings.regex_full_match(of_required.strings, _WITHOUT_SPACE)
        at_start = tf.fill([2 * tf.size(prefix)], target.mark == "before")
        tokens = target.tokenize_normalized(spelled, tf.concat([at_start, stands_behind], 0)).to_tensor(PAD)
        tokens = tf.pad(tokens, [[0, 0], [0, tf.maximum(1 - tf.shape(tokens)[1], 0)]])
        is_same = tf.equal(target.detokenize(tokens), spelled)
        sizes = [tf.size(prefix), tf.size(prefix), tf.size(of_required.strings)]
        of_head, _, of_phrases = tf.split(tokens, sizes, num=3)
        _, is_writable, is_spelled = tf.split(is_same, sizes, num=3)
        return cls(
            prefix=prefix,
            prefix_ends=ends,
            required=of_required,
            banned=phrases(banned),
            tokens=tf.gather(of_phrases, of_required.index),
            forced=Prefix(of_head, _rest(prefix, ends, head, target.mark)),
            is_writable=is_writable,
            unwritable=tf.boolean_mask(of_required.strings, ~is_spelled),
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


def _head(prefix: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """Returns all words of prefixes string[B] but the last, or with the last if they end with a space."""
    return tf.where(ends, prefix, tf.strings.regex_replace(prefix, "(?s)(^| )[^ ]*$", ""))


def _rest(prefix: tf.Tensor, ends: tf.Tensor, head: tf.Tensor, mark: str) -> tf.Tensor:
    """Returns the bytes int32[B, T] of the tokens behind the head of a prefix, padded with -1."""
    rest = tf.where(ends, " ", tf.strings.regex_replace(prefix, "(?s)^.* ", ""))
    has_space = ~ends & (prefix != "") & ((head != "") | (mark == "before"))
    if mark == "after":
        rest, has_space = tf.where(ends, "", rest), tf.zeros_like(ends)
    bytes_ = tf.strings.bytes_split(tf.strings.join([tf.where(has_space, " ", ""), rest]))
    values = tf.cast(tf.reshape(tf.io.decode_raw(bytes_.values, tf.uint8), [-1]), tf.int32)
    return bytes_.with_values(values).to_tensor(-1)
