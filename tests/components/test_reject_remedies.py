"""If too many rows are rejected, the remedy names the limit that they passed."""

from __future__ import annotations

import pytest

from bitext.components.example_gen.filters import REASONS
from bitext.components.example_gen.formats import FORMATS
from bitext.components.example_gen.remedies import remedy_for
from bitext.components.shared.errors import DataError
from tests.components import phrases
from tests.components.example_gen_runs import Result, write

SETTINGS = ("max_length_ratio", "max_characters", "source_column", "delimiter", "iconv", "quotation marks")


@pytest.mark.parametrize(
    ("reason", "bad", "named"),
    [
        (
            "length_ratio",
            "Where is it? {i}\t" + " ".join(f"largo{n}" for n in range(40)),
            {"max_length_ratio"},
        ),
        ("too_long", "Where is it? {i}\t" + "muy largo " * 110, {"max_characters"}),
        ("empty_side", "Where is it? {i}\t\u200b", {"source_column"}),
        ("missing_column", "Where is it? {i}", {"source_column"}),
        ("control_characters", "Where is it? {i}\t¿Dónde\x07 está?", set()),
    ],
)
def test_the_remedy_names_the_limit_that_was_passed(tmp_path, reason, bad, named):
    lines = ["\t".join(pair) for pair in phrases.corpus("fi")]
    lines += [bad.format(i=i) for i in range(20)]
    lines += ["No tab." if reason != "missing_column" else "Empty.\t"]
    with pytest.raises(DataError) as error:
        Result(tmp_path / "run", files=[write(tmp_path / "a.tsv", lines)])
    assert f"({reason} 20, " in str(error.value) or f", {reason} 20)" in str(error.value)
    assert {name for name in SETTINGS if name in error.value.remedy} == named
    assert error.value.remedy.endswith("; or raise example_gen.max_reject_share")


def test_other_reasons():
    keys = FORMATS["csv"].keys_of_layout
    assert "iconv" in remedy_for({"invalid_utf8": 3}, keys)
    assert "example_gen.delimiter" in remedy_for({"bad_quoting": 3}, keys)
    assert "out of step" in remedy_for({"length_ratio": 3}, keys)
    assert "out of step" not in remedy_for({"too_long": 3}, keys)
    both = remedy_for({"too_long": 3, "length_ratio": 4, "empty_side": 1}, keys)
    assert both.index("max_length_ratio") < both.index("max_characters")
    assert "empty side" not in both
    assert all(remedy_for({reason: 1}, keys) for reason in REASONS)
