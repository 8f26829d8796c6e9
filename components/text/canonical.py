"""Unicode's canonical composition (NFC) of many texts at once, in core TensorFlow ops on code points.

The texts are one flat tensor of code points. `decompose` replaces each by its table entry, `reorder` sorts
the marks of each sequence, `compose` joins them to the letters (UAX #15). Except for the sort, time is linear
in the number of code points, also in a text of a million marks.
"""

from __future__ import annotations

import functools
import unicodedata
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bitext.components.text import characters

_PAIR = 2**21
"""A pair of code points is one key: `first * _PAIR + second`."""
_SYLLABLES, _LAST_SYLLABLE = 0xAC00, 0xD7A3
_LEADING, _VOWELS, _TRAILING = (0x1100, 19), (0x1161, 21), (0x11A7, 28)
"""The first code point and the number of each kind of Hangul letter; the first of `_TRAILING` is none."""
Codes = npt.NDArray[np.int32]


class Expansions(NamedTuple):
    """What replaces each code point, as a table that `tf.searchsorted` reads.

    Attributes:
      breaks: the first code point of each range; the first is 0.
      offsets: where the replacement of the range's only code point begins in `codes`, or -1: no replacement.
      lengths: number of code points that replace one; 1 without replacement.
      codes: the replacements, one after the other.
    """

    breaks: Codes
    offsets: Codes
    lengths: Codes
    codes: Codes


def expansions(replacements: dict[int, str]) -> Expansions:
    """Builds the table of the characters that are replaced or canonically decomposed, or both.

    Hangul syllables are left as they are: composition never needs their letters.
    """
    rows: list[tuple[int, int, int]] = [(0, -1, 1)]
    codes: list[int] = []
    for code, text in sorted(characters.decompositions(replacements).items()):
        if rows[-1][0] == code:
            rows.pop()
        rows += [(code, len(codes), len(text)), (code + 1, -1, 1)]
        codes += map(ord, text)
    breaks, offsets, lengths = np.array(rows, np.int32).T
    return Expansions(breaks, offsets, lengths, np.array(codes, np.int32))


def decompose(codes: tf.Tensor, kept: tf.Tensor, table: Expansions) -> tuple[tf.Tensor, tf.Tensor]:
    """Replaces code points.

    Args:
      codes: int32[N].
      kept: bool[N], whether a code point stays although the table replaces it.
      table: what replaces each.

    Returns:
      int32[M], and int32[N], how many code points have come from each.
    """
    row = tf.searchsorted(table.breaks, codes, side="right") - 1
    offsets = tf.where(kept, -1, tf.gather(table.offsets, row))
    lengths = tf.where(kept, 1, tf.gather(table.lengths, row))
    starts = tf.cumsum(lengths, exclusive=True)
    index = tf.repeat(tf.range(tf.size(codes)), lengths)
    within = tf.range(tf.size(index)) - tf.gather(starts, index)
    offset = tf.gather(offsets, index)
    replaced = tf.gather(table.codes, tf.maximum(offset, 0) + tf.where(offset < 0, 0, within))
    return tf.where(offset < 0, tf.gather(codes, index), replaced), lengths


def combining_classes(codes: tf.Tensor) -> tf.Tensor:
    """The canonical combining class of each code point int32[N]."""
    breaks, classes = _class_table()
    return tf.gather(classes, tf.searchsorted(breaks, codes, side="right") - 1)


