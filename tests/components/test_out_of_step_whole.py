"""A corpus that is out of step for the most part gives a warning. A corpus in step gives none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.components.example_gen_runs import Result, write
from tests.components.test_alignment import made_up, shuffled


@pytest.mark.parametrize("first", [0, 50])
def test_a_shuffled_corpus_gives_a_warning(tmp_path: Path, first: int) -> None:
    pairs = made_up(600, "Latin")
    lines = ["\t".join(pair) for pair in shuffled(pairs, first)]
    result = Result(tmp_path / "run", files=[write(tmp_path / "a.tsv", lines)], max_reject_share=1.0)
    [warning] = [line for line in result.lines if "out of step" in line]
    assert re.search(r"lines \d+ to (575|600) of", warning)
    assert "most of the file agrees no better than by chance" in warning


def test_a_corpus_in_step_gives_none(tmp_path: Path) -> None:
    lines = ["\t".join(pair) for pair in made_up(600, "Latin")]
    result = Result(tmp_path / "run", files=[write(tmp_path / "a.tsv", lines)])
    assert not [line for line in result.lines if "out of step" in line]
