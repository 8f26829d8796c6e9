"""A row that is blank on one side is rejected as `empty_side`, by the text path's definition of blank."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.example_gen import SPLITS, Parameters
from bitext.components.example_gen.filters import REASONS, filter_rows
from bitext.components.example_gen.formats.tsv import split_tsv
from bitext.components.example_gen.sources import find_source_files, read_rows
from bitext.components.shared.strings import blank_rows
from bitext.components.text import normalization
from tests.components import phrases
from tests.components.example_gen_runs import Result, write

INVISIBLE = (
    "\u00a0",
    "\u3000",
    "\u200b",
    "\ufeff",
    "\u2060",
    "\u00ad",
    "\x00",
    "\x00\x07",
    "\u200b \ufeff",
    "\u3164",
)
EVERYTHING = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]


def _reason(row: str) -> tuple[str, str]:
    filtered = filter_rows(split_tsv(row.encode() + b"\n", 1, (0, 1)), Parameters(files=("x",)))
    return (REASONS[filtered.reason[0] - 1], filtered.details[0]) if filtered.reason[0] else ("", "")


@pytest.mark.parametrize("text", INVISIBLE)
def test_invisible_text_on_one_side(text):
    for row, side in ((f"Hello.\t{text}", "target"), (f"{text}\tHola.", "source")):
        reason, detail = _reason(row)
        assert reason == "empty_side"
        assert detail.startswith(f"{side} ")


def test_the_detail_names_the_characters():
    assert _reason("Hi.\t\u200b\ufeff\u200b") == (
        "empty_side",
        "target has only invisible characters: U+200B, U+FEFF",
    )
    assert _reason("Hi.\t" + "".join(map(chr, range(8)))) == (
        "empty_side",
        "target has only invisible characters: U+0000, U+0001, U+0002, U+0003, U+0004 and 3 others",
    )
    assert _reason("Hi.\t\u3000") == ("empty_side", "target is empty")


def test_control_characters_among_others_keep_their_reason():
    assert _reason("a\x00b\t") == ("control_characters", "source: U+0000")
    assert _reason("\u200ba\u200b\tHola.") == ("", "")


def test_every_character_alone_is_judged_by_the_one_rule():
    for width in (1, 3):
        rows = blank_rows(pa.array([character * width for character in EVERYTHING]))
        expected = [not normalization.normalize(character * width) for character in EVERYTHING]
        assert np.flatnonzero(rows != np.array(expected)).tolist() == []


@given(
    st.lists(st.text(st.sampled_from("a猫\u0301 \u00a0\u200b\u200d\u3000\ufe0f\U000e0061\x00"), max_size=5))
)
def test_a_block_of_rows(texts):
    expected = [normalization.is_blank(text) for text in texts]
    assert blank_rows(pa.array(texts, pa.string())).tolist() == expected
    assert blank_rows(pa.array(["a", *texts], pa.string()).slice(1)).tolist() == expected


@pytest.mark.parametrize("file_format", ["tsv", "csv"])
@pytest.mark.parametrize("line", ["", "  ", "\u200b"])
def test_a_blank_line_is_an_empty_side(tmp_path, file_format, line):
    comma = {"tsv": "\t", "csv": ","}[file_format]
    path = tmp_path / "a"
    path.write_text(f"en 1{comma}es 1\n{line}\nen 2\n")
    parameters = Parameters(format=file_format, files=(str(path),))
    [rows] = read_rows(find_source_files(parameters)[0], parameters)
    filtered = filter_rows(rows, parameters)
    assert [REASONS[code - 1] for code in filtered.reason[1:]] == ["empty_side", "missing_column"]
    assert filtered.details[1] == "the line is blank"


def test_no_blank_row_reaches_a_split(tmp_path):
    rows = [(f"{source} {i}", f"{target} {i}") for i, (source, target) in enumerate(phrases.corpus("ja"))]
    rows += [(f"Sentence {i}", text) for i, text in enumerate(INVISIBLE)]
    file = write(tmp_path / "a.tsv", ["\t".join(row) for row in rows])
    result = Result(tmp_path / "run", files=[file], eval_share=0.3, test_share=0.3, max_reject_share=0.1)
    assert result.summary()["reasons"] == {"empty_side": len(INVISIBLE)}
    assert [r["line"] for r in result.rejects()] == list(range(145, 145 + len(INVISIBLE)))
    assert sum(len(result.rows(split)) for split in SPLITS) == 144
