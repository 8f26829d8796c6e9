"""Corpora and test sets in the opposite direction, or in other languages, are told."""

from __future__ import annotations

import pytest

from bitext.components.shared import directions

EN_ES, ES_EN = ("en", "es"), ("es", "en")


def test_the_opposite_direction_is_told() -> None:
    [line] = directions.warnings({"news": EN_ES, "law": EN_ES, "web": ES_EN})
    assert line == (
        "web: source es, target en: the opposite direction of others (source en, target es);"
        " check source_column and target_column, or the files"
    )


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (("en", "th"), "web: source en, target th: other languages than others"),
        (("", "en"), "web: target en: other languages than others"),
        (("", "es"), ""),
        (("en", ""), ""),
        (("", ""), ""),
        (EN_ES, ""),
    ],
)
def test_undecided_sides_are_no_difference(other: directions.Direction, found: str) -> None:
    lines = [*directions.warnings({"news": EN_ES, "law": EN_ES, "web": other})]
    assert len(lines) == bool(found)
    assert "".join(lines).startswith(found)


def test_without_a_decided_corpus_nothing_is_told() -> None:
    assert not [*directions.warnings({"a": ("en", ""), "b": ("", "en")})]


def test_properties_hold_what_is_decided() -> None:
    for direction in (EN_ES, ("en", ""), ("", "")):
        assert directions.of(directions.properties_of(direction, "news_"), "news_") == direction
    assert directions.properties_of(("", "es")) == {"target_language": "es"}
