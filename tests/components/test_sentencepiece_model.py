"""Models of SentencePiece: tokens equal those of the library, or the model is refused."""

from __future__ import annotations

import contextlib
import io
import re

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.shared.errors import DataError
from bitext.components.text import given as given_vocabulary
from bitext.components.text import sentencepiece_model
from tests.components.own_vocabulary import (
    LINES,
    TEXTS,
    Own,
    library_tokens,
    model,
    serialized,
    without_bytes,
)

OPTIONS = [
    {},
    {"byte_fallback": True, "vocab_size": 420},
    {"normalization_rule_name": "identity", "byte_fallback": True, "vocab_size": 420},
    {"normalization_rule_name": "nmt_nfkc_cf"},
    {"add_dummy_prefix": False},
    {"split_by_unicode_script": False, "split_by_number": False, "vocab_size": 250},
    {"control_symbols": "<2es>", "pad_id": 3},
    {"split_digits": True, "character_coverage": 0.98},
    {"treat_whitespace_as_suffix": True},
    {"remove_extra_whitespaces": False},
    {"remove_extra_whitespaces": False, "normalization_rule_name": "identity"},
    {"user_defined_symbols": "<ph>,at,cat,<,猫s"},
    {"model_type": "char"},
    {"model_type": "char", "user_defined_symbols": "ca,the", "treat_whitespace_as_suffix": True},
]
UNIGRAM = [
    {},
    {"byte_fallback": True, "vocab_size": 400},
    {"normalization_rule_name": "identity", "add_dummy_prefix": False},
    {"normalization_rule_name": "nmt_nfkc_cf", "control_symbols": "<2es>", "pad_id": 3},
    {"treat_whitespace_as_suffix": True},
    {"treat_whitespace_as_suffix": True, "add_dummy_prefix": False},
    {"split_by_whitespace": False, "vocab_size": 200},
    {"split_by_unicode_script": False, "split_by_number": False, "split_digits": True},
    {"remove_extra_whitespaces": False},
    {"user_defined_symbols": "<ph>,at,cat,<,猫s,at▁on"},
    {"bos_id": -1, "eos_id": -1, "unk_id": 0, "character_coverage": 0.98},
]
OPTIONS += [{"model_type": "unigram", "vocab_size": 80, **options} for options in UNIGRAM]


