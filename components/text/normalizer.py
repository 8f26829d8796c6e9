"""Normalization as a graph, in core TensorFlow ops: the same as `normalization.normalize`.

One regular expression finds the texts that do not change. In the others, quotation marks and white space are
replaced; only those that may still change are taken apart into code points.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from bitext.components.shared.graphs import graph_function
from bitext.components.text import canonical, characters, ignorables, ordinary

TEXT = tf.TensorSpec([None], tf.string)


def normalize(text: tf.Tensor, *, fold_quotes: bool) -> tf.Tensor:
    """Normalizes text string[B], any bytes, to valid UTF-8; see the rules of `normalization`."""
    return _normalizer(fold_quotes)(text)


@functools.cache
def _normalizer(fold_quotes: bool) -> tf.types.experimental.PolymorphicFunction:
    """The function of each setting. It is one function, so that a graph contains its tables once."""

    @graph_function(input_signature=[TEXT])
    def normalize_text(text: tf.Tensor) -> tf.Tensor:
        def normalize_some(text: tf.Tensor) -> tf.Tensor:
            text = _replace_common(text, fold_quotes)
            return _where_not_ordinary(text, fold_quotes, functools.partial(_normalize_all, table=table))

        table = _table(fold_quotes)
        return _where_not_ordinary(text, fold_quotes, normalize_some)

    return normalize_text


def _where_not_ordinary(
    text: tf.Tensor, fold_quotes: bool, normalize_some: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Applies a function to those texts string[B] that normalization could change."""
    other = tf.where(~tf.strings.regex_full_match(text, ordinary.pattern(fold_quotes)))

    def normalized() -> tf.Tensor:
        return tf.tensor_scatter_nd_update(text, other, normalize_some(tf.gather_nd(text, other)))

    return tf.cond(tf.size(other) > 0, normalized, lambda: text)


def _replace_common(text: tf.Tensor, fold_quotes: bool) -> tf.Tensor:
    """Makes text string[B] valid UTF-8 and replaces quotation marks and white space: few texts need more."""
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    if fold_quotes:
        for quotes, new in ((characters.SINGLE_QUOTES, "'"), (characters.DOUBLE_QUOTES, '"')):
            text = tf.strings.regex_replace(text, f"[{quotes}]", new)
    text = tf.strings.regex_replace(text, f"[{characters.re2_class(characters.white_space())}]+", " ")
    return tf.strings.strip(text)


def _normalize_all(text: tf.Tensor, table: canonical.Expansions) -> tf.Tensor:
    """Normalizes text string[B], valid UTF-8, by its code points."""
    for pattern, new in ignorables.re2_rules():
        text = tf.strings.regex_replace(text, pattern, new)
    cjk = tf.strings.regex_full_match(text, f"(?s).*[{characters.re2_class(characters.CJK_LETTERS)}].*")
    decoded = tf.strings.unicode_decode(text, "UTF-8")
    codes, splits = decoded.values, tf.cast(decoded.row_splits, tf.int32)
    is_punctuation = tf.reduce_any(
        tf.equal(codes[:, None], [ord(mark) for mark in characters.CJK_PUNCTUATION]), axis=1
    )
    kept = is_punctuation & tf.repeat(cjk, splits[1:] - splits[:-1])
    return _with_single_spaces(_recomposed(codes, splits, kept, table))


def _recomposed(
    codes: tf.Tensor, splits: tf.Tensor, kept: tf.Tensor, table: canonical.Expansions
) -> tf.Tensor:
    """Replaces the code points int32[N] of texts and composes them; returns the texts string[B]."""
    codes, lengths = canonical.decompose(codes, kept, table)
    splits = _new_splits(splits, lengths)
    classes, first = canonical.combining_classes(codes), _is_first(codes, splits)
    codes, classes = canonical.reorder(codes, classes, first)
    codes, present = canonical.compose(codes, classes, first)
    splits = _new_splits(splits, tf.cast(present, tf.int32))
    composed = tf.RaggedTensor.from_row_splits(tf.boolean_mask(codes, present), splits, validate=False)
    return tf.strings.unicode_encode(composed, "UTF-8")


def _with_single_spaces(text: tf.Tensor) -> tf.Tensor:
    return tf.strings.strip(tf.strings.regex_replace(text, " +", " "))


def _is_first(codes: tf.Tensor, splits: tf.Tensor) -> tf.Tensor:
    """Whether a code point is the first of its row: bool[N]."""
    starts = tf.boolean_mask(splits[:-1], splits[:-1] < splits[1:])[:, None]
    return tf.tensor_scatter_nd_update(
        tf.zeros_like(codes, tf.bool), starts, tf.ones_like(starts[:, 0], tf.bool)
    )


def _new_splits(splits: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """The row splits after each element has become `lengths` elements."""
    return tf.gather(tf.concat([[0], tf.cumsum(lengths)], 0), splits)


@functools.cache
def replacer(
    replacements: tuple[tuple[str, str], ...], *, keeps_spaces: bool
) -> tf.types.experimental.PolymorphicFunction:
    """Returns a function that replaces characters of normalized text string[B] and composes the result.

    It is one function for equal replacements, so that a graph contains its table once.

    Args:
      replacements: characters and what replaces them.
      keeps_spaces: whether several spaces, and spaces at the ends, stay.
    """
    table = canonical.expansions({ord(old): new for old, new in replacements})
    ranges = characters.to_ranges(ord(old) for old, _ in replacements)
    pattern = f"(?s).*[{characters.re2_class(ranges)}].*"

    @graph_function(input_signature=[TEXT])
    def replace(text: tf.Tensor) -> tf.Tensor:
        rows = tf.where(tf.strings.regex_full_match(text, pattern))

        def some() -> tf.Tensor:
            decoded = tf.strings.unicode_decode(tf.gather_nd(text, rows), "UTF-8")
            codes, splits = decoded.values, tf.cast(decoded.row_splits, tf.int32)
            new = _recomposed(codes, splits, tf.zeros_like(codes, tf.bool), table)
            new = new if keeps_spaces else _with_single_spaces(new)
            return tf.tensor_scatter_nd_update(text, rows, new)

        return tf.cond(tf.size(rows) > 0, some, lambda: text)

    return replace


@functools.cache
def _table(fold_quotes: bool) -> canonical.Expansions:
    """All replacements, white space included."""
    spaces = dict.fromkeys(characters.code_points(characters.white_space()), " ")
    return canonical.expansions(spaces | characters.replacements(fold_quotes, cjk=False))