def reorder(codes: tf.Tensor, classes: tf.Tensor, first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sorts the marks after each starter by combining class; marks of one class stay in order.

    Args:
      codes: int32[N].
      classes: int32[N], their combining classes.
      first: bool[N], whether a code point is the first of its text.

    Returns:
      The codes and classes in canonical order.
    """
    sequence = tf.cumsum(tf.cast(tf.equal(classes, 0) | first, tf.int32))
    marks = tf.where(classes > 0)
    keys = tf.gather_nd(tf.cast(sequence, tf.int64) * 256 + tf.cast(classes, tf.int64), marks)
    order = tf.argsort(keys, stable=True)
    sort = functools.partial(tf.tensor_scatter_nd_update, indices=marks)
    return (
        sort(codes, updates=tf.gather(tf.gather_nd(codes, marks), order)),
        sort(classes, updates=tf.gather(tf.gather_nd(classes, marks), order)),
    )


def compose(codes: tf.Tensor, classes: tf.Tensor, first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Composes decomposed code points in canonical order.

    The texts are cut into clusters: a starter and what could be composed with it. A loop composes all of
    them at once. A mark that is not composed blocks the others of its class, so that they are skipped, and a
    cluster takes no more steps than it has classes and compositions.

    Args:
      codes: int32[N], decomposed except for Hangul.
      classes: int32[N], their combining classes.
      first: bool[N], whether a code point is the first of its text.

    Returns:
      int32[N], in which some code points are composites, and bool[N], whether each is still there.
    """
    size = tf.size(codes)
    previous = tf.concat([[0], codes[:-1]], 0)[:size]
    cut = first | (tf.equal(classes, 0) & ~_may_compose(previous, codes))
    starts = tf.cast(tf.where(cut)[:, 0], tf.int32)
    ends = tf.concat([starts[1:], [size]], 0)[: tf.size(starts)]
    longer = tf.where((ends - starts > 1) & tf.equal(tf.gather(classes, starts), 0))[:, 0]
    starts, ends = tf.gather(starts, longer), tf.gather(ends, longer)
    after_class = _ends_of_runs(classes, cut | tf.equal(classes, 0))

    def more(starter: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return tf.size(starter) > 0

    def step(
        starter: tf.Tensor,
        position: tf.Tensor,
        end: tf.Tensor,
        last: tf.Tensor,
        codes: tf.Tensor,
        present: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        code, number = tf.gather(codes, position), tf.gather(classes, position)
        composite = _composites(tf.gather(codes, starter), code)
        done = (composite >= 0) & ((number > 0) | tf.equal(last, 0))
        joined = tf.where(done)
        codes = tf.tensor_scatter_nd_update(
            codes, tf.gather_nd(starter, joined)[:, None], tf.gather_nd(composite, joined)
        )
        taken = tf.gather_nd(position, joined)[:, None]
        present = tf.tensor_scatter_nd_update(present, taken, tf.zeros_like(taken[:, 0], tf.bool))
        starter = tf.where(~done & tf.equal(number, 0), position, starter)
        last = tf.where(done, last, number)
        position = tf.where(done, position + 1, tf.gather(after_class, position))
        rest = tf.where(position < end)[:, 0]
        return *(tf.gather(x, rest) for x in (starter, position, end, last)), codes, present

    state = [starts, starts + 1, ends, tf.zeros_like(starts), codes, tf.ones_like(codes, tf.bool)]
    shapes = [tf.TensorShape([None])] * len(state)
    *_, codes, present = tf.while_loop(more, step, state, shape_invariants=shapes)
    return codes, present


def _ends_of_runs(classes: tf.Tensor, cut: tf.Tensor) -> tf.Tensor:
    """For each position, where the run of equal classes ends that it is in: int32[N]."""
    size = tf.size(classes)
    previous = tf.concat([[-1], classes[:-1]], 0)[:size]
    begins = cut | tf.not_equal(classes, previous)
    starts = tf.cast(tf.where(begins)[:, 0], tf.int32)
    run = tf.cumsum(tf.cast(begins, tf.int32))
    return tf.gather(tf.concat([starts, [size]], 0), run)


def _composites(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """The composite of each pair of code points, or -1: int32[N]."""
    keys, composites = _pair_table()
    key = _keys(first, second)
    index = tf.minimum(tf.searchsorted(keys, key), len(keys) - 1)
    result = tf.where(tf.equal(tf.gather(keys, index), key), tf.gather(composites, index), -1)
    leading, vowel, trailing = first - _LEADING[0], second - _VOWELS[0], second - _TRAILING[0]
    syllable = first - _SYLLABLES
    result = tf.where(
        _within(leading, _LEADING[1]) & _within(vowel, _VOWELS[1]),
        _SYLLABLES + (leading * _VOWELS[1] + vowel) * _TRAILING[1],
        result,
    )
    open_syllable = _within(syllable, _LAST_SYLLABLE + 1 - _SYLLABLES) & tf.equal(syllable % _TRAILING[1], 0)
    return tf.where(open_syllable & (trailing > 0) & (trailing < _TRAILING[1]), first + trailing, result)


def _may_compose(previous: tf.Tensor, starter: tf.Tensor) -> tf.Tensor:
    """Whether a starter could be composed with what precedes it: bool[N]."""
    keys, key = _neighbors(), _keys(previous, starter)
    found = tf.equal(tf.gather(keys, tf.minimum(tf.searchsorted(keys, key), len(keys) - 1)), key)
    vowel = _within(starter - _VOWELS[0], _VOWELS[1]) & _within(previous - _LEADING[0], _LEADING[1])
    after_vowel = _within(previous - _VOWELS[0], _VOWELS[1]) | _within(
        previous - _SYLLABLES, _LAST_SYLLABLE + 1 - _SYLLABLES
    )
    return found | vowel | (after_vowel & _within(starter - _TRAILING[0], _TRAILING[1]))


def _within(offset: tf.Tensor, size: int) -> tf.Tensor:
    return (offset >= 0) & (offset < size)


def _keys(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    return tf.cast(first, tf.int64) * _PAIR + tf.cast(second, tf.int64)


def _codes(text: str) -> list[int]:
    """The code points of a text's canonical decomposition."""
    return [ord(c) for c in unicodedata.normalize("NFD", text)]


@functools.cache
def _class_table() -> tuple[Codes, Codes]:
    """The first code point of each range with one combining class, and the classes."""
    classes = characters.combining_marks()
    rows = [(0, 0)]
    for code in sorted({*classes, *(code + 1 for code in classes)}):
        if classes.get(code, 0) != rows[-1][1]:
            rows.append((code, classes.get(code, 0)))
    breaks, numbers = np.array(rows, np.int32).T
    return breaks, numbers


@functools.cache
def _pair_table() -> tuple[npt.NDArray[np.int64], Codes]:
    """The keys of the pairs that compose, ascending, and the composites."""
    pairs = sorted(
        (first * _PAIR + second, code) for (first, second), code in characters.compositions().items()
    )
    return np.array([key for key, _ in pairs], np.int64), np.array([code for _, code in pairs], np.int32)


@functools.cache
def _neighbors() -> npt.NDArray[np.int64]:
    """The keys of a starter that can be the second of a pair with each code point that can be before it: the
    first of the pair, or the last of its decomposition."""
    marks = characters.combining_marks()
    pairs = [pair for pair in characters.compositions() if pair[1] not in marks]
    before = {(code, second) for first, second in pairs for code in (first, _codes(chr(first))[-1])}
    return np.array(sorted(first * _PAIR + second for first, second in before), np.int64)
