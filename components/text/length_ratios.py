"""Judges the length ratio of a pair by the median ratio of its corpus.

Languages differ in how many characters they need for the same text. Two corrections make one limit fit all:

* Characters of dense scripts count more (`weighted_lengths`), so that ordinary pairs of any two languages
  have a ratio near 1.
* A pair is compared with the median ratio of its corpus. The median is found in the same pass: each block of
  rows gives a histogram of its ratios, and their sum does not depend on how Beam bundles the blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.shared.strings import bytes_of

Ints: TypeAlias = npt.NDArray[np.int64]
Octaves: TypeAlias = npt.NDArray[np.float32]
MIN_ROWS = 100
"""With fewer rows that are long enough, the corpus's ratio is taken to be 1."""
BINS_PER_OCTAVE = 16
"""Resolution of the histogram of ratios: 4.4 %."""
_KEY = "ratio/"
_FIRST_DENSE_BYTE = 0xE3
"""The lowest first byte, in UTF-8, of a character that counts more than one."""


def weighted_lengths(text: pa.Array) -> Ints:
    """The length of each text in characters of an alphabet.

    A Han character counts 3; kana, CJK punctuation and a Hangul syllable count 2; all others count 1. So a
    sentence has about the same length in English, Chinese, Japanese and Korean.

    Args:
      text: string[N].

    Returns:
      int64[N].
    """
    lengths = pc.utf8_length(text).to_numpy(zero_copy_only=False).astype(np.int64)
    data, offsets = bytes_of(text)
    wide = np.flatnonzero(data >= _FIRST_DENSE_BYTE)  # continuation bytes are lower
    if len(wide):
        first, second = data[wide], data[wide + 1]
        dense = (first == 0xE3) | ((first >= 0xEB) & (first <= 0xED)) | ((first == 0xEA) & (second >= 0xB0))
        extra = np.where((first >= 0xE4) & (first <= 0xE9), 2, dense)
        row = np.searchsorted(offsets, wide, side="right") - 1
        lengths = lengths + np.bincount(row, extra, len(lengths)).astype(np.int64)
    return cast(Ints, lengths)


def log_ratios(source: pa.Array, target: pa.Array, from_characters: int) -> Octaves:
    """The length ratio of each pair, target divided by source, as its binary logarithm.

    Args:
      source: string[N].
      target: string[N].
      from_characters: if both sides are shorter, the pair is not checked.

    Returns:
      float32[N]; NaN for a pair that is not checked.
    """
    lengths = [weighted_lengths(side) for side in (source, target)]
    octaves = np.diff(np.log2(np.maximum(lengths, 1)), axis=0)[0].astype(np.float32)
    octaves[np.maximum(*lengths) < from_characters] = np.nan
    return cast(Octaves, octaves)


def histogram(octaves: Octaves) -> Counter[str]:
    """Counts the ratios of the pairs that are checked: as `ratio/B` those around 2**(B / 16)."""
    bins = np.rint(octaves[~np.isnan(octaves)] * BINS_PER_OCTAVE).astype(np.int64)
    lowest = int(bins.min(initial=0))
    counts = np.bincount(bins - lowest)
    return Counter({f"{_KEY}{lowest + i}": int(counts[i]) for i in np.flatnonzero(counts).tolist()})


def too_far(octaves: Octaves, ratio: float, limit: float) -> Ints:
    """Indices of the pairs that are checked and whose ratio is over the limit: int64[M].

    Args:
      octaves: float32[N], from `log_ratios`.
      ratio: the corpus's ratio.
      limit: the largest factor between a ratio and the corpus's ratio.
    """
    return cast(Ints, np.flatnonzero(np.abs(octaves - np.log2(ratio)) > np.log2(limit)))


def detail(source: str, target: str, ratio: float, limit: float) -> str:
    """What is wrong with a pair that is too far from the corpus's ratio."""
    lengths = [len(side) for side in (source, target)]
    weighted = weighted_lengths(pa.array([source, target], pa.string())).tolist()
    text = f"{lengths[0]} against {lengths[1]} characters"
    if weighted != lengths:
        text += f" (weighted: {weighted[0]} against {weighted[1]})"
    own = weighted[1] / weighted[0]
    factor = max(own / ratio, ratio / own)
    return (
        f"{text}: ratio {own:.3g}, {factor:.1f} times apart from the corpus's {ratio:.3g}, over"
        f" max_length_ratio {limit:g}"
    )


def corpus_ratio(counts: Mapping[str, int]) -> float:
    """The median ratio of the pairs that are long enough; 1 if they are fewer than `MIN_ROWS`.

    Args:
      counts: sums of `histogram`; other counts are ignored.
    """
    bins = sorted((int(name.removeprefix(_KEY)), n) for name, n in counts.items() if name.startswith(_KEY))
    rows = sum(n for _, n in bins)
    if rows < MIN_ROWS:
        return 1.0
    below = np.cumsum([n for _, n in bins])
    middle, _ = bins[int(np.searchsorted(below, rows / 2))]
    return cast(float, 2.0 ** (middle / BINS_PER_OCTAVE))
