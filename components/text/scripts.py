"""The script of texts: `bitext.schemas.scripts`, for components. It imports no large library."""

from __future__ import annotations

from bitext.schemas.scripts import (
    EAST_ASIAN,
    JAPANESE,
    NONE,
    OTHER,
    RANGES,
    characters_per_word,
    counts_words,
    dominant,
    dominant_script,
    is_segmented,
    length,
    letter_counts,
    script_of,
    unit,
)

__all__ = [
    "EAST_ASIAN",
    "JAPANESE",
    "NONE",
    "OTHER",
    "RANGES",
    "characters_per_word",
    "counts_words",
    "dominant",
    "dominant_script",
    "is_segmented",
    "length",
    "letter_counts",
    "script_of",
    "unit",
]
