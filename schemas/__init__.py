"""The data contract: curated schemas, the features that they check, and their loader."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

BITEXT = Path(__file__).resolve().parent / "bitext.pbtxt"
"""The curated schema of this project."""

Script = Literal[
    "Latin", "Greek", "Cyrillic", "Armenian", "Hebrew", "Arabic", "Syriac", "Thaana", "Nko", "Devanagari",
    "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala",
    "Thai", "Lao", "Tibetan", "Myanmar", "Georgian", "Ethiopic", "Cherokee", "Canadian_Aboriginal", "Khmer",
    "Mongolian", "Kana", "Han", "Hangul", "Yi", "Javanese", "Balinese", "Sundanese", "Tai_Le",
    "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Tifinagh", "Ol_Chiki", "Meetei_Mayek", "Cham", "Lisu", "Vai",
    "Adlam", "Hanifi_Rohingya", "Buginese", "Batak", "Coptic", "Other", "None",
]  # fmt: skip
"""The values of the script features: `features.SCRIPTS`."""
