"""Texts that stay whole: placeholders, tags, product names. They are put between separators.

A listed text is found only where its words are whole words: `Go` is not found in `Good`. For that, marks are
put around all runs of letters and digits, in the text and in the listed texts.
"""

from __future__ import annotations

import itertools
import re
import unicodedata

import tensorflow as tf

from bitext.components.text import WHOLE_MARK, TextSettings

SEPARATOR = "\x04"
_BEGIN, _END = "\x01", "\x02"
"""Marks around a run of letters and digits. Normalized text has no control characters."""
_RUN = r"[\p{L}\p{M}\p{N}]+"
_FOUND = f"{SEPARATOR}{WHOLE_MARK}\\0{SEPARATOR}"


def isolate(text: tf.Tensor, settings: TextSettings) -> tf.Tensor:
    """Puts `SEPARATOR` around each text that stays whole, and `WHOLE_MARK` before it.

    Listed texts are found before those of the pattern, and longer ones before shorter ones.

    Args:
      text: string[B], normalized.
      settings: the texts that stay whole.
    """
    if settings.whole_tokens:
        text = tf.strings.regex_replace(text, _RUN, f"{_BEGIN}\\0{_END}")
        text = tf.strings.regex_replace(text, _list_pattern(settings.whole_tokens), _FOUND)
        text = tf.strings.regex_replace(text, f"[{_BEGIN}{_END}]", "")
    return _isolate_in_others(text, settings.whole_token_pattern)


def isolate_symbols(text: tf.Tensor, symbols: tuple[str, ...]) -> tf.Tensor:
    """Does the same for symbols wherever they stand, also within words; the longest one that begins first.

    Args:
      text: string[B], in which other texts may be isolated already.
      symbols: the symbols.
    """
    longest_first = sorted(symbols, key=lambda symbol: (-len(symbol), symbol))
    return _isolate_in_others(text, "|".join(map(re.escape, longest_first)))


def _isolate_in_others(text: tf.Tensor, pattern: str) -> tf.Tensor:
    """Isolates the matches of a pattern in texts string[B], except in what is isolated already."""
    if not pattern:
        return text
    parts = tf.strings.split(text, SEPARATOR)
    found = tf.strings.regex_replace(parts.values, f"(?:{pattern})", _FOUND)
    values = tf.where(is_whole(parts.values), parts.values, found)
    # With `separator`, TensorFlow drops empty strings at the start.
    joined = tf.strings.reduce_join(parts.with_values(values + SEPARATOR), axis=1)
    return tf.strings.regex_replace(joined, f"{SEPARATOR}$", "")


def is_whole(words: tf.Tensor) -> tf.Tensor:
    """Whether each of string[N] has `WHOLE_MARK` before it: bool[N]."""
    return tf.equal(tf.strings.substr(words, 0, 1), WHOLE_MARK)


def unmarked(words: tf.Tensor) -> tf.Tensor:
    """Removes `WHOLE_MARK` from string[N]."""
    return tf.strings.regex_replace(words, WHOLE_MARK, "")


def _list_pattern(texts: tuple[str, ...]) -> str:
    """The regular expression for the listed texts, in marked text."""
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    return "|".join(re.escape(_marked(text)) for text in longest_first)


def _marked(text: str) -> str:
    """A text with marks around its runs of letters and digits."""
    runs = itertools.groupby(text, lambda character: unicodedata.category(character)[0] in "LMN")
    return "".join(f"{_BEGIN}{''.join(run)}{_END}" if is_run else "".join(run) for is_run, run in runs)
