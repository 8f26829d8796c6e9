"""The parts of a translation that its closest reference does not have."""

from __future__ import annotations

import difflib
import functools
import unicodedata
from collections.abc import Sequence

from bitext.schemas import scripts

Range = tuple[int, int]
"""The first position of a part, and the one after its last."""
_APOSTROPHES = "'\u2019"
_MOST_EXACT = 300
"""Tokens of a text up to which difflib compares all of them: its time is quadratic."""


def tokens(text: str) -> list[Range]:
    """Returns the tokens of a text: words, characters of scripts without blanks, and punctuation marks.

    Marks and format characters (U+200D and others) belong to the character before them.
    """
    found: list[list[int]] = []
    previous = ""
    for position, character in enumerate(text):
        kind = _kind(character)
        if kind == "mark" and previous not in ("", "blank"):
            found[-1][1] = position + 1
            continue
        is_inner = (
            character in _APOSTROPHES
            and previous == "word"
            and position + 1 < len(text)
            and _kind(text[position + 1]) == "word"
        )
        kind = "word" if is_inner else "sign" if kind == "mark" else kind
        if kind == "word" and previous == "word":
            found[-1][1] = position + 1
        elif kind != "blank":
            found.append([position, position + 1])
        previous = kind
    return [(start, end) for start, end in found]


@functools.cache
def _kind(character: str) -> str:
    """Returns whether a character is a `word` character, a `sign` by itself, a `mark`, or `blank`."""
    category = unicodedata.category(character)
    if character.isspace() or category in ("Cc", "Zs", "Zl", "Zp"):
        return "blank"
    if category[0] == "M" or category == "Cf":
        return "mark"
    is_word = category[0] in "LN" and scripts.counts_words(scripts.script_of(character))
    return "word" if is_word else "sign"


def differing(text: str, reference: str) -> tuple[Range, ...]:
    """Returns the parts of a text that a word diff does not find in the reference, in order.

    Letter case and punctuation count. Neighboring tokens are one part.
    """
    spans = tokens(text)
    own = _texts(text, spans)
    other = _texts(reference, tokens(reference))
    is_long = max(len(own), len(other)) > _MOST_EXACT
    matcher = difflib.SequenceMatcher(None, other, own, autojunk=is_long)
    return tuple(
        (spans[start][0], spans[end - 1][1])
        for tag, _, _, start, end in matcher.get_opcodes()
        if tag != "equal" and end > start
    )


def _texts(text: str, spans: Sequence[Range]) -> list[str]:
    return [unicodedata.normalize("NFC", text[start:end]) for start, end in spans]
