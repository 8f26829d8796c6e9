"""Long lines: split into sentences, translated and joined; what is still too long is reported."""

from __future__ import annotations

import itertools
import math
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.text.normalization import normalize
from bitext.components.translation import sentences
from bitext.components.translation.search import Search
from bitext.components.translation.sentences import LongSentence, Splitting, join, split, translate_blocks
from bitext.components.translation.translate import main_translate
from bitext.components.translation.translator import LineTranslator, Translation
from bitext.pipeline.beam import pipeline_factory
from tests import toy_model

SENTENCE = "The cat sat on the mat, said Dr. Smith. "
LONG_LINE = SENTENCE * 20
ENDLESS = "word " * 100


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model.save(tmp_path_factory.mktemp("model"), "copy")


@pytest.fixture(scope="module")
def translator(model: Path) -> LineTranslator:
    return LineTranslator(model)


class TestSplit:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (SENTENCE * 2, [SENTENCE.strip()] * 2),
            ("你好。我是学生！你呢？", ["你好。", "我是学生！", "你呢？"]),
            ("こんにちは。元気ですか？", ["こんにちは。", "元気ですか？"]),
            ("مرحبا. كيف حالك؟", ["مرحبا.", "كيف حالك؟"]),
            ("यह एक वाक्य है। दूसरा।", ["यह एक वाक्य है।", "दूसरा।"]),
            ("no end at all", ["no end at all"]),
            ("  ", []),
        ],
    )
    def test_sentences_of_many_scripts(self, line: str, expected: list[str]) -> None:
        assert [sentence.decode() for sentence in split(line.encode(), "en")] == expected

    def test_abbreviations_are_those_of_the_language(self) -> None:
        line = b"Er kam am 5. Mai. Das ist z. B. gut."
        assert (
            [len(s.split()) for s in split(line, "de")]
            == [5, 5]
            != [len(s.split()) for s in split(line, "en")]
        )

    def test_an_unknown_language_is_that_of_the_script(self) -> None:
        line = "Это, напр. Москва и т. д. Да.".encode()
        assert split(line, None) == split(line, "ru") != split(line, "en")

    def test_an_initial_is_no_sentence(self) -> None:
        assert split("M. Dupont est là. Oui.".encode(), "fr") == ["M. Dupont est là.".encode(), b"Oui."]

    @pytest.mark.parametrize(
        ("line", "count"), [("ខ្ញុំសុខសប្បាយ។ អរគុណ។ ទេ", 3), ("བཀྲ་ཤིས། ཁྱེད་རང་།", 2), ("“你好吗？”「是的。」", 2)]
    )
    def test_marks_that_the_splitter_does_not_know(self, line: str, count: int) -> None:
        assert len(split(line.encode(), None)) == count

    @pytest.mark.parametrize(
        "text",
        [
            "See www.example.com at 5 p.m. today. It is new.",
            'He said "I will go. I promise." Then he left.',
            "你好。我是学生！",
        ],
    )
    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "\u00ad".join(text),
            lambda text: "\u200b".join(text) + "\u200b",
            lambda text: f"\u2067{text}\u2069",
            lambda text: text.replace('"', "”").replace(" ", "\u00a0"),
            lambda text: unicodedata.normalize("NFD", text),
        ],
    )
    def test_equal_text_is_split_equally(self, text: str, change: Callable[[str], str]) -> None:
        changed = [normalize(sentence.decode()) for sentence in split(change(text).encode(), "en")]
        assert changed == [normalize(sentence.decode()) for sentence in split(text.encode(), "en")]

    def test_quotation_marks_stay_for_a_model_that_knows_them(self) -> None:
        assert split("“One.” Two.".encode(), "en") == ["“One.”".encode(), b"Two."]

    @pytest.mark.parametrize("unit", ["你好。", "“", "（a。", "I like tea. ", "word "])
    def test_the_time_is_linear(self, unit: str) -> None:
        line = (unit * (200_000 // len(unit))).encode()
        started = time.process_time()
        split(line, "zh")
        assert time.process_time() - started < 20  # about a second; quadratic time took minutes

    @given(st.text(st.sampled_from("aB .。!?\n\u3000\u200b\u00a0\"'»1é中")))
    def test_no_text_is_lost(self, line: str) -> None:
        parts = [sentence.decode() for sentence in split(line.encode(), "en")]
        joined, expected = "".join(parts), normalize(line, fold_quotes=False)
        assert joined.replace(" ", "") == expected.replace(" ", "")
        assert all(sentence == sentence.strip() != "" for sentence in parts)


class TestJoin:
    def test_scripts_without_blanks_are_joined_without(self) -> None:
        def text(*parts: str) -> str:
            return join([[Translation(part, -1.0)] for part in parts])[0].text

        assert text("One.", "Two.", "") == "One. Two."
        assert text("你好。", "再见。") == "你好。再见。"
        assert text("안녕.", "네.") == "안녕. 네."
        assert text('"你好吗？"', "是的。") == '"你好吗？"是的。'
        assert text() == ""

    @given(
        st.lists(st.lists(st.sampled_from([-4.0, -2.5, -1.0, -0.5]), min_size=1, max_size=3), max_size=4),
        st.integers(1, 5),
    )
    def test_nbest_combinations_are_the_best_of_all(self, scores: list[list[float]], nbest: int) -> None:
        lists = [
            [Translation(f"s{i}h{rank}", score) for rank, score in enumerate(sorted(of_sentence)[::-1])]
            for i, of_sentence in enumerate(scores)
        ]
        expected = sorted((sum(combination) for combination in itertools.product(*scores)), reverse=True)
        found = join(lists, nbest)
        means = [score / max(1, len(scores)) for score in expected[: len(found)]]
        assert [t.score for t in found] == pytest.approx(means)
        if len(scores) > 1:
            assert len(found) == min(nbest, math.prod(map(len, scores)))


class TestLongLines:
    def test_every_sentence_is_translated(self, translator: LineTranslator) -> None:
        lines = [b"short", LONG_LINE.encode(), b"", "ü".encode() * 10]
        [block] = translate_blocks(translator, [lines])
        texts = [translations[0].text for translations in block.translations]
        assert texts == ["short", LONG_LINE.strip(), "", "ü" * 10]
        assert block.too_long == []
        assert block.translations[1][0].score == pytest.approx(-len(SENTENCE.split()) - 1)

    @pytest.mark.parametrize("whole_lines", [False, True])
    def test_whole_lines_are_split_only_if_they_are_too_long(
        self, translator: LineTranslator, whole_lines: bool
    ) -> None:
        line = b"One sentence here. Another one there."
        [block] = translate_blocks(
            translator, [[line, LONG_LINE.encode()]], Splitting(whole_lines=whole_lines)
        )
        scores = [translations[0].score for translations in block.translations]
        assert scores == [-7 if whole_lines else -4, -len(SENTENCE.split()) - 1]

    def test_a_sentence_that_is_too_long_is_reported(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "in.txt").write_text(f"a\n{LONG_LINE}{ENDLESS}\nb\n{ENDLESS}\n", encoding="utf-8")
        warnings: list[str] = []
        main_translate(model, tmp_path / "in.txt", tmp_path / "out.txt", warn=warnings.append)
        assert warnings[0].startswith(
            "warning: line 2: a sentence of 499 tokens is longer than the model reads"
        )
        assert warnings[1].startswith("warning: line 4: ")
        assert warnings[2] == (
            "warning: 2 sentences too long for the model; divide the text into shorter sentences"
        )
        assert len((tmp_path / "out.txt").read_text(encoding="utf-8").splitlines()) == 4

    def test_many_are_counted_and_few_are_shown(self) -> None:
        warnings: list[str] = []
        report = sentences.LongSentenceReport(warnings.append)
        report.add(1, [LongSentence(line, 99, 9) for line in range(15)])
        report.add(16, [LongSentence(line, 99, 9) for line in range(15)])
        report.finish()
        assert len(warnings) == sentences.MAX_REPORTED + 1
        assert warnings[-1].startswith("warning: 30 sentences too long")

    def test_nbest_of_a_long_line(self, model: Path) -> None:
        translator = LineTranslator(model, Search(nbest=2))
        [block] = translate_blocks(translator, [[LONG_LINE.encode()]])
        first, second = block.translations[0]
        assert first.text == LONG_LINE.strip()
        assert second.text.replace("TThe", "The") == first.text
        assert first.score > second.score

    def test_bulk_translation_splits_and_reports_as_without_beam(self, model: Path, tmp_path: Path) -> None:
        from bitext.components.translation.bulk import executor

        (tmp_path / "in.txt").write_text(f"a\n{LONG_LINE}\n{ENDLESS}\n", encoding="utf-8")
        said: list[str] = []
        warnings: list[str] = []
        main_translate(model, tmp_path / "in.txt", tmp_path / "plain.txt", warn=warnings.append)
        executor.translate_file(
            model, tmp_path / "in.txt", tmp_path / "bulk.txt", Search(), pipeline_factory(), say=said.append
        )
        assert (tmp_path / "bulk.txt").read_bytes() == (tmp_path / "plain.txt").read_bytes()
        assert [line for line in said if line.startswith("warning")] == warnings
        assert len(warnings) == 2


class TestDistinctHypotheses:
    def test_equal_texts_are_merged_and_unfilled_rows_left_out(self) -> None:
        from bitext.components.translation.translator import UNFILLED_SCORE, _distinct

        found = _distinct([b"a", b"b", b"a", b""], [-1.0, -2.0, -3.0, UNFILLED_SCORE])
        assert found == [Translation("a", -1.0), Translation("b", -2.0)]
        assert _distinct([b""], [UNFILLED_SCORE]) == [Translation("", UNFILLED_SCORE)]
