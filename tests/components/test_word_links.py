"""Word alignment from attention: the words of tokens, the rule, and lines of several sentences."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.translation import translate, word_links
from bitext.components.translation.attention import Attention
from bitext.components.translation.search import Search
from bitext.components.translation.sentences import Splitting, translate_blocks
from bitext.components.translation.translate import Alignments, main_align
from bitext.components.translation.translator import LineTranslator
from bitext.components.translation.word_links import align_blocks, source_word_ends, target_words
from tests import toy_model
from tests.components.small_export import Export

LINES = [
    b"the cat sat. a mat.",
    b"",
    b"  the\xc2\xa0 cat  ",
    "seven, їжак!".encode(),
    b"a \xff b. c d e? f",
    "我喝茶。他也喝。".encode(),
]


@pytest.fixture(scope="module")
def translator(export: Export) -> LineTranslator:
    return LineTranslator(export.path, Search(), 2)


def attention(weights: list[list[int]]) -> Attention:
    """Attention with these weights in percent; the last source token is `</s>`."""
    table = np.array(weights, np.uint8)
    return Attention(list(range(table.shape[1])), list(range(table.shape[0])), table)


class TestRule:
    # Source words: tokens 0 and 1, token 2. Target words: token 0, tokens 1 and 2. The last ones are </s>.
    ENDS, OWNERS = (2, 3), (0, 1, 1, -1)
    WEIGHTS: ClassVar = [[30, 25, 40, 5], [10, 0, 80, 10], [40, 20, 0, 40], [0, 0, 0, 100]]

    def test_weights_are_summed_over_source_tokens_and_averaged_over_target_tokens(self) -> None:
        weights, ends = word_links.word_weights(attention(self.WEIGHTS), self.ENDS, self.OWNERS, 2)
        np.testing.assert_allclose(weights, [[0.55, 0.40], [0.35, 0.40]])
        np.testing.assert_allclose(ends, [0.05, 0.25])

    def test_each_target_word_is_linked_to_the_largest_weight(self) -> None:
        assert word_links._links(attention(self.WEIGHTS), self.ENDS, self.OWNERS, 2, None) == [(0, 0), (1, 1)]

    def test_a_threshold_links_all_above_it(self) -> None:
        links = word_links._links(attention(self.WEIGHTS), self.ENDS, self.OWNERS, 2, 0.4)
        assert links == [(0, 0), (1, 0), (1, 1)]
        assert word_links._links(attention(self.WEIGHTS), self.ENDS, self.OWNERS, 2, 0.56) == []

    def test_a_word_that_attends_to_the_end_is_not_linked(self) -> None:
        table = [[10, 10, 20, 60], [0, 0, 100, 0]]
        assert word_links._links(attention(table), self.ENDS, [0, 1], 2, None) == [(1, 1)]

    def test_a_source_that_was_cut(self) -> None:
        table = [[10, 90, 0], [100, 0, 0]]
        assert word_links._links(attention(table), [1, 2, 5], [0, 1], 2, None) == [(0, 1), (1, 0)]


class TestTokens:
    @pytest.mark.parametrize(
        ("texts", "owners"),
        [
            (["El", "El ga", "El gato", "El gato"], [0, 1, 1, -1]),
            (["", "El", "El", "El g", ""], [0, 0, 1, 1, 0]),  # a blank alone belongs to the next word
            (["", "", ""], [-1, -1, -1]),
            (["\ufffd", "ї", "ї", "ї a"], [0, 0, 1, 1]),
        ],
    )
    def test_a_token_belongs_to_the_word_that_it_adds_to(self, texts: list[str], owners: list[int]) -> None:
        if texts[-1] == "":
            texts, owners = texts[:-1], owners[:-1]
        assert word_links._owners(texts) == owners

    def test_target_tokens(self, translator: LineTranslator, export: Export) -> None:
        text = "el gato їі"
        tokens = export.translator.target_tokens([text.encode()]).numpy()[0, 1:].tolist()
        [owners] = target_words(translator, [tokens])
        assert owners[-1] == -1
        assert sorted(set(owners[:-1])) == [0, 1, 2]
        assert owners[:-1] == sorted(owners[:-1])
        assert owners[:3] == [0, 0, 0]  # the mark of the word boundary, e, l
        assert owners[-5:-1] == [2, 2, 2, 2]  # two characters of two bytes

    def test_source_words(self, translator: LineTranslator, export: Export) -> None:
        words = ["the", "cat,", "ї"]
        total = len(export("tokenize", text=[" ".join(words).encode()])["tokens"][0])
        [ends, none] = source_word_ends(translator, [words, []])
        assert none == []
        assert ends == [4, 9, 12]
        assert total == min(12, 13)
        assert source_word_ends(translator, []) == []


class TestLines:
    @given(st.lists(st.lists(st.text("abc", min_size=1, max_size=3), max_size=4), max_size=4))
    def test_words_of_sentences_are_words_of_the_line(self, sentences: list[list[str]]) -> None:
        words = [word for sentence in sentences for word in sentence]
        places = word_links._places(words, sentences, normalized=True)
        assert places is not None
        assert [place for sentence in places for place in sentence] == list(range(len(words)))

    def test_sentences_without_a_blank_between_them_share_a_word(self) -> None:
        places = word_links._places(
            ["a", "我喝茶。他也喝。", "b"], [["a", "我喝茶。"], ["他也喝。", "b"]], normalized=False
        )
        assert places == [[0, 1], [1, 2]]

    def test_what_normalization_removes_is_a_word_of_the_line_all_the_same(self) -> None:
        assert word_links._places(["a", "\u200b", "b"], [["a", "b"]], normalized=False) == [[0, 2]]
        assert word_links._places(["a"], [["b"]], normalized=False) is None


class TestModel:
    def test_translations_are_those_without_alignments_and_links_are_in_range(
        self, translator: LineTranslator
    ) -> None:
        [plain] = translate_blocks(translator, [LINES])
        [aligned] = align_blocks(translator, [LINES], Splitting())
        assert [line.text for line in aligned.lines] == [best[0].text for best in plain.translations]
        assert aligned.too_long == plain.too_long
        for source, line in zip(LINES, aligned.lines, strict=True):
            assert line.links is not None
            assert line.links == sorted(set(line.links))
            for source_word, target_word in line.links:
                assert 0 <= source_word < len(source.decode("utf-8", "replace").split())
                assert 0 <= target_word < len(line.text.split())
        assert aligned.lines[1].pharaoh == ""
        assert any(len(line.links or ()) > 1 for line in aligned.lines)

    def test_links_of_a_line_are_those_of_its_sentences(self, translator: LineTranslator) -> None:
        first, second = b"the cat sat.", b"a mat."
        [block] = align_blocks(translator, [[first + b" " + second, first, second]], Splitting())
        both, one, other = block.lines
        words = len(first.split()), len(one.text.split())
        moved = [(source + words[0], target + words[1]) for source, target in other.links or ()]
        assert both.links == (one.links or []) + moved

    def test_a_threshold_of_the_whole_attention_links_less(self, translator: LineTranslator) -> None:
        counts = []
        for threshold in (0.01, 0.5, 1.0):
            [block] = align_blocks(translator, [LINES], Splitting(), threshold)
            counts.append(sum(len(line.links or ()) for line in block.lines))
        assert counts == sorted(counts, reverse=True)
        assert counts[0] > counts[-1]

    def test_a_model_without_attention_or_of_an_earlier_version_is_refused(
        self, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        old = LineTranslator(toy_model.save(tmp_path / "toy", "copy"))
        with pytest.raises(DataError, match="does not return the tokens of its translations"):
            next(align_blocks(old, [[b"a"]], Splitting()))
        without = Export(tmp_path_factory.mktemp("without"), attention="none")
        with pytest.raises(DataError, match="has no attention"):
            next(align_blocks(LineTranslator(without.path), [[b"the cat"]], Splitting()))


class TestFiles:
    def write(self, export: Export, folder: Path, output: Path | None, links: Path | None) -> list[str]:
        (folder / "in").write_bytes(b"\n".join(LINES) + b"\n")
        warnings = list[str]()
        places = export.path, folder / "in", output
        assert (
            main_align(*places, Alignments(links), Search(), splitting=Splitting(), warn=warnings.append) == 0
        )
        return warnings

    def test_two_files_have_a_line_for_each_line(self, export: Export, tmp_path: Path) -> None:
        warnings = self.write(export, tmp_path, tmp_path / "out", tmp_path / "links")
        assert translate.main_translate(export.path, tmp_path / "in", tmp_path / "plain", Search()) == 0
        assert (tmp_path / "out").read_bytes() == (tmp_path / "plain").read_bytes()
        links = (tmp_path / "links").read_text().split("\n")
        assert len(links) == len(LINES) + 1
        assert links[1] == links[-1] == ""
        assert not [warning for warning in warnings if "told apart" in warning]

    def test_on_standard_output_they_are_beside_the_translation(
        self, export: Export, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        self.write(export, tmp_path, tmp_path / "out", tmp_path / "links")
        self.write(export, tmp_path, None, None)
        rows = [line.split(" ||| ") for line in capfdbinary.readouterr().out.decode().splitlines()]
        assert [row[0] for row in rows] == (tmp_path / "out").read_text(encoding="utf-8").splitlines()
        assert [row[1] for row in rows] == (tmp_path / "links").read_text().splitlines()

    def test_one_file_for_both_is_refused(self, export: Export, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "out")
        with pytest.raises(ConfigError, match="have one file"):
            self.write(export, tmp_path, tmp_path / "out", tmp_path / "link")
        with pytest.raises(ConfigError, match="it is the input"):
            self.write(export, tmp_path, tmp_path / "out", tmp_path / "in")

    def test_a_line_whose_words_cannot_be_told_apart_is_told(
        self, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(word_links, "_places", lambda *_, **__: None)
        warnings = self.write(export, tmp_path, tmp_path / "out", tmp_path / "links")
        told = [warning for warning in warnings if "told apart" in warning]
        assert told[0] == "warning: line 1: its words cannot be told apart; it has no alignment"
        assert len(told) == len(LINES)
        assert (tmp_path / "links").read_text() == "\n" * len(LINES)
