"""Rows that are out of step are found with their line numbers; rows that are in step never are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.example_gen import alignment
from bitext.components.example_gen.alignment import OutOfStep, concatenate, find, measure
from tests.e2e import toy

Pairs = list[tuple[str, str]]


def found(pairs: Pairs, block: int = 10_000, rejected: tuple[int, ...] = ()) -> list[OutOfStep]:
    """What is found in rows that are measured in blocks."""
    groups = []
    for start in range(0, len(pairs), block):
        source, target = (
            pa.array(side, pa.string()) for side in zip(*pairs[start : start + block], strict=True)
        )
        line = np.arange(start + 1, start + 1 + len(source))
        groups.append(measure(line, source, target, ~np.isin(line, rejected)))
    return find(concatenate(groups))


def moved(pairs: Pairs, first: int, last: int, shift: int) -> Pairs:
    """The pairs with the targets of the rows `first` to `last` moved up."""
    targets = [target for _, target in pairs]
    targets[first:last] = [*targets[first + shift : last], *targets[first : first + shift]]
    return [(source, target) for (source, _), target in zip(pairs, targets, strict=True)]


def made_up(rows: int, script: str, seed: int = 0) -> Pairs:
    """Pairs of random words of one script, with numbers and final marks."""
    random = np.random.default_rng(seed)
    letters = {"Latin": "abcdefgh", "Han": "猫狗房子书河面包"}[script]
    blank, marks = {"Latin": (" ", ".?!"), "Han": ("", "。？！")}[script]
    pairs = []
    for _ in range(rows):
        words = int(random.integers(2, 25))
        mark = int(random.choice(3, p=[0.8, 0.15, 0.05]))
        number = f" {random.integers(1, 2000)}" if random.random() < 0.1 else ""
        source = " ".join(
            "".join(random.choice(list("abcdefgh"), random.integers(2, 8))) for _ in range(words)
        )
        length = max(1, words + int(random.integers(-2, 3)))
        target = blank.join(
            "".join(random.choice(list(letters), random.integers(1, 7))) for _ in range(length)
        )
        pairs.append((f"{source}{number}{'.?!'[mark]}", f"{target}{number}{marks[mark]}"))
    return pairs


CORPORA = {
    "toy": toy.sentences(),
    "Latin": made_up(1000, "Latin"),
    "Han": made_up(1000, "Han"),
    "no marks": [(s.rstrip(".?!"), t.rstrip(".?!")) for s, t in made_up(1000, "Latin", 1)],
}


@pytest.mark.parametrize("name", CORPORA)
class TestCorpora:
    def test_rows_in_step_are_not_found(self, name: str) -> None:
        for block in (10_000, 175, 60):
            assert found(CORPORA[name], block) == []
        assert found(sorted(CORPORA[name])) == []
        assert found(sorted(CORPORA[name], key=lambda pair: len(pair[0]))) == []

    @pytest.mark.parametrize("shift", [1, 2, 7])
    def test_rows_out_of_step_are_found(self, name: str, shift: int) -> None:
        [part] = found(moved(CORPORA[name], 200, 400, shift))
        assert abs(part.first - 201) <= alignment.GROUP
        assert abs(part.last - 400) <= alignment.GROUP
        assert part.shift == (-shift if shift <= 3 else 0)
        assert part.correlation < part.usual / 2

    def test_a_file_that_is_out_of_step_from_beginning_to_end_is_found(self, name: str) -> None:
        rows = len(CORPORA[name])
        parts = found(moved(CORPORA[name], 0, rows, 1))
        assert sum(part.rows for part in parts) > 0.8 * rows
        assert {part.shift for part in parts} == {-1}


def test_rejected_rows_are_not_judged() -> None:
    pairs = made_up(500, "Latin")
    for row in range(0, 500, 3):
        pairs[row] = ("", "x" * 500)
    assert found(pairs, rejected=tuple(range(1, 501, 3))) == []


def test_texts_that_share_nothing_are_not_judged() -> None:
    pairs = made_up(500, "Latin")
    other = [target for _, target in made_up(500, "Han", 7)]
    assert found([(source, target) for (source, _), target in zip(pairs, other, strict=True)]) == []
    assert found([(source, "same text.") for source, _ in pairs]) == []
    assert found([("a", "b")] * 500) == []
    assert found(moved(pairs, 0, 100, 1)[: alignment.GROUP * (alignment.LEAST_GROUPS - 1)]) == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), min_size=1, max_size=60), st.data())
def test_any_text_is_measured(pairs: Pairs, data: st.DataObject) -> None:
    pairs = pairs * data.draw(st.integers(1, 9))
    assert all(
        1 <= part.first <= part.last <= len(pairs) for part in found(pairs, data.draw(st.integers(1, 99)))
    )
