"""Where tokens end in a text, and the units that are aligned."""

from __future__ import annotations

import re
from collections.abc import Callable

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from bitext.components.serving.alignment import (
    between_units,
    ends_of_words,
    prefixes,
    source_ends,
    target_ends,
    units,
)

Tokenize = Callable[[str], list[str]]


def in_subwords(text: str) -> list[str]:
    """Cuts words after every third character; marks are tokens of their own."""
    words = re.findall(r"\w+|[^\w\s]", text)
    return [word[start : start + 3] for word in words for start in range(0, len(word), 3)]


def in_pairs(text: str) -> list[str]:
    """Merges pairs of characters from the left, as a script without spaces is merged."""
    letters = text.replace(" ", "")
    return [letters[start : start + 2] for start in range(0, len(letters), 2)]


def in_bytes(text: str) -> list[str]:
    """A token for each byte: a character may have several."""
    return [str(byte) for byte in text.replace(" ", "").encode()]


def ends(text: str, tokenize: Tokenize) -> list[int] | None:
    """Returns the ends of the tokens of a text, found as the server finds them."""
    ids: dict[str, int] = {}
    rows = [
        [ids.setdefault(token, len(ids) + 3) for token in tokenize(prefix)] + [2] for prefix in prefixes(text)
    ]
    tokens = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for row, values in zip(tokens, rows, strict=True):
        row[: len(values)] = values
    return source_ends(text, tokens, np.array([len(row) for row in rows]))


def test_tokens_of_a_sentence() -> None:
    text = "Where is the station?"
    found = ends(text, in_subwords)
    assert found is not None
    begins = [0, *found[:-1]]
    assert [text[begin:end] for begin, end in zip(begins, found, strict=True)] == [
        "Whe", "re", " is", " the", " sta", "tio", "n", "?"
    ]  # fmt: skip
    shown = units(text, found)
    assert shown.pieces == [
        ("Where", 0), (" ", None), ("is", 1), (" ", None), ("the", 2), (" ", None), ("station", 3), ("?", 4)
    ]  # fmt: skip
    assert shown.of_token == [0, 0, 1, 2, 3, 3, 3, 4]


def test_a_script_without_spaces_is_aligned_by_token() -> None:
    text = "私は学生です"
    found = ends(text, in_pairs)
    assert found == [2, 4, 6]
    assert units(text, found).pieces == [("私は", 0), ("学生", 1), ("です", 2)]


@pytest.mark.parametrize("tokenize", [in_subwords, in_pairs, in_bytes])
@hypothesis.given(text=st.text("ab cé私。?'", min_size=1, max_size=30))
def test_units_are_the_text(tokenize: Tokenize, text: str) -> None:
    text = " ".join(text.split())
    hypothesis.assume(tokenize(text))
    found = ends(text, tokenize)
    assert found is not None
    assert len(found) == len(tokenize(text))
    assert found == sorted(found)
    assert found[-1] == len(text)
    shown = units(text, found)
    assert "".join(part for part, _ in shown.pieces) == text
    numbers = [unit for _, unit in shown.pieces if unit is not None]
    assert numbers == sorted(numbers)
    assert set(shown.of_token) >= set(numbers)


def test_a_text_without_tokens() -> None:
    assert ends("a", lambda text: []) is None


def test_tokens_of_a_translation() -> None:
    text = "¿Dónde está?"
    assert target_ends(text, ["¿", "¿D", "¿Dónde", "¿Dónde es", "¿Dónde está", "¿Dónde está?"]) == [
        1,
        2,
        6,
        9,
        11,
        12,
    ]
    # A character of two tokens, and a detokenizer that changes what it wrote.
    assert target_ends("aї", ["a", "a\ufffd", "aї"]) == [1, 1, 2]
    assert target_ends("a b", ["ab", "a b"]) == [1, 3]
    assert target_ends("", []) == []


def test_words_whose_tokens_are_counted() -> None:
    assert ends_of_words("el gato", [1, 2], 3) == [2, 7, 7]
    assert ends_of_words("el gato", [1, 2], 4) is None


def test_weights_between_units() -> None:
    source, target = units("one two", [2, 3, 7]), units("a bc", [1, 3, 4])
    assert (source.of_token, target.of_token) == ([0, 0, 1], [0, 1, 1])
    weights = np.array([[0.25, 0.5, 0.125, 0.125], [0, 0, 1, 0], [0, 0.5, 0.5, 0], [9, 9, 9, 9]])
    assert between_units(weights, source, target) == [[0.75, 0.125], [0.25, 0.75]]
