"""Rows that are out of step are found with their line numbers; rows that are in step never are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.example_gen import alignment, whole_file
from bitext.components.example_gen.alignment import Groups, OutOfStep, concatenate, find, measure
from tests.e2e import toy

Pairs = list[tuple[str, str]]


def grouped(pairs: Pairs, block: int = 10_000, rejected: tuple[int, ...] = ()) -> Groups:
    """The measures of rows in blocks."""
    groups = []
    for start in range(0, len(pairs), block):
        source, target = (
            pa.array(side, pa.string()) for side in zip(*pairs[start : start + block], strict=True)
        )
        line = np.arange(start + 1, start + 1 + len(source))
        groups.append(measure(line, source, target, ~np.isin(line, rejected)))
    return concatenate(groups)


def found(pairs: Pairs, block: int = 10_000, rejected: tuple[int, ...] = ()) -> list[OutOfStep]:
    """What is found in rows that are measured in blocks."""
    return find(grouped(pairs, block, rejected))


def shuffled(pairs: Pairs, first: int = 0) -> Pairs:
    """The pairs with the targets from row `first` on in a random order."""
    order = first + np.random.default_rng(0).permutation(len(pairs) - first)
    return pairs[:first] + [
        (pairs[n][0], pairs[m][1]) for n, m in zip(range(first, len(pairs)), order, strict=True)
    ]


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


@pytest.mark.parametrize("name", CORPORA)
class TestWholeFile:
    @pytest.mark.parametrize("right", [0, 80, 200])
    def test_a_shuffled_file_is_found(self, name: str, right: int) -> None:
        if name == "toy":
            pytest.skip("its sentences are about equally long")
        rows = len(CORPORA[name])
        parts = whole_file.find(grouped(shuffled(CORPORA[name], right)))
        assert sum(part.rows for part in parts) >= 0.9 * (rows - right)
        assert parts[0].first > right - 2 * alignment.GROUP
        assert max(part.correlation for part in parts) < 0.2

    @pytest.mark.parametrize("shift", [5, 30])
    def test_a_shifted_file_is_found(self, name: str, shift: int) -> None:
        if name == "toy":
            pytest.skip("its sentences are about equally long")
        rows = len(CORPORA[name])
        parts = whole_file.find(grouped(moved(CORPORA[name], 0, rows, shift)))
        assert sum(part.rows for part in parts) > 0.7 * rows

    @pytest.mark.parametrize("rows", [150, 300, 1000])
    def test_rows_in_step_are_not_found(self, name: str, rows: int) -> None:
        pairs = CORPORA[name]
        for order in (pairs, sorted(pairs), sorted(pairs, key=lambda pair: len(pair[1]))):
            for first in range(0, len(order) - rows + 1, rows):
                assert whole_file.find(grouped(order[first : first + rows])) == []

    def test_a_few_rows_are_not_judged(self, name: str) -> None:
        assert whole_file.find(grouped(shuffled(CORPORA[name][:125]))) == []


def test_weakly_related_lengths_are_in_step() -> None:
    random = np.random.default_rng(3)
    words = random.integers(3, 12, 1000)
    pairs = [("a" * n, "b" * max(1, n + d)) for n, d in zip(words, random.integers(-8, 9, 1000))]
    assert whole_file.find(grouped(pairs)) == []


def test_rows_of_one_length_are_not_judged() -> None:
    random = np.random.default_rng(3)
    codes = ["".join(random.choice(list("abcdef"), 8)) for _ in range(1000)]
    assert whole_file.find(grouped([(code, code[::-1]) for code in codes])) == []
    assert whole_file.find(grouped(shuffled([(code, code[::-1]) for code in codes]))) == []
    sentences = [source for source, _ in made_up(1000, "Latin")]
    assert whole_file.find(grouped(list(zip(sentences, codes, strict=True)))) == []


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
