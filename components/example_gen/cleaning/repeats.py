"""Finds words that a text repeats in succession."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.example_gen.cleaning.texts import Texts
from bitext.components.example_gen.rows import Mask, to_ints

LONGEST = 8
"""Most words of a phrase whose repetitions are counted."""
_DENSE = (
    r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Yi}\p{Javanese}])"
)
"""A letter of the scripts without blanks between words."""


def most(texts: Texts, at_least: int) -> npt.NDArray[np.int64]:
    """How often each text has the same phrase of 1 to `LONGEST` words in succession: int64[N], at least 1.

    In scripts without blanks between words, each character is a word.

    Args:
      texts: the texts.
      at_least: smaller numbers may be given as 1.
    """
    counts = np.ones(len(texts.array), np.int64)
    rows = np.flatnonzero(np.where(texts.without_blanks, texts.lengths, texts.words) >= at_least)
    if len(rows):
        counts[rows] = _most(texts.array.take(pa.array(rows)), texts.without_blanks[rows])
    return counts


def _most(array: pa.Array, dense: Mask) -> npt.NDArray[np.int64]:
    """As `most`, for texts of which some are in scripts without blanks."""
    if dense.any():
        spaced = pc.replace_substring_regex(
            pc.filter(array, pa.array(dense)), pattern=_DENSE, replacement=r" \1 "
        )
        array = pc.replace_with_mask(array, pa.array(dense), spaced)
    words = pc.ascii_split_whitespace(pc.ascii_trim_whitespace(array))
    row = to_ints(pc.list_parent_indices(words))
    codes = to_ints(pc.list_flatten(words).dictionary_encode().indices)
    counts = np.ones(len(array), np.int64)
    for lag in range(1, LONGEST + 1):
        equal = (codes[lag:] == codes[:-lag]) & (row[lag:] == row[:-lag])
        if not equal.any():
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[0], equal.view(np.int8), [0]])))
        first, after = edges[::2], edges[1::2]
        np.maximum.at(counts, row[first], (after - first) // lag + 1)
    return counts
