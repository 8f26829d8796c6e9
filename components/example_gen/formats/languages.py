"""Language codes in files: a prefix matches every variety of its language."""

from __future__ import annotations


def matches(prefix: str, language: str) -> bool:
    """Whether a language is that of a prefix: `en` matches `en`, `EN-us` and `en_GB`, and not `eng`."""
    wanted, given = (text.lower().replace("_", "-").split("-") for text in (prefix, language))
    return given[: len(wanted)] == wanted
