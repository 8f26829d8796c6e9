"""Finds sides that are nearly copied: most words of the one are also in the other."""

from __future__ import annotations

import re
from typing import cast

import numpy as np
import numpy.typing as npt

from bitext.components.example_gen.cleaning.texts import Texts
from bitext.components.shared.strings import bytes_of

LEAST_WORDS = 4
"""Sides with fewer words that are no names are not judged."""
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_BUCKETS = 32


def shared_words(pair: tuple[Texts, Texts], over: float) -> npt.NDArray[np.float64]:
    """The share of the words of each pair that both sides have, of the words of the longer side: float64[N].

    Words that begin with a capital letter do not count: they may be names.

    Args:
      pair: both sides.
      over: smaller shares may be given as 0; so are those of short sides.
    """
    shares = np.zeros(len(pair[0].array))
    # Equal words have equal letters: few pairs have about the same bytes.
    counts = [_byte_counts(texts) for texts in pair]
    size = np.maximum(*(count.sum(axis=1) for count in counts))
    is_close = np.abs(counts[0] - counts[1]).sum(axis=1) <= 3 * (1 - over) * size
    is_spaced = ~(pair[0].without_blanks | pair[1].without_blanks)
    is_long = np.minimum(pair[0].words, pair[1].words) >= LEAST_WORDS
    for row in np.flatnonzero(is_close & is_spaced & is_long).tolist():
        source, target = (_common_words(texts.array[row].as_py()) for texts in pair)
        most = max(len(source), len(target))
        if most >= LEAST_WORDS:
            shares[row] = len(source & target) / most
    return shares


def _common_words(text: str) -> set[str]:
    return {word for word in _WORD.findall(text) if word[0].islower()}


def _byte_counts(texts: Texts) -> npt.NDArray[np.int64]:
    """How often each text has bytes of the same last five bits: int64[N, 32]."""
    data, offsets = bytes_of(texts.array)
    rows = len(texts.array)
    buckets = (data & np.uint8(_BUCKETS - 1)).astype(np.int64)
    buckets += np.repeat(np.arange(rows) * _BUCKETS, np.diff(offsets))
    return cast(
        npt.NDArray[np.int64], np.bincount(buckets, minlength=rows * _BUCKETS).reshape(rows, _BUCKETS)
    )
