"""The length ratio is judged by the corpus's own, in every pair of scripts."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.example_gen import SPLITS, Parameters
from bitext.components.text import length_ratios as ratios
from tests.components import phrases
from tests.components.example_gen_runs import Result, write


def _octaves(pairs: list[tuple[str, str]]) -> ratios.Octaves:
    """The ratios of pairs with the default limits."""
    source, target = (pa.array(side, pa.string()) for side in zip(*pairs, strict=True))
    return ratios.log_ratios(source, target, Parameters(files=("x",)).ratio_from_characters)


SHARES = {"eval_share": 0.3, "test_share": 0.3}


def _run(root: Path, rows: list[tuple[str, str]], **parameters) -> Result:
    root.mkdir(exist_ok=True)
    file = write(root / "a.tsv", ["\t".join(row) for row in rows])
    return Result(root / "run", **{"files": [file], "max_reject_share": 1.0, **SHARES, **parameters})


@pytest.mark.parametrize("rows", [10, 144])
@pytest.mark.parametrize("language", phrases.TRANSLATIONS)
@pytest.mark.parametrize("swap", [False, True])
def test_ordinary_pairs_are_accepted_and_mismatched_ones_rejected(language, rows, swap):
    pairs = phrases.corpus(language, rows)
    sentence, paragraph = (
        pairs[6],
        tuple(" ".join(side) for side in zip(*phrases.pairs(language), strict=True)),
    )
    bad = [(sentence[0], paragraph[1]), (paragraph[0], sentence[1])]
    octaves = _octaves([pair[::-1] if swap else pair for pair in pairs + bad])
    ratio = ratios.corpus_ratio(ratios.histogram(octaves))
    assert 0.4 < ratio < 2.5
    assert ratios.too_far(octaves, ratio, 5).tolist() == [rows, rows + 1]


def test_a_short_chinese_sentence_in_a_small_corpus():
    """67 English characters against 8 Chinese ones."""
    octaves = _octaves([("x" * 67, "他又把雨伞忘了。")] * 10)
    assert not len(ratios.too_far(octaves, ratios.corpus_ratio(ratios.histogram(octaves)), 5))


def test_short_pairs_are_not_checked():
    octaves = _octaves([("I", "Yo mismo, en persona"), ("I", "x" * 29), ("I", "x" * 30), ("我" * 10, "I")])
    assert np.isnan(octaves).tolist() == [True, True, False, False]
    assert ratios.too_far(octaves, 1.0, 5).tolist() == [2, 3]


@given(st.lists(st.text(max_size=9), max_size=9))
def test_weighted_lengths(texts):
    def weight(c: str) -> int:
        if "\u4000" <= c <= "\u9fff":
            return 3
        return 2 if "\u3000" <= c <= "\u3fff" or "\uac00" <= c <= "\ud7ff" else 1

    expected = [sum(map(weight, text)) for text in texts]
    assert ratios.weighted_lengths(pa.array(texts, pa.string())).tolist() == expected
    assert (
        ratios.weighted_lengths(pa.array(["猫", *texts, "猫"], pa.string()).slice(1, len(texts))).tolist()
        == expected
    )


def _histogram(octaves):
    """The histogram of pairs with given ratios."""
    return ratios.histogram(_octaves([("x" * 1000, "y" * round(1000 * 2.0**octave)) for octave in octaves]))


def test_the_corpus_ratio_is_the_median():
    octaves = np.random.default_rng(1).normal(-1.3, 0.5, 501)
    assert np.log2(ratios.corpus_ratio(_histogram(octaves))) == pytest.approx(np.median(octaves), abs=1 / 16)
    # A third of garbage moves it little.
    octaves[:166] = 5
    assert np.log2(ratios.corpus_ratio(_histogram(octaves))) == pytest.approx(-1.3, abs=0.5)


def test_few_rows_are_compared_with_a_ratio_of_one():
    assert ratios.corpus_ratio(_histogram([2.0] * (ratios.MIN_ROWS - 1))) == 1.0
    assert ratios.corpus_ratio(_histogram([2.0] * ratios.MIN_ROWS)) == 4.0
    assert ratios.corpus_ratio({"rows": 500}) == 1.0


def test_the_ratio_does_not_depend_on_the_order_and_the_files(tmp_path, monkeypatch):
    """Also with blocks of few bytes and many shards, the same rows are rejected."""
    rows = [(f"{i} " + "x" * 40, "y" * (20 + 8 * (i % 50))) for i in range(300)]
    one = _run(tmp_path / "one", rows)
    monkeypatch.setattr("bitext.components.example_gen.formats.base.BLOCK_BYTES", 999)
    random.Random(0).shuffle(rows)
    files = [write(tmp_path / f"{n}.tsv", ["\t".join(row) for row in rows[n::3]]) for n in range(3)]
    many = Result(tmp_path / "many", files=files, shards=3, max_reject_share=1.0, **SHARES)
    rejected = [sorted(r["text"] for r in result.rejects()) for result in (one, many)]
    assert rejected[0] == rejected[1]
    assert one.summary()["length_ratio"] == many.summary()["length_ratio"] > 2
    assert one.summary()["reasons"] == many.summary()["reasons"]
    details = [r["detail"] for r in one.rejects()]
    assert "apart from the corpus's" in details[0]
    assert details[0].endswith("over max_length_ratio 5")


def test_rejects_of_both_stages_are_in_the_order_of_the_file(tmp_path):
    rows = [*phrases.corpus("zh"), ("Yes.", ""), ("One.", "二" * 200), ("x", ""), ("Two.", "三" * 200)]
    result = _run(tmp_path, rows, cleaning={"level": "off"})
    assert [(r["line"], r["reason"]) for r in result.rejects()] == [
        (145, "empty_side"),
        (146, "length_ratio"),
        (147, "empty_side"),
        (148, "length_ratio"),
    ]
    assert "4 against 200 characters (weighted: 4 against 600)" in result.rejects()[1]["detail"]
    assert result.rejects()[1]["text"] == "One.\t" + "二" * 200
    assert result.rejects()[1]["file"] == str(tmp_path / "a.tsv")


def test_each_span_has_its_own_ratio(tmp_path):
    for number, factor in ((1, 1), (2, 6)):
        rows = [(f"{i} " + "x" * 40, "y" * 42 * factor) for i in range(300)]
        root = tmp_path / str(number)
        root.mkdir()
        result = _run(root, rows, span={"number": number})
        assert result.summary()["length_ratio"] == pytest.approx(factor, rel=0.1)
        assert result.rejects() == []


def test_given_eval_and_test_files_are_not_checked_and_do_not_count(tmp_path):
    rows = phrases.corpus("zh")
    odd = [(f"{i} short", "长" * 90) for i in range(200)]
    splits = {}
    for split, lines in (("train", rows + odd[:3]), ("eval", odd[3:100]), ("test", odd[100:])):
        splits[split] = {"files": [write(tmp_path / f"{split}.tsv", ["\t".join(row) for row in lines])]}
    result = Result(tmp_path / "run", splits=splits, cleaning={"level": "off"})
    assert [len(result.rows(split)) for split in SPLITS] == [144, 97, 100]
    assert result.summary()["reasons"] == {"length_ratio": 3}
    assert result.summary()["length_ratio"] < 2
    # A train row that is rejected is not in train.
    splits["test"]["files"].append(write(tmp_path / "more.tsv", ["\t".join(odd[0])]))
    again = Result(tmp_path / "again", splits=splits, cleaning={"level": "off"})
    assert again.summary()["sources_also_in_train"] == {"eval": 0, "test": 0}
