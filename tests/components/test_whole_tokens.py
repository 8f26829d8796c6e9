"""Texts that stay whole: an id of their own, and the same text after a round trip."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.artifacts import Segmentation
from bitext.components.shared.errors import ConfigError
from bitext.components.text import WHOLE_MARK, TextSettings, learn
from bitext.components.text.normalization import normalize
from bitext.components.text.pretokens import pretokenize
from bitext.components.text.processor import TextProcessor
from bitext.components.transform import CorpusUse, Parameters, WeightedParameters
from bitext.components.transform.given_sides import text_settings
from bitext.components.transform.pattern import check_pattern
from bitext.components.translation.graph_operations import CALLING, COMPUTING
from tests.components.own_vocabulary import Own, model

WHOLE = ("{name}", "<br>", "Model 3", "Go", "C++", "%", "ñandú", "{name} {name}")
OTHERS = ("AB-12", "QQ-7", "Go", "x", " ", "the", "猫", ".")
PATTERN = r"[A-Z]+-[0-9]+|https?://[a-z.]+"
LINES = [
    "Go to {name}, Good Model 3!",
    "Model 35 and Model 3 by AB-12 in 5 % or 7%",
    "see https://example.org or <br>AB-12<br> now",
    "the ñandú and the ñandúes like C++ and Gopher",
] * 3


def processor_of(folder: Path, unit: str = "subword", size: int = 330, **changes) -> TextProcessor:
    values = {"whole_tokens": WHOLE, "whole_token_pattern": PATTERN, **changes}
    text = TextSettings(unit=unit, **values)
    words = (
        pretokenize(tf.constant([normalize(line) for line in LINES]), settings=text).values.numpy().tolist()
    )
    vocabulary = learn.learn(collections.Counter(word.decode() for word in words), text, size)
    assert len(set(vocabulary.pieces)) == len(vocabulary.pieces) <= size
    paths = folder / "vocabulary", folder / "merges"
    paths[0].write_bytes(vocabulary.vocabulary_file())
    paths[1].write_bytes(vocabulary.merges_file())
    return TextProcessor(text, *map(str, paths))


def tokens(processor: TextProcessor, text: str) -> list[str]:
    pieces = processor.pieces()
    return [pieces[i] for i in processor.tokenize(tf.constant([text])).to_list()[0]]


def round_trip(processor: TextProcessor, texts: list[str]) -> list[str]:
    ids = processor.tokenize(tf.constant(texts, tf.string)).to_tensor()
    return [text.decode() for text in processor.detokenize(ids).numpy().tolist()]


@pytest.fixture(scope="module")
def subwords(tmp_path_factory) -> TextProcessor:
    return processor_of(tmp_path_factory.mktemp("subwords"))


class TestPretokens:
    def split(self, text: str, **changes) -> list[str]:
        values = {"whole_tokens": WHOLE, "whole_token_pattern": PATTERN, **changes}
        (row,) = pretokenize(tf.constant([text]), settings=TextSettings(**values)).to_list()
        return [word.decode().replace(WHOLE_MARK, "*") for word in row]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Go", ["▁", "*Go"]),
            ("Good Gopher", ["▁Good", "▁Gopher"]),
            ("({name})", ["▁(", "*{name}", ")"]),
            ("a{name}b", ["▁a", "*{name}", "b"]),
            ("Model 3 Model 35", ["▁", "*Model▁3", "▁Model", "▁35"]),
            ("Go Go", ["▁", "*Go", "▁", "*Go"]),
            ("{name} {name}", ["▁", "*{name}▁{name}"]),
            ("AB-12, AB", ["▁", "*AB-12", ",", "▁AB"]),
            ("5 %", ["▁5", "▁", "*%"]),
            ("C++ or C+", ["▁", "*C++", "▁or", "▁C", "+"]),
            ("ñandúes ñandú", ["▁ñandúes", "▁", "*ñandú"]),
            ("", []),
        ],
    )
    def test_listed_texts_and_matches_are_pretokens(self, text, expected):
        assert self.split(text) == expected

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.text(alphabet="aé1-. ▁{}", max_size=12), min_size=1, max_size=5))
    def test_without_an_occurrence_text_is_split_as_without_whole_tokens(self, texts):
        texts = [normalize(text) for text in texts]
        whole = TextSettings(whole_tokens=("{name}", "Go"), whole_token_pattern="X+")
        expected = pretokenize(tf.constant(texts)).to_list()
        assert pretokenize(tf.constant(texts), settings=whole).to_list() == expected


class TestTokens:
    @pytest.mark.parametrize("unit", ["subword", "word", "character"])
    def test_a_listed_text_is_one_token_of_its_own(self, tmp_path, unit):
        processor = processor_of(tmp_path, unit, 80 if unit == "word" else 330)
        pieces = processor.pieces()
        assert all(text.replace(" ", "▁") in pieces for text in WHOLE)
        assert tokens(processor, "Go")[-1] == "Go"
        assert tokens(processor, "the {name}")[-1] == "{name}"
        assert tokens(processor, "<br>")[-1] == "<br>"
        assert "Go" not in tokens(processor, "Good")

    def test_a_match_of_the_pattern_that_was_seen_is_one_token_and_another_is_spelled(self, subwords):
        assert tokens(subwords, "AB-12")[-1] == "AB-12"
        assert "https://example.org" in tokens(subwords, "see https://example.org now")
        unseen = tokens(subwords, "XY-99")
        assert "".join(t for t in unseen if not re.fullmatch("<0x..>", t)) in "▁XY-99"
        assert all(len(token) == 1 or re.fullmatch("<0x..>", token) for token in unseen)

    def test_text_that_spells_a_special_token_does_not_become_one(self, tmp_path):
        for unit, size in (("subword", 330), ("word", 60)):
            processor = processor_of(tmp_path, unit, size, whole_token_pattern="<[^>]+>|[A-Z]+-[0-9]+")
            for text in ("<s>", "<pad> a", "</s>", "<0x41>"):
                ids = processor.tokenize(tf.constant([text])).to_list()[0]
                assert not {0, 1, 2} & set(ids)
        assert round_trip(processor_of(tmp_path, whole_token_pattern="<[^>]+>"), ["</s> <0x41> <s>"]) == [
            "</s> <0x41> <s>"
        ]

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(
            st.lists(st.sampled_from([*WHOLE, "AB-12", "QQ-7", "Go", "x", " ", "the", "猫", "."])).map(
                "".join
            ),
            min_size=1,
            max_size=6,
        )
    )
    def test_the_round_trip_gives_the_normalized_text(self, subwords, texts):
        assert round_trip(subwords, texts) == [normalize(text) for text in texts]


@pytest.mark.parametrize("mark", ["before", "after"])
def test_the_graph_has_only_operations_that_translate_accepts(tmp_path, mark):
    """With whole tokens, a pattern, replaced characters and the merges of a file."""
    plain = processor_of(tmp_path)
    segmentation = Segmentation(split="spaces", mark=mark, all_occurrences=True, replacements={"½": "1/2"})
    text = TextSettings(whole_tokens=WHOLE, whole_token_pattern=PATTERN)
    paths = tmp_path / "vocabulary", tmp_path / "merges"
    processor = TextProcessor(text, *map(str, paths), segmentation)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def there_and_back(texts: tf.Tensor) -> tf.Tensor:
        return processor.detokenize(processor.tokenize(texts).to_tensor())

    graph = there_and_back.get_concrete_function().graph.as_graph_def()
    functions = {function.signature.name for function in graph.library.function}
    operations = {node.op for node in graph.node}
    operations |= {node.op for function in graph.library.function for node in function.node_def}
    assert operations - functions <= COMPUTING | CALLING
    assert there_and_back(tf.constant(["Go ½ {name}x AB-12"])).numpy()[0].decode() == "Go 1/2 {name}x AB-12"
    assert plain.size() == processor.size()


class TestSettings:
    def test_texts_are_normalized_as_input_is(self):
        parameters = Parameters(whole_tokens=("Ｇｏ", "İ’x", "Go"), lowercase=True, whole_token_pattern="a+")
        assert text_settings(parameters).whole_tokens == ("go", "i̇'x")
        assert text_settings(parameters).whole_token_pattern == "a+"

    def test_the_tags_of_corpora_stay_whole(self):
        uses = (CorpusUse("law", 1.0, "<law>"), CorpusUse("web", 1.0, ""))
        parameters = WeightedParameters(whole_tokens=("Go",), corpora=uses)
        assert text_settings(parameters).whole_tokens == ("Go", "<law>")

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"whole_tokens": ("a", " ")}, "a text of whole_tokens is blank"),
            ({"whole_tokens": ("</s>",)}, "is the name of a special token"),
            ({"whole_tokens": ("<0x0A>",)}, "is the name of a special token"),
            ({"whole_tokens": tuple("abcdef"), "vocabulary_size": 270}, "more than half of vocabulary_size"),
        ],
    )
    def test_useless_texts_are_refused(self, values, message):
        with pytest.raises(ValueError, match=message):
            Parameters(**values)

    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            ("(", "is no regular expression"),
            ("a)|(b", "is no regular expression"),
            ("(?=a)", "RE2"),
            (r"\1", "RE2"),
            ("a*", "the empty text"),
            ("a|b?", "the empty text"),
            (r"\b", "the empty text"),
            (".+", "whole sentences"),
            (r"[\p{L}ー]+", "whole sentences"),
        ],
    )
    def test_a_bad_pattern_is_refused(self, pattern, message):
        with pytest.raises(ConfigError, match=re.escape(message)) as caught:
            check_pattern(pattern)
        assert "transform.whole_token_pattern" in str(caught.value)

    def test_no_pattern_is_no_error(self):
        check_pattern("")


PLACEHOLDERS = (
    "__NAME__",
    "{0}",
    "{0}{1}",
    "<b>",
    "</b>",
    "%s",
    "$HOME",
    "Acme Corp.",
    "Acme",
    "O'Reilly & Co",
)
ALNUM = r"[^\W_]"


def found_in(text: str) -> list[str]:
    """The placeholders of a text from left to right, the longest first, where their words are whole words."""
    alternatives = [
        (f"(?<!{ALNUM})" if name[0].isalnum() else "")
        + re.escape(name)
        + (f"(?!{ALNUM})" if name[-1].isalnum() else "")
        for name in sorted(PLACEHOLDERS, key=len, reverse=True)
    ]
    return re.findall("|".join(alternatives), text)


class TestPlaceholders:
    @pytest.fixture(scope="class")
    def processors(
        self, tmp_path_factory
    ) -> dict[str, Callable[[list[str]], tuple[list[list[str]], list[str]]]]:
        """Tokens and round trip, with a learned vocabulary and with that of a unigram model."""
        learned = processor_of(
            tmp_path_factory.mktemp("learned"), size=400, whole_tokens=PLACEHOLDERS, whole_token_pattern=""
        )
        given_one = Own.of(
            model(model_type="unigram", vocab_size=80),
            tmp_path_factory.mktemp("unigram"),
            whole_tokens=PLACEHOLDERS,
        )
        return {
            "learned": lambda texts: ([tokens(learned, t) for t in texts], round_trip(learned, texts)),
            "unigram": lambda texts: (given_one.tokens(texts, traced=False), given_one.round_trip(texts)),
        }

    @pytest.mark.parametrize("kind", ["learned", "unigram"])
    def test_they_come_out_unbroken_wherever_they_stand(self, processors, kind):
        parts = st.sampled_from(
            [*PLACEHOLDERS, " ", " ", ",", "x", "the cat", "7", "é", "猫", "(", "acme", "-"]
        )

        @settings(max_examples=25, deadline=None)
        @given(st.lists(st.lists(parts, max_size=9).map("".join), min_size=1, max_size=4))
        def unbroken(texts: list[str]) -> None:
            texts = [normalize(text) for text in texts]
            rows, after = processors[kind](texts)
            assert after == texts
            for text, row in zip(texts, rows, strict=True):
                names = [token.replace("▁", " ") for token in row if token.replace("▁", " ") in PLACEHOLDERS]
                assert names == found_in(text), text

        unbroken()

    def test_they_are_found_in_lower_case_text_too(self, tmp_path):
        text = TextSettings(lowercase=True, whole_tokens=("__name__", "acme corp."))
        given_one = Own.of(
            model(model_type="unigram", vocab_size=80),
            tmp_path,
            lowercase=True,
            whole_tokens=text.whole_tokens,
        )
        assert given_one.round_trip(["Hi __NAME__ of ACME Corp.!"]) == ["hi __name__ of acme corp.!"]
        (row,) = given_one.tokens(["Hi __NAME__ of ACME Corp.!"], traced=False)
        assert {"__name__", "acme▁corp."} <= set(row)
