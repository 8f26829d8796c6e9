"""Compares the languages of corpora and test sets: some may be in the opposite direction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

SOURCE_LANGUAGE, TARGET_LANGUAGE = "source_language", "target_language"
"""Properties of examples: the language of most texts of a side; they are missing where it is undecided."""
Direction = tuple[str, str]
"""The languages of source and target; empty: undecided."""


def of(properties: Mapping[str, object], prefix: str = "") -> Direction:
    """The languages among the properties of examples."""
    source, target = (str(properties.get(prefix + key, "")) for key in (SOURCE_LANGUAGE, TARGET_LANGUAGE))
    return source, target


def properties_of(direction: Direction, prefix: str = "") -> dict[str, str]:
    """The properties of examples for languages that are decided."""
    keys = (prefix + SOURCE_LANGUAGE, prefix + TARGET_LANGUAGE)
    return {key: name for key, name in zip(keys, direction, strict=True) if name}


def warnings(directions: Mapping[str, Direction]) -> Iterator[str]:
    """Yields a warning for each corpus or span whose languages are not those of most others.

    Args:
      directions: the languages by name of the corpus or span.
    """
    counts = Counter(direction for direction in directions.values() if all(direction))
    if counts:
        (usual, _), *_ = counts.most_common(1)
        yield from filter(None, (warning(name, own, usual, "others") for name, own in directions.items()))


def warning(name: str, own: Direction, usual: Direction, others: str) -> str:
    """Returns a warning if the languages of a set of pairs are not the usual ones; else an empty text.

    Args:
      name: the name of the set.
      own: its languages.
      usual: the languages of the others, both decided.
      others: the name of the others.
    """
    if not any(language and language != other for language, other in zip(own, usual, strict=True)):
        return ""
    what = "the opposite direction of" if own == usual[::-1] else "other languages than"
    return (
        f"{name}: {_in_words(own)}: {what} {others} ({_in_words(usual)}); check source_column and"
        " target_column, or the files"
    )


def _in_words(direction: Direction) -> str:
    return ", ".join(
        f"{side} {own}" for side, own in zip(("source", "target"), direction, strict=True) if own
    )
