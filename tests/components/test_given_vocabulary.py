"""A user's own vocabulary: tokens equal those of the library, or the file is refused."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import io
import itertools
import random
import re
from pathlib import Path

import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.shared.errors import DataError
from bitext.components.text import (
    WORD_BOUNDARY,
    TextSettings,
    sentencepiece_model,
)
from bitext.components.text import given as given_vocabulary
from bitext.components.text.normalization import normalize
from bitext.components.text.pretokens import pretokenize, replaced
from bitext.components.text.processor import TextProcessor

WORDS = [
    *[
        "the",
        "cat",
        "sat",
        "on",
        "a",
        "mat",
        "while",
        "seven",
        "ñandúes",
        "sang",
        "їжак",
        "猫",
        "songs,",
        "didn't",
        "they?",
        "42",
        "cats!",
    ],
    *["café", "½", "™", "state-of"],
]
LINES = [" ".join(random.Random(n).choices(WORDS, k=9)) for n in range(400)]
OTHERS = ["thesat", "catcat", "mmmm", "㎏ ²", "Ａ", "x", "…", ""]
TEXTS = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from([*WORDS, *OTHERS]), max_size=8).map(" ".join),
    st.text(alphabet="aceht snmy½™é猫x▁'", max_size=40),
)


@functools.cache
def model(**options) -> bytes:
    """Trains a SentencePiece model."""
    writer = io.BytesIO()
    values = {"model_type": "bpe", "vocab_size": 150, "hard_vocab_limit": False, "minloglevel": 2, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=writer, **values)
    return writer.getvalue()


@dataclasses.dataclass
class Own:
    """A given vocabulary, and the text path that uses it."""

    given: given_vocabulary.Given
    processor: TextProcessor
    pieces: list[str]

    @classmethod
    def of(cls, content: bytes, folder: Path, counted: list[str] = LINES, **changes) -> Own:
        file = folder / "given"
        file.write_bytes(content)
        given = given_vocabulary.read(str(file))
        text = tf.constant([normalize(line) for line in counted])
        words = pretokenize(
            replaced(text, given.segmentation), given.segmentation, TextSettings(**changes)
        ).values
        text_settings = TextSettings(**changes)
        counts = collections.Counter(w.decode() for w in words.numpy().tolist())
        vocabulary = given.vocabulary(counts, text_settings)
        paths = folder / "vocabulary", folder / "merges"
        for path, lines in zip(paths, (vocabulary.vocabulary_file(), vocabulary.merges_file()), strict=True):
            path.write_bytes(lines)
        processor = TextProcessor(text_settings, *map(str, paths), given.segmentation)
        return cls(given, processor, processor.pieces())

    def tokens(self, texts: list[str]) -> list[list[str]]:
        ids = self.processor.tokenize(tf.constant(texts, tf.string)).to_list()
        return [[self.pieces[i] for i in row] for row in ids]

    def round_trip(self, texts: list[str]) -> list[str]:
        ids = self.processor.tokenize(tf.constant(texts, tf.string)).to_tensor()
        return [text.decode() for text in self.processor.detokenize(ids).numpy().tolist()]


def library_tokens(content: bytes, text: str) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    return [str(piece) for piece in processor.encode(normalize(text), out_type=str)]


def without_bytes(tokens: list[str], known: set[str]) -> list[str]:
    """Tokens with `?` for each run of bytes or of tokens that are not known."""
    result: list[str] = []
    for token in tokens:
        unknown = re.fullmatch("<0x..>", token) or token not in known
        if not (unknown and result[-1:] == ["?"]):
            result.append("?" if unknown else token)
    return result


OPTIONS = [
    {},
    {"byte_fallback": True, "vocab_size": 420},
    {"normalization_rule_name": "identity", "byte_fallback": True, "vocab_size": 420},
    {"normalization_rule_name": "nmt_nfkc_cf"},
    {"add_dummy_prefix": False},
    {"split_by_unicode_script": False, "split_by_number": False, "vocab_size": 250},
    {"control_symbols": "<2es>", "pad_id": 3},
    {"split_digits": True, "character_coverage": 0.98},
]


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
            ({"model_type": "unigram", "vocab_size": 60}, "is a unigram model, not BPE"),
            ({"model_type": "char"}, "is a character model"),
            ({"model_type": "word", "vocab_size": 20}, "is a word model"),
            ({"treat_whitespace_as_suffix": True}, "treat_whitespace_as_suffix"),
            ({"user_defined_symbols": "<ph>"}, r"has 1 user-defined symbols \(<ph>\)"),
            ({"split_by_whitespace": False, "vocab_size": 400}, "split_by_whitespace: false"),
            ({"remove_extra_whitespaces": False}, "remove_extra_whitespaces: false"),
        ],
        ids=str,
    )
    def test_what_cannot_be_applied_is_refused_by_name(self, tmp_path, options, reason):
        file = tmp_path / "own.model"
        file.write_bytes(model(**options))
        with pytest.raises(DataError, match=f"own.model.*{reason}.*cannot apply exactly") as caught:
            given_vocabulary.read(str(file))
        assert "transform.vocabulary_file" in caught.value.remedy

    def test_a_normalization_rule_of_ones_own_is_refused(self, tmp_path):
        rules = tmp_path / "rules.tsv"
        rules.write_text("41\t62\n")
        content = model(normalization_rule_tsv=str(rules))
        with pytest.raises(DataError, match="normalization rule"):
            sentencepiece_model.Model.parse(content, "own.model")

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


def apply_bpe(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding of a word as `apply_bpe.py` of subword-nmt 0.3 has it (Sennrich et al. 2016)."""
    symbols = [*word[:-1], word[-1] + "</w>"]
    while len(symbols) > 1:
        pairs = [(ranks[p], i, p) for i, p in enumerate(itertools.pairwise(symbols)) if p in ranks]
        if not pairs:
            break
        bigram = min(pairs)[2]
        positions = [i for _, i, pair in pairs if pair == bigram]
        i, merged = 0, []
        for j in positions:
            if j < i:
                continue
            merged += [*symbols[i:j], "".join(bigram)]
            i = j + 2
        symbols = merged + symbols[i:]
    return symbols


