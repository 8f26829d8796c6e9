"""Which columns of a file look like sentences: not numbers, ids, addresses, dates or one repeated word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bitext.components.example_gen.formats.guards import is_language_code

_ADDRESS = re.compile(r"(?:https?|ftp)://\S+|www\.\S+|\S+@\S+\.\w+", re.IGNORECASE)
_WORD = re.compile(r"[\"'(]*[A-Za-z]+(?:['’-][A-Za-z]+)*[.,!?;:…\"')]*")
_LEAST_VALUES = 10
"""Fewer values do not show that a column repeats some words."""
_LEAST_DISTINCT = 0.05
_SIDES = (
    frozenset({"source", "src", "original", "input"}),
    frozenset({"target", "tgt", "trg", "translation", "translated", "reference", "output"}),
)
_PIECE = re.compile(r"[^\W_]+")


def of_text(columns: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The names of the columns whose values look like sentences or words, in order."""
    return tuple(name for name, values in columns.items() if _is_text(values))


def sides_by_name(names: Sequence[str]) -> tuple[str, str]:
    """The columns that are named as source and as target; empty where there is none, or more than one."""
    found = []
    for words in _SIDES:
        named = [name for name in names if words & set(_PIECE.findall(name.rpartition(".")[2].lower()))]
        found.append(named[0] if len(named) == 1 else "")
    return (found[0], found[1]) if found[0] != found[1] else ("", "")


def _is_text(values: Sequence[str]) -> bool:
    if not values:
        return True  # nothing is known
    written = [value.strip() for value in values if value.strip()]
    if 2 * sum(map(_looks_like_text, written)) <= len(written):
        return False
    distinct = set(written)
    if len(written) >= _LEAST_VALUES and len(distinct) <= max(1, _LEAST_DISTINCT * len(written)):
        return False
    return len(written) < 2 or not all(map(is_language_code, distinct))


def _looks_like_text(value: str) -> bool:
    """Whether a value has letters, and is neither an address nor, as one word, an id or a path."""
    if not any(map(str.isalpha, value)) or all(map(_ADDRESS.fullmatch, value.split())):
        return False
    return " " in value or not value.isascii() or _WORD.fullmatch(value) is not None
