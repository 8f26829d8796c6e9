"""Splits normalized text into words, in core TensorFlow ops."""

from __future__ import annotations

import tensorflow as tf

from bitext.components.artifacts.transform_graph import OF_LEARNED, Segmentation
from bitext.components.text import WORD_BOUNDARY, TextSettings, normalizer, whole_tokens

_WORD = "[\\p{L}\\p{M}][\\p{L}\\p{M}\u180e\u200c\u200d]*"
"""Letters and marks, and what joins or separates them within a word of some scripts."""
# Letters (with apostrophes between them), digits, or other characters; each with the word boundary before it.
_PRETOKEN = f"\u2581?{_WORD}(?:['\u2019]{_WORD})*|\u2581?\\p{{N}}+|\u2581?[^\u2581\\p{{L}}\\p{{M}}\\p{{N}}]+"
LONGEST_PRETOKEN = 32
"""Characters of the longest pretoken, without the marks of the last one. Longer ones are split, which bounds
the time of byte-pair encoding."""
MOST_LAST_MARKS = 8
_CUT = f"[^ ]{{{LONGEST_PRETOKEN}}}[\\p{{M}}\u180e\u200c\u200d]{{0,{MOST_LAST_MARKS}}}"
LONGEST_WORD = 500
"""Characters of the longest word between spaces. Byte-pair encoding cuts longer ones."""
_CUT_WORD = f"[^ ]{{{LONGEST_WORD}}}"


def pretokenize(
    text: tf.Tensor,
    segmentation: Segmentation = OF_LEARNED,
    settings: TextSettings | None = None,
    follows: tf.Tensor | None = None,
) -> tf.RaggedTensor:
    """Splits normalized text into pretokens.

    Args:
      text: string[B], normalized; `replaced` if the segmentation has replacements.
      segmentation: where text is split.
      settings: which texts stay whole; None: none.
      follows: bool[B], whether a space stands before each text; None: as at the start of a sentence.

    Returns:
      string[B, None]. Spaces have become U+2581. With `mark: before`, one more is at the start of each text:
      the joined pretokens without their first character are the text. A pretoken that stays whole has
      `WHOLE_MARK` before it.
    """
    keeps_whole = bool(segmentation.symbols) or (settings is not None and settings.keeps_whole)
    marked = whole_tokens.isolate(text, settings) if settings is not None else text
    marked = whole_tokens.isolate_symbols(marked, segmentation.symbols)
    if segmentation.mark != "after" and follows is not None:
        marked = tf.where(tf.logical_and(follows, tf.not_equal(text, "")), WORD_BOUNDARY + marked, marked)
    elif segmentation.mark == "before":
        marked = tf.where(tf.equal(text, ""), text, WORD_BOUNDARY + marked)
    elif segmentation.mark == "after":
        marked = tf.where(tf.equal(text, ""), text, marked + WORD_BOUNDARY)
    if not keeps_whole:
        return tf.strings.split(_separated(marked, segmentation))
    parts = tf.strings.split(marked, whole_tokens.SEPARATOR)
    texts = parts.values
    joined = tf.strings.regex_replace(texts, " ", WORD_BOUNDARY)
    words = tf.where(whole_tokens.is_whole(texts), joined, _separated(texts, segmentation))
    return parts.with_values(tf.strings.split(words)).merge_dims(1, 2)


def _separated(text: tf.Tensor, segmentation: Segmentation) -> tf.Tensor:
    """Replaces the spaces of texts string[N] by U+2581 and puts a space between two pretokens."""
    marked = tf.strings.regex_replace(text, " ", WORD_BOUNDARY)
    if segmentation.split == "nothing":
        return marked
    if segmentation.split == "spaces":
        space = "\\0 " if segmentation.mark == "after" else " \\0"
        marked = tf.strings.regex_replace(marked, f"{WORD_BOUNDARY}+", space)
        is_cut = segmentation.model == "bpe"
        return tf.strings.regex_replace(marked, _CUT_WORD, "\\0 ") if is_cut else marked
    marked = tf.strings.regex_replace(marked, _PRETOKEN, "\\0 ")
    return tf.strings.regex_replace(marked, _CUT, "\\0 ")


def replaced(text: tf.Tensor, segmentation: Segmentation) -> tf.Tensor:
    """Applies the replacements of characters to normalized text string[B].

    Marks are composed with the new letters (NFC). Several spaces become one and spaces at the ends are
    removed, unless the segmentation keeps them.
    """
    if not segmentation.replacements:
        return text
    replacements = tuple(sorted(segmentation.replacements.items()))
    return normalizer.replacer(replacements, keeps_spaces=segmentation.keeps_spaces)(text)
