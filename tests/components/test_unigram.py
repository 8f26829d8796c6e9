"""The search of a unigram model: equal to sentencepiece's also where rounding or a tie decides."""

from __future__ import annotations

import itertools
import random
import struct

import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.text import trie, unigram
from bitext.components.transform import resegment
from bitext.components.translation.graph_operations import CALLING, COMPUTING
from tests.components.own_vocabulary import LINES, Own, library_tokens, model, serialized

PLAIN = {"model_type": "unigram", "vocab_size": 80}
SCORES = (-1.0, -2.0, -0.1, -0.7, -3.3, -1e-7, -2.0000002, 0.0, 0.5)
PIECES = ["".join(letters) for size in (1, 2, 3, 4) for letters in itertools.product("ab▁", repeat=size)]
PIECES = [piece for piece in PIECES if "▁▁" not in piece]


class TestEqualToTheLibrary:
    @settings(max_examples=60, deadline=None)
    @given(
        st.dictionaries(st.sampled_from(PIECES), st.sampled_from(SCORES), min_size=1, max_size=25),
        st.lists(st.text(alphabet="ab c", max_size=40), min_size=1, max_size=6),
    )
    def test_with_any_pieces_and_scores_that_tie(self, tmp_path_factory, pieces, texts):
        content = serialized([("<unk>", 0.0, 2), *((piece, score, 1) for piece, score in pieces.items())])
        own = Own.of(content, tmp_path_factory.mktemp("unigram"))
        for text, tokens in zip(texts, own.tokens(texts, traced=False), strict=True):
            expected = [token.replace("c", "<0x63>") for token in library_tokens(content, text)]
            assert spelled(tokens) == "".join(expected).replace("▁", "_")
            known = [token for token in library_tokens(content, text) if token in pieces]
            assert [token for token in tokens if token in pieces] == known

    def test_sums_that_are_large_begin_at_zero_again(self, tmp_path):
        """`kScoreResetThreshold`: rounding would otherwise hide the difference of small scores."""
        pieces = [
            ("a", -60_000.0),
            ("b", -0.25),
            ("c", -0.125),
            ("bc", -0.380),
            ("▁", -0.5),
            ("▁a", -70_000.0),
        ]
        content = serialized([("<unk>", 0.0, 2), *((piece, score, 1) for piece, score in pieces)])
        own = Own.of(content, tmp_path)
        texts = ["aaaa bc", "bcaabcaabc abc", "a" * 90 + "bc bc abc"]
        assert own.tokens(texts) == [library_tokens(content, text) for text in texts]

    def test_unused_pieces_are_not_found_and_symbols_are(self, tmp_path):
        rows = [("<unk>", 0.0, 2), ("ab", -0.1, 5), ("a", -2.0, 1), ("b", -2.0, 1), ("▁", -1.0, 1)]
        content = serialized([*rows, ("bb", 0.0, 4), ("b▁a", 0.0, 4)])
        own = Own.of(content, tmp_path)
        texts = ["ab", "abb", "abbb ab", "bbb a"]
        assert own.tokens(texts) == [library_tokens(content, text) for text in texts]
        assert own.tokens(["ab", "abb"]) == [["▁", "a", "b"], ["▁", "a", "bb"]]

    @pytest.mark.parametrize("options", [PLAIN, {**PLAIN, "split_by_whitespace": False, "vocab_size": 200}])
    def test_texts_of_all_lengths_in_one_batch(self, tmp_path, options):
        content = model(**options)
        own = Own.of(content, tmp_path)
        long = " ".join(["the", "cat", "sat", "on", "mats"][n * n % 5] for n in range(1500))
        texts = ["", "a", long, "thecat" * 100, *LINES[:3], ""]
        assert len(long) > unigram.LONGEST_PART
        tokens = own.tokens(texts)
        for text, found in zip(texts, tokens, strict=True):
            assert text == long or found == library_tokens(content, text)
        # A long text is searched in parts. U+2581 before it is the first character.
        cut = unigram.LONGEST_PART - 1
        before = library_tokens(content, long[:cut])
        assert tokens[2][: len(before)] == before
        assert "".join(tokens[2][len(before) :]) == long[cut:].replace(" ", "▁")


def spelled(tokens: list[str]) -> str:
    """The text of tokens, with bytes that are no letter spelled as U+2581 is here."""
    joined = "".join(tokens)
    return (
        joined.replace("<0xE2><0x96><0x81>", "_")
        .replace("<0x61>", "a")
        .replace("<0x62>", "b")
        .replace("▁", "_")
    )


