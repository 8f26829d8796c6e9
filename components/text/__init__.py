"""The text path: text to token ids and back, in core TensorFlow ops. Training and serving share it.

`processor.TextProcessor` is the graph, `learn` learns a vocabulary. This module has the settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from bitext.components.text.processor import TextPair

PAD_ID, BOS_ID, EOS_ID, UNK_ID = 0, 1, 2, 3
SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
WORD_BOUNDARY = "\u2581"
"""The first character of a piece at the start of a word (the mark that sentencepiece uses)."""
KEY_FACTOR = 2**32
"""A pair of ids is one key of the merges file: `left * KEY_FACTOR + right`."""

Unit = Literal["subword", "word", "character"]


class TextSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How text becomes tokens.

    Attributes:
      unit: `subword` (byte-pair encoding), `word` or `character`. A word that is not in the vocabulary is
        unknown. With the other units, a character that is not in the vocabulary becomes its UTF-8 bytes, so
        no text is lost.
      lowercase: whether normalization converts to lower case.
    """

    unit: Unit = "subword"
    lowercase: bool = False


def load(transform_graph: Path) -> TextPair:
    """Loads the text path of a transform graph.

    Args:
      transform_graph: the artifact's folder, or another with a copy of its text settings and vocabularies.

    Raises:
      DataError: the settings or a vocabulary file are missing or damaged.
    """
    from bitext.components.text import processor

    return processor.load(transform_graph)
