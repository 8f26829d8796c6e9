"""A corpus that is out of step for the most part stops the run. A corpus in step passes."""

from __future__ import annotations

import pytest

from bitext.components.shared.errors import DataError
from tests.components.example_gen_runs import Result, write
from tests.components.test_alignment import made_up, shuffled


def test_a_shuffled_corpus_stops_the_run(tmp_path):
    pairs = made_up(600, "Latin")
    lines = ["\t".join(pair) for pair in shuffled(pairs, 50)]
    with pytest.raises(DataError, match="out of step, over max_out_of_step_share") as error:
        Result(tmp_path / "run", files=[write(tmp_path / "a.tsv", lines)], max_reject_share=1.0)
    assert "to 600 of" in str(error.value)
    assert "another order" in error.value.remedy
    in_step = Result(tmp_path / "right", files=[write(tmp_path / "b.tsv", ["\t".join(p) for p in pairs])])
    assert not [line for line in in_step.lines if "out of step" in line]