class TestWholeTokens:
    def test_they_are_one_token_and_the_rest_stays_as_it_is(self, tmp_path):
        content = model(**PLAIN)
        own = Own.of(
            content, tmp_path, whole_tokens=("{0}", "Model 3", "the"), whole_token_pattern="<[a-z]+>"
        )
        texts = ["cat {0} Model 3, <br>!", "{0}", "{0}{0} Model 3", "<br>cat<hr>", "猫{0}"]
        for text, tokens in zip(texts, own.tokens(texts), strict=True):
            assert tokens.count("{0}") == text.count("{0}")
            assert tokens.count("Model▁3") == text.count("Model 3")
        assert own.tokens(["the"])[0][-1] == "the"
        assert own.round_trip(texts) == texts
        others = [line for line in LINES[:40] if " the " not in f" {line} "]
        assert own.tokens(others) == [library_tokens(content, line) for line in others]

    def test_a_match_without_an_id_is_spelled_in_characters(self, tmp_path):
        own = Own.of(model(**PLAIN), tmp_path, counted=["the"], whole_token_pattern="cats?")
        assert own.tokens(["the cat"])[0][-3:] == ["c", "a", "t"]
        (tokens,) = own.tokens(["cats on"])
        assert tokens[1:5] == ["c", "a", "t", "s"]


def test_the_trie_has_a_line_for_each_prefix():
    scores = {"a": (260, -1.0), "abc": (261, -2.5)}
    lines = list(trie.edges(scores, -12.5))
    bits = {value: struct.unpack("<f", struct.pack("<i", value >> 32))[0] for *_, value in lines}
    assert [(left, right, bits[value], value & 0xFFFFFFFF) for left, right, value in lines] == [
        (-1, 0, -12.5, 3),
        (0, ord("a"), -1.0, 260),
        (260, ord("b"), float("-inf"), lines[2][2] & 0xFFFFFFFF),
        (lines[2][2] & 0xFFFFFFFF, ord("c"), -2.5, 261),
    ]
    assert lines[2][2] & 0xFFFFFFFF >= 2**30


def test_the_graph_has_only_operations_that_translate_accepts(tmp_path):
    own = Own.of(model(**PLAIN), tmp_path, whole_tokens=("{0}",), whole_token_pattern="<[a-z]+>")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def there_and_back(texts: tf.Tensor) -> tf.Tensor:
        return own.processor.detokenize(own.processor.tokenize(texts).to_tensor())

    graph = there_and_back.get_concrete_function().graph.as_graph_def()
    functions = {function.signature.name for function in graph.library.function}
    operations = {node.op for node in graph.node}
    operations |= {node.op for function in graph.library.function for node in function.node_def}
    assert operations - functions <= COMPUTING | CALLING
    assert there_and_back(tf.constant(["the {0} cats", ""])).numpy().tolist() == [b"the {0} cats", b""]
    assert there_and_back(tf.constant([], tf.string)).numpy().tolist() == []


def test_a_text_does_not_depend_on_its_batch(tmp_path):
    own = Own.of(model(**PLAIN), tmp_path)
    texts = [*LINES[:50], "", "x" * 700]
    random.Random(1).shuffle(texts)
    assert own.tokens(texts) == [own.tokens([text])[0] for text in texts]


def test_pieces_can_be_split_into_ordinary_pieces_only(tmp_path):
    content = model(**PLAIN, user_defined_symbols="cat,ats")
    own = Own.of(content, tmp_path, whole_tokens=("on",))
    splits = resegment.Splits.of_pieces(tmp_path / "vocabulary", tmp_path / "merges")
    names = own.pieces
    pairs = {}
    for number, piece in enumerate(names):
        rows = slice(splits.starts[number], splits.starts[number + 1])
        pairs[piece] = [
            (names[left], names[right])
            for left, right in zip(splits.left[rows].tolist(), splits.right[rows].tolist(), strict=True)
        ]
        assert all(left + right == piece for left, right in pairs[piece])
    ordinary = {*own.given.pieces, *own.given.characters}
    assert not pairs["cat"]
    assert not pairs["on"]
    for piece in ordinary:
        halves = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        assert sorted(pairs[piece]) == sorted(h for h in halves if set(h) <= ordinary)
    assert any(pairs.values())
    assert sentencepiece.SentencePieceProcessor(model_proto=content).get_piece_size() > 0
