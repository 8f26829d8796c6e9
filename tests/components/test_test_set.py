"""Test sets of `bitext evaluate`: how files are read, what is refused, and the scores of sacreBLEU."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
from pathlib import Path

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.shared.metrics import METRICS
from bitext.components.translation import test_set as test_sets
from bitext.components.translation.parallel_text import TextFile, read_parallel
from bitext.components.translation.sentences import Splitting
from bitext.components.translation.test_set import Options, read_test_set, score, translate_test_set
from bitext.components.translation.translator import LineTranslator
from tests import toy_model

FAST = Options(bootstrap_samples=100)
WORD = st.sampled_from(["the", "cat", "sits", "on", "a", "mat", ".", "Ñandú"])
SENTENCE = st.lists(WORD, min_size=1, max_size=9).map(" ".join)


def file(folder: Path, name: str, *lines: str, end: str = "\n") -> TextFile:
    """Writes lines, and returns the file."""
    (folder / name).write_bytes("".join(line + end for line in lines).encode())
    return TextFile(folder / name)


class TestReading:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
    def test_line_ends_and_a_byte_order_mark_are_no_text(self, tmp_path: Path, end: str) -> None:
        text = file(tmp_path, "a", "\ufeffuno", "dos", end=end)
        assert text.lines() == ["uno", "dos"]

    def test_compressed_files_are_decompressed(self, tmp_path: Path) -> None:
        (tmp_path / "a.gz").write_bytes(gzip.compress("ñ\nb".encode()))
        (tmp_path / "a.bz2").write_bytes(bz2.compress(b"1\n2\n"))
        assert read_parallel([TextFile(tmp_path / "a.gz"), TextFile(tmp_path / "a.bz2")]) == [
            ["ñ", "b"],
            ["1", "2"],
        ]

    @pytest.mark.parametrize(
        ("content", "message", "remedy"),
        [
            (b"", "bad is empty", "one sentence a line"),
            (b"a\nb\n", "good has 3 lines and bad has 2", "is missing or divided"),
            (b"a\nb\nc\n \n", "good has 3 lines and bad has 4", "the last line of bad is blank: remove it"),
            (b"a\nb\nc\n\n\n", "good has 3 lines and bad has 5", "is missing or divided"),
            (b"a\n\xe9t\xe9 caf\xe9\nc\n", "bad:2: not UTF-8: byte 0xe9 at 0", "iconv -f WINDOWS-1252"),
            (b"a\nb\n" + b"x" * (1 << 20) + b"x\n", "bad:3: the line is longer than 1,048,576 bytes", ""),
            ("a\nb\nc\n".encode("utf-16"), "UTF-16", "iconv"),
            (b"\x1f\x8b\x08\0\0\0\0\0", "gzip", ""),
        ],
    )
    def test_what_cannot_be_scored_is_refused_with_file_and_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str, remedy: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        good = file(tmp_path, "good", "a", "b", "c")
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_parallel([TextFile(Path(good.path.name)), TextFile(Path("bad"))])  # type: ignore[union-attr]
        assert message in str(caught.value)
        assert remedy in caught.value.remedy

    def test_a_line_far_into_a_file_is_named_by_its_number(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"0123456789\n" * 40_000 + b"\xff\n")
        with pytest.raises(DataError, match=r"a:40001: not UTF-8"):
            TextFile(tmp_path / "a").lines()

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot read .*none: No such file"):
            TextFile(tmp_path / "none").lines()

    def test_only_one_file_can_be_standard_input(self) -> None:
        with pytest.raises(ConfigError, match="several files"):
            read_parallel([TextFile(None), TextFile(None)])


class TestBlankLines:
    def test_a_line_that_is_blank_everywhere_is_not_scored(self, tmp_path: Path) -> None:
        source, reference, hypothesis = (
            file(tmp_path, name, f"{name} 1", blank, f"{name} 3")
            for name, blank in (("source", ""), ("reference", "\u3000"), ("hypothesis", " \u200b"))
        )
        test_set = read_test_set(source, [reference], hypothesis)
        assert test_set.scored == [0, 2]
        assert test_set.references == [["reference 1"], [], ["reference 3"]]

    @pytest.mark.parametrize("side", ["source", "reference", "hypothesis"])
    def test_a_blank_line_beside_text(self, tmp_path: Path, side: str) -> None:
        source, reference, hypothesis = (
            file(tmp_path, name, "one", "" if name == side else "two")
            for name in ("source", "reference", "hypothesis")
        )
        if side == "hypothesis":  # a model may answer nothing, and that is scored
            assert read_test_set(source, [reference], hypothesis).scored == [0, 1]
            return
        with pytest.raises(DataError, match=f"{side}:2: the {side} is blank"):
            read_test_set(source, [reference], hypothesis)

    def test_a_blank_reference_beside_another_is_none(self, tmp_path: Path) -> None:
        hypothesis = file(tmp_path, "h", "a", "b")
        references = [file(tmp_path, "r1", "a", ""), file(tmp_path, "r2", "c", "d")]
        assert read_test_set(None, references, hypothesis).references == [["a", "c"], ["d"]]

    def test_files_of_blank_lines_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="all lines of .*r are blank"):
            read_test_set(None, [file(tmp_path, "r", "", "")], file(tmp_path, "h", "", ""))


class TestScores:
    @given(
        rows=st.lists(st.tuples(SENTENCE, SENTENCE, SENTENCE), min_size=1, max_size=8),
        lowercase=st.booleans(),
    )
    def test_they_are_those_of_sacrebleu(self, rows: list[tuple[str, str, str]], lowercase: bool) -> None:
        hypotheses, *references = (list(column) for column in zip(*rows, strict=True))
        test_set = test_sets.TestSet(None, [[a, b] for _, a, b in rows], hypotheses)
        result = score(test_set, hypotheses, dataclasses.replace(FAST, lowercase=lowercase))
        bleu = sacrebleu.corpus_bleu(hypotheses, references, lowercase=lowercase, force=True)
        chrf = sacrebleu.CHRF(lowercase=lowercase).corpus_score(hypotheses, references)
        ter = sacrebleu.TER(case_sensitive=not lowercase).corpus_score(hypotheses, references)
        for name, expected in (("bleu", bleu), ("chrf", chrf), ("ter", ter)):
            assert result.scores[name].score == pytest.approx(expected.score)
        assert "nrefs:2" in result.scores["bleu"].signature
        assert set(result.scores) == {metric.name for metric in METRICS}

    def test_the_tokenizer_follows_the_script_of_the_references(self) -> None:
        chinese = test_sets.TestSet(None, [["我喜欢喝茶。"]], ["我喜欢茶。"])
        assert score(chinese, ["我喜欢茶。"], FAST).tokenization.tokenizer == "zh"
        with pytest.raises(ConfigError, match="--tokenize: 13a does not split text in Han script"):
            score(chinese, ["我喜欢茶。"], dataclasses.replace(FAST, tokenize="13a"))


def test_a_model_translates_as_the_command_does_and_gives_the_perplexity(tmp_path: Path) -> None:
    translator = LineTranslator(toy_model.save(tmp_path / "model", "upper"), batch_size=2)
    sources = ["one two three four", "", "first end. Second end.", "x" * 500]
    references = [[source.upper()] if source else [] for source in sources]
    test_set, warnings = test_sets.TestSet(sources, references, None), list[str]()
    made = translate_test_set(test_set, translator, Splitting(), warnings.append)
    assert made.texts == ["ONE TWO THREE FOUR", "", "FIRST END. SECOND END.", "X" * 500]
    assert warnings[0].startswith("warning: line 4: a sentence of 500 tokens is longer than the model reads")
    assert made.perplexity == pytest.approx(2)
    scores = score(test_set, made.texts, FAST)
    assert scores.scores["bleu"].score == pytest.approx(100)
    report = test_sets.to_json(test_set, scores, made)
    assert (report["sentences"], report["blank_lines"], report["references"]) == (3, 1, [1, 1])
    assert report["scores"]["ter"]["score"] == 0
