"""Every run shows pairs that were read, and the languages of both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitext.components.example_gen import preview
from bitext.components.shared.language_identification import count_languages
from tests.components.example_gen_runs import Result, write

ENGLISH = [f"This is the sentence number {i} of a longer story." for i in range(60)]
SPANISH = [f"Esta es la frase número {i} de una historia más larga." for i in range(60)]
CHINESE = [f"这是一个更长的故事中的第{i}个句子，它很有意思。" for i in range(60)]


def corpus(folder: Path, source: list[str], target: list[str]) -> str:
    return write(folder / "pairs.tsv", [f"{s}\t{t}" for s, t in zip(source, target, strict=True)])


def test_a_run_shows_pairs_and_languages(tmp_path: Path) -> None:
    file = corpus(tmp_path, ENGLISH, SPANISH)
    result = Result(tmp_path / "run", files=[file], eval_share=0.1, test_share=0.1)
    [languages] = [line for line in result.lines if line.startswith("source ")]
    assert languages == "source Latin script 100 %, en 100 %; target Latin script 100 %, es 100 %"
    first = result.lines.index(languages) + 1
    shown = result.lines[first : first + 6]
    train = result.rows("train")
    assert shown[0].strip() == train[0][1]
    assert shown[1].strip() == train[0][2]
    assert shown[4].strip() == train[-1][1]


def test_both_sides_in_one_language_are_told(tmp_path: Path) -> None:
    file = corpus(
        tmp_path, ENGLISH, [f"Another text of the number {i} in the same language." for i in range(60)]
    )
    result = Result(tmp_path / "run", files=[file], eval_share=0.1, test_share=0.1)
    assert any(line.startswith("warning: both sides are en: check source_column") for line in result.lines)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (CHINESE, "Han script 100 %, zh 100 %"),
        (["Go."] * 5, "Latin script 100 %, language undecided"),
        ([*ENGLISH[:20], *["Go."] * 20], "Latin script 100 %, en 100 % (50 % undecided)"),
        (["123", "456"], "None script 100 %, language undecided"),
    ],
)
def test_languages_in_words(texts: list[str], expected: str) -> None:
    import pyarrow as pa

    array = pa.array(texts)
    assert preview.in_words(array, count_languages(array)) == expected


def test_a_large_split_is_sampled_over_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "SAMPLE_ROWS", 10)
    monkeypatch.setattr(preview, "BLOCK_ROWS", 7)
    file = corpus(tmp_path, ENGLISH, SPANISH)
    result = Result(tmp_path / "run", files=[file], eval_share=0.1, test_share=0.1)
    train = result.rows("train")
    step = len(train) // 10
    source, target = preview._sample(result.examples.files("train")[0], len(train))
    assert source.to_pylist() == [row[1] for row in train[::step]]
    assert target.to_pylist() == [row[2] for row in train[::step]]