def learn_merges(lines: list[str], count: int) -> list[tuple[str, str]]:
    """Learns merges as `learn_bpe.py` does."""
    words = collections.Counter(word for line in lines for word in normalize(line).split())
    ranks: dict[tuple[str, str], int] = {}
    while len(ranks) < count:
        pairs: collections.Counter[tuple[str, str]] = collections.Counter()
        for word, times in words.items():
            symbols = apply_bpe(word, ranks)
            for pair in itertools.pairwise(symbols):
                pairs[pair] += times
        if not pairs:
            break
        ranks[max(pairs, key=lambda pair: (pairs[pair], pair))] = len(ranks)
    return list(ranks)


def file_of(rules: list[tuple[str, str]], header: str = "#version: 0.2\n", suffix: str = "") -> bytes:
    return (header + "".join(f"{a} {b}{suffix}\n" for a, b in rules)).encode()


SYMBOL = st.text(alphabet="abc", min_size=1, max_size=3)
ENDED = st.one_of(SYMBOL, SYMBOL.map(lambda text: text + "</w>"))


class TestMerges:
    def reference(self, text: str, rules: list[tuple[str, str]]) -> list[str]:
        ranks = {rule: rank for rank, rule in reversed(list(enumerate(rules)))}
        symbols = [s for word in normalize(text).split() for s in apply_bpe(word, ranks)]
        return [symbol.replace("</w>", WORD_BOUNDARY) for symbol in symbols]

    @pytest.mark.parametrize("suffix", ["", " 17"])
    def test_tokens_equal_those_of_subword_nmt(self, tmp_path, suffix):
        rules = learn_merges(LINES, 90)
        own = Own.of(file_of(rules, "" if suffix else "#version: 0.2\n", suffix), tmp_path)

        @settings(max_examples=25, deadline=None)
        @given(
            st.lists(
                st.lists(st.sampled_from([*WORDS, "thesat", "catcat"]), max_size=8).map(" ".join), min_size=1
            )
        )
        def equal(texts: list[str]) -> None:
            assert own.tokens(texts) == [self.reference(text, rules) for text in texts]

        equal()

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.tuples(SYMBOL, ENDED), min_size=1, max_size=25),
        st.lists(st.text(alphabet="abc ", max_size=25), min_size=1, max_size=6),
    )
    def test_any_merges_give_the_tokens_of_subword_nmt(self, tmp_path_factory, rules, texts):
        rules = [*rules, ("a", "b</w>")]
        own = Own.of(file_of(rules), tmp_path_factory.mktemp("merges"), counted=["a b c abc"])
        assert own.tokens(texts) == [self.reference(text, rules) for text in texts]

    @settings(max_examples=20, deadline=None)
    @given(st.lists(TEXTS, min_size=1, max_size=6))
    def test_the_round_trip_gives_the_normalized_text(self, tmp_path_factory, texts):
        own = Own.of(file_of(learn_merges(LINES[:40], 30)), tmp_path_factory.mktemp("merges"))
        assert own.round_trip(texts) == [normalize(text) for text in texts]

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"#version: 0.2\na b</w>\nabc\n", ":3: a line must have two symbols"),
            (b"a b\nab </w>\n", "subword-nmt 0.1"),
            ("#version: 0.2\nĠ t\nh e\n".encode(), "byte-level BPE"),
            ("#version: 0.2\nâ Ģ\nh e</w>\n".encode(), "byte-level BPE"),
            (b'{"model": {}}', "is JSON"),
            (b"the 1234\ncat 100\n", "list of tokens with numbers"),
            ("▁the\t-3.2\nx\t-4\n".encode(), "list of tokens with numbers"),
            (b"\xff\xfe\x00\x01", "neither a SentencePiece model nor UTF-8"),
            (b"", "must have two symbols"),
        ],
    )
    def test_other_files_are_refused_by_what_they_are(self, tmp_path, content, reason):
        file = tmp_path / "codes"
        file.write_bytes(content)
        with pytest.raises(DataError, match=reason) as caught:
            given_vocabulary.read(str(file))
        assert "codes" in str(caught.value)
        assert caught.value.remedy

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(DataError, match="none.model"):
            given_vocabulary.read(str(tmp_path / "none.model"))


@pytest.mark.parametrize("merges", [True, False])
def test_whole_tokens_are_added_to_a_given_vocabulary(tmp_path, merges):
    content = file_of(learn_merges(LINES, 60)) if merges else model()
    own = Own.of(content, tmp_path, whole_tokens=("{0}", "Model 3"), whole_token_pattern="<[a-z]+>")
    plain = Own.of(content, tmp_path, counted=LINES)
    (tokens,) = own.tokens(["the cat {0} Model 3, <br>"])
    assert [token for token in tokens if token in ("{0}", "Model▁3")] == ["{0}", "Model▁3"]
    assert own.round_trip(["the cat {0} Model 3, <br>!"]) == ["the cat {0} Model 3, <br>!"]
    assert own.tokens(LINES[:20]) == plain.tokens(LINES[:20])
