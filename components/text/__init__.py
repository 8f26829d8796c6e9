"""The text path: text to token ids and back, in core TensorFlow ops. Training and serving share it.

`processor.TextProcessor` is the graph, `learn` learns a vocabulary. The settings are part of `text.json`.
"""

from __future__ import annotations

from bitext.components.artifacts.transform_graph import TextSettings, Unit

PAD_ID, BOS_ID, EOS_ID, UNK_ID = 0, 1, 2, 3
SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
FIRST_BYTE_ID = len(SPECIALS)
"""The id of byte 0. The ids of the other 255 follow, unless the unit is a word."""
WORD_BOUNDARY = "\u2581"
"""The first character of a piece at the start of a word (the mark that sentencepiece uses)."""
WHOLE_MARK = "\x03"
"""The first character of a pretoken that stays whole. Normalized text has no control characters."""
KEY_FACTOR = 2**32
"""A pair of ids is one key of the merges file: `left * KEY_FACTOR + right`."""

__all__ = [
    "BOS_ID",
    "EOS_ID",
    "FIRST_BYTE_ID",
    "KEY_FACTOR",
    "PAD_ID",
    "SPECIALS",
    "UNK_ID",
    "WHOLE_MARK",
    "WORD_BOUNDARY",
    "TextSettings",
    "Unit",
]