class TestSentencePiece:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_tokens_equal_those_of_the_library(self, tmp_path, options):
        content = model(**options)
        own = Own.of(content, tmp_path)
        known = {*own.given.pieces, *own.given.characters}
        assert own.given.byte_fallback == bool(options.get("byte_fallback"))

        @settings(max_examples=25, deadline=None)
        @given(st.lists(TEXTS, min_size=1, max_size=8))
        def equal(texts: list[str]) -> None:
            # A mark after a replaced character is composed with it in more cases than in the library.
            texts = [re.sub(r"[\u0300-\u036f\u3099\u309a]", "", text) for text in texts]
            compare(texts)

        def compare(texts: list[str]) -> None:
            for text, tokens in zip(texts, own.tokens(texts), strict=True):
                expected = library_tokens(content, text)
                if own.given.byte_fallback:
                    assert tokens == expected, text
                else:
                    assert without_bytes(tokens, known) == without_bytes(expected, known), text

        equal()
        compare(LINES)

    def test_the_round_trip_gives_the_text_as_the_model_normalizes_it(self, tmp_path):
        own = Own.of(model(), tmp_path)
        texts = ["the cat sat!", "café ½ of 42 猫", "unbekannt żółć", "", "x™"]
        assert own.round_trip(texts) == ["the cat sat!", "café 1⁄2 of 42 猫", "unbekannt żółć", "", "xTM"]

    def test_a_long_word_is_cut_and_not_slow(self, tmp_path):
        own = Own.of(model(), tmp_path)
        assert own.round_trip(["x" * 3_000]) == ["x" * 3_000]

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"model_type": "word", "vocab_size": 20}, "is a word model"),
            ({"treat_whitespace_as_suffix": True, "add_dummy_prefix": False}, "without add_dummy_prefix"),
            ({"user_defined_symbols": "the▁cat"}, "the user-defined symbol 'the▁cat' with a space"),
            (
                {"user_defined_symbols": "™"},
                "the user-defined symbol '™', whose characters its normalization",
            ),
            ({"user_defined_symbols": "<0x41>"}, "the name of a special token of bitext"),
            ({"split_by_whitespace": False, "vocab_size": 400}, "split_by_whitespace: false"),
        ],
        ids=str,
    )
    def test_what_cannot_be_applied_is_refused_by_name(self, tmp_path, options, reason):
        file = tmp_path / "own.model"
        file.write_bytes(model(**options))
        with pytest.raises(DataError, match=f"own.model.*{reason}.*cannot apply exactly") as caught:
            given_vocabulary.read(str(file))
        assert "transform.vocabulary_file" in caught.value.remedy

    @pytest.mark.parametrize("kind", ["bpe", "unigram"])
    def test_a_normalization_rule_of_ones_own_for_characters_is_applied(self, tmp_path, kind):
        rules = tmp_path / "rules.tsv"
        rules.write_text("43\t63\n79\t\nBD\t31 20 32\n61 308\tE4\n65 301\tE9\n732B\t63 61 74\n")
        content = model(model_type=kind, vocab_size=90, normalization_rule_tsv=str(rules))
        own = Own.of(content, tmp_path)
        known = {*own.given.pieces, *own.given.characters}
        texts = ["Cat they 1½ y", "猫 CatC", "½", "y", "äé", *LINES[:20]]
        for text, tokens in zip(texts, own.tokens(texts), strict=True):
            assert without_bytes(tokens, known) == without_bytes(library_tokens(content, text), known)

    @pytest.mark.parametrize("rule", ["63 61\t63", "61 301\t61", "20 63\t64"])
    def test_a_rule_that_replaces_several_characters_as_a_whole_is_refused(self, tmp_path, rule):
        rules = tmp_path / "rules.tsv"
        rules.write_text(f"41\t62\n61 308\tE4\n{rule}\n")
        content = model(normalization_rule_tsv=str(rules))
        expected = "".join(chr(int(code, 16)) for code in rule.split("\t")[0].split())
        if expected == "a\u0301":
            # Composed text (NFC) does not have it.
            assert sentencepiece_model.Model.parse(content, "own.model").normalizer == {"A": "b"}
            return
        with pytest.raises(DataError, match=f"'user_defined', which replaces {expected!r} as a whole"):
            sentencepiece_model.Model.parse(content, "own.model")

    @pytest.mark.parametrize(
        ("rows", "reason"),
        [
            ([("a", 0.0, 1)], "has no piece for unknown characters"),
            ([("<unk>", 0.0, 2), ("a", float("nan"), 1)], "has a score that is not finite"),
            ([("<unk>", 0.0, 2), ("a", 0.0, 1), ("a", -1.0, 1)], "has the piece 'a' several times"),
            ([("<unk>", 0.0, 2), ("<s>", 0.0, 1)], "has the ordinary piece '<s>'"),
        ],
    )
    def test_a_model_that_the_library_does_not_load_is_refused(self, rows, reason):
        with pytest.raises(DataError, match=reason):
            sentencepiece_model.Model.parse(serialized(rows), "own.model")

    def test_a_model_that_ends_after_a_piece_is_damaged(self):
        content = serialized([("<unk>", 0.0, 2), ("a", -1.0, 1), ("b", -1.0, 1)])
        cut = content.index(b"a\x15") + 8
        with pytest.raises(DataError, match="damaged SentencePiece model: it is cut short"):
            sentencepiece_model.Model.parse(content[:cut], "own.model")

    @given(st.integers(0, 10_000), st.binary(max_size=5))
    @settings(max_examples=100, deadline=None)
    def test_a_damaged_model_is_refused_or_read(self, cut, junk):
        content = model()
        damaged = content[: cut % len(content)] + junk
        if sentencepiece_model.is_model(damaged):
            with contextlib.suppress(DataError):
                sentencepiece_model.Model.parse(damaged, "own.model")

    def test_pieces_that_normalization_hides_are_told(self, tmp_path):
        lines = ["“the” cat", "the ‘cat’"] * 50
        writer = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=writer, model_type="bpe", vocab_size=25, minloglevel=2
        )
        given = Own.of(writer.getvalue(), tmp_path).given
        notes = "\n".join(given.notes(fold_quotes=True))
        assert re.search(r"\d+ of its pieces are never used.*“", notes)
        assert "never used" not in "\n".join(given.notes(fold_quotes=False))
        assert "spelled in its UTF-8 bytes" in notes
