"""Tables with tabs that are quoted as in CSV after the first rows only."""

from __future__ import annotations

import dataclasses

from bitext.components.example_gen.detection import Detected
from bitext.components.example_gen.formats import guards
from bitext.components.example_gen.formats.base import text_blocks

_MOST_BYTES = 256 << 20
"""At most so much of a file is looked at."""


def as_read(path: str, detected: Detected) -> Detected:
    """What a file is: CSV in place of TSV if the reader of TSV would stop at its quotation marks."""
    if detected.format != "tsv" or not _is_quoted(path, detected.encoding or "utf-8"):
        return detected
    notes = (*detected.notes, "its fields are quoted as in CSV")
    columns, texts = (tuple(c.strip('"') for c in names) for names in (detected.columns, detected.texts))
    return dataclasses.replace(detected, format="csv", columns=columns, texts=texts, notes=notes)


def _is_quoted(path: str, encoding: str) -> bool:
    quotes, size = guards.QuoteCounts(), 0
    for block in text_blocks(path, encoding):
        size += len(block)
        if b'""' in block:
            quotes.add(block)
            if quotes.are_by_csv():
                return True
        if quotes.is_prose or size > _MOST_BYTES:
            return False
    return False
