"""What data may look like: curated schemas, the features they speak of, and their loader."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

BITEXT = Path(__file__).resolve().parent / "bitext.pbtxt"

Script = Literal[
    "Latin", "Greek", "Cyrillic", "Armenian", "Hebrew", "Arabic", "Syriac", "Thaana", "Devanagari", "Bengali",
    "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Thai", "Lao",
    "Tibetan", "Myanmar", "Georgian", "Ethiopic", "Khmer", "Mongolian", "Kana", "Hangul", "Han", "Other",
    "None",
]  # fmt: skip
"""What the script features can be: `features.SCRIPTS`."""
