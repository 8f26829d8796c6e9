"""Words, their counts in the training split, differing parts and labels: against plain definitions."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.reporter.evaluation import labels, train_counts
from bitext.components.reporter.evaluation.differing import differing, tokens
from bitext.components.reporter.evaluation.labels import Words
from bitext.components.reporter.evaluation.words import (
    closest,
    joined,
    longest_of_equal,
    ngrams,
    words_of,
)
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError
from bitext.schemas import scripts

TEXTS = st.text(
    st.one_of(
        st.sampled_from("ab cd  .,'’-12"),
        st.sampled_from("éßİ\u0301\u0308\u200d🦔\ufe0fعربية\u064bשלוםदेवनागरी我爱あアสวัสดี"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=40,
)


class TestWords:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("Hola, ¿qué tal?", ["hola", "qué", "tal"]),
            ("Don't; don’t - 'tis", ["don't", "don't", "tis"]),
            (
                "I'm a well-known rock'n'roll fan of the '90s",
                ["i'm", "a", "well", "known", "rock'n'roll", "fan", "of", "the", "90s"],
            ),
            ("私'は a'は \u02bc \u02bctis", ["私", "は", "a", "は", "tis"]),
            ("我爱iPhone 15。", ["我", "爱", "iphone", "15"]),
            ("ก็ได้", ["ก็", "ไ", "ด้"]),
            ("e\u0301te\u0301 ÉTÉ", ["été", "été"]),
            ("العربيّة!", ["العربيّة"]),
            ("🦔 … ", []),
            ("", []),
        ],
    )
    def test_examples(self, text: str, words: list[str]) -> None:
        assert words_of([text]) == [words]

    @given(st.lists(TEXTS, max_size=6))
    def test_each_text_has_its_words_whatever_the_others_are(self, texts: list[str]) -> None:
        together = words_of(texts)
        assert together == [words_of([text])[0] for text in texts]
        assert all(word and not any(map(str.isspace, word)) for words in together for word in words)

    def test_every_script_without_blanks_is_split_into_characters(self) -> None:
        for script, ranges in scripts.RANGES.items():
            letters = [
                chr(code)
                for first, last in ranges
                for code in range(first, min(last, first + 400) + 1)
                if chr(code).isalpha() and scripts.script_of(chr(code)) == script
            ][:2]
            [words] = words_of(["".join(letters)])
            assert (len(words) == 1) == scripts.counts_words(script), script

    def test_the_closest_reference_shares_most_words(self) -> None:
        assert closest(["a", "b"], [["c"], ["a"], ["b", "a"], ["a", "b"]]) == 2
        assert closest([], [["a"], []]) == 1
        assert closest(["x"], [["a"], ["b"]]) == 0

    def test_ngrams_are_joined_as_their_scripts_are_written(self) -> None:
        assert joined(["en", "la", "casa"]) == "en la casa"
        assert joined(["2", "つ", "の"]) == "2つの"
        assert joined([]) == ""

    def test_parts_of_an_ngram_with_its_value_are_left_out(self) -> None:
        values = {("a", "b", "c"): 3.0, ("a", "b"): 3.0, ("b",): 5.0, ("c",): 3.0, ("x",): 1.0}
        order = sorted(values, key=lambda ngram: (-values[ngram], -len(ngram)))
        assert longest_of_equal(order, values, 9) == [("b",), ("a", "b", "c"), ("x",)]
        assert longest_of_equal(order, values, 2) == [("b",), ("a", "b", "c")]


def examples_with(folder: Path, pairs: list[tuple[str, str]], shards: int = 1) -> artifacts.Examples:
    """Returns examples with a training split."""
    examples = artifacts.Examples(folder)
    examples.split("train").mkdir(parents=True)
    import pyarrow as pa

    for shard in range(shards):
        rows = pairs[shard::shards]
        columns = {
            "id": pa.array([f"a:{shard}:{n}" for n in range(len(rows))], pa.string()),
            "source": pa.array([source for source, _ in rows], pa.string()),
            "target": pa.array([target for _, target in rows], pa.string()),
        }
        tfrecord.write_examples(examples.shard("train", shard, shards), columns)
    return examples


class TestTrainCounts:
    WORDS = st.lists(st.sampled_from(["a", "b", "c", "d'e", "我", "爱"]), max_size=7).map(" ".join)

    @settings(deadline=None, max_examples=40)
    @given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8), st.lists(WORDS, min_size=1, max_size=5))
    def test_counts_and_overlap_equal_those_of_a_loop(
        self, tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], held_out: list[str]
    ) -> None:
        examples = examples_with(tmp_path_factory.mktemp("examples"), pairs, shards=2)
        sources = words_of(held_out)
        counts = train_counts.count([examples], sources, [["我", "z"]])
        trained = [words_of([source])[0] for source, _ in pairs]
        target = Counter(word for _, text in pairs for word in words_of([text])[0])
        source = Counter(word for words in trained for word in words)
        assert counts.pairs == len(pairs)
        assert counts.source == {word: source[word] for words in sources for word in words}
        wanted = {"我", "z"}.union(*sources)
        assert counts.target == {word: target[word] for word in wanted}
        for words, share in zip(sources, counts.overlap, strict=True):
            order = min(3, len(words))
            if not order:
                assert share is None
                continue
            seen = {ngram for of_train in trained for ngram in ngrams(of_train, order)}
            own = ngrams(words, order)
            assert share == pytest.approx(sum(ngram in seen for ngram in own) / len(own))

    def test_spans_are_counted_together_and_damage_is_named(self, tmp_path: Path) -> None:
        spans = [examples_with(tmp_path / name, [("a b", "x")]) for name in "12"]
        assert train_counts.count(spans, [["a"]], [["x"]]).source == {"a": 2}
        spans[1].shard("train").write_bytes(b"")
        with pytest.raises(DataError, match="data_tfrecord-00000-of-00001.gz is damaged"):
            train_counts.count(spans, [["a"]], [["x"]])


class TestDiffering:
    @pytest.mark.parametrize(
        ("text", "reference", "parts"),
        [
            ("the red cat", "the cat", ["red"]),
            ("the cat", "the cat", []),
            ("The cat.", "the cat", ["The", "."]),
            ("", "a", []),
            ("a b", "", ["a b"]),
            ("我爱你。", "我恨你。", ["爱"]),
            ("e\u0301te\u0301", "été", []),
            ("don't go", "don’t go", ["don't"]),
            ("👩\u200d🔬 a", "👩 a", ["👩\u200d🔬"]),
            ("كتاب جديد", "كتاب قديم", ["جديد"]),
        ],
    )
    def test_examples(self, text: str, reference: str, parts: list[str]) -> None:
        assert [text[start:end] for start, end in differing(text, reference)] == parts

    @given(TEXTS)
    def test_tokens_cover_all_but_blanks_in_order(self, text: str) -> None:
        position = 0
        for start, end in tokens(text):
            assert position <= start < end <= len(text)
            assert not text[position:start].strip() or not text[position:start].isprintable()
            position = end

    @given(TEXTS, TEXTS)
    def test_parts_are_inside_and_what_is_not_marked_is_in_the_reference(
        self, text: str, reference: str
    ) -> None:
        parts = differing(text, reference)
        assert all(0 <= start < end <= len(text) for start, end in parts)
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(parts))
        assert differing(text, text) == ()
        marked = [
            span for span in tokens(text) if any(start <= span[0] and span[1] <= end for start, end in parts)
        ]
        kept = [text[start:end] for start, end in tokens(text) if (start, end) not in marked]
        other = iter(normalized(reference[start:end]) for start, end in tokens(reference))
        assert all(normalized(token) in other for token in kept), "kept tokens are in the reference, in order"

    def test_long_texts_end(self) -> None:
        text = " ".join(f"w{number % 50}" for number in range(3000))
        assert differing(text, text + " end") == ()


def normalized(text: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFC", text)


def words(hypothesis: str, source: str = "src", *references: str) -> Words:
    of_references = words_of(references or ["ref"])
    own = words_of([hypothesis])[0]
    return Words(words_of([source])[0], own, of_references, closest(own, of_references))


class TestLabels:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("no no no", True),
            ("no no", False),
            ("in the house in the house", True),
            ("the house in the garden", False),
            ("a b c d a b c d", True),
            ("a b c d e a b c d e", False),
            ("哈哈哈", False),
            ("哈哈哈哈", True),
            ("研究研究", False),
            ("研究研究研究", True),
            ("", False),
        ],
    )
    def test_repetition(self, text: str, expected: bool) -> None:
        assert labels.is_repetition(words(text)) == expected
        assert not labels.is_repetition(words(text, text)), "the source repeats it too"
        assert not labels.is_repetition(words(text, "src", "other", text)), "a reference repeats it too"

    @given(st.lists(st.sampled_from("ab"), max_size=30), st.integers(3, 6))
    def test_repetitions_are_found_wherever_they_are(self, others: list[str], times: int) -> None:
        assert labels.repetitions(["x"] * 2 + ["y"] + others) == labels.repetitions(others)
        assert labels.repetitions([*others, "end", *["x", "y"] * times]) == labels.repetitions(others) + 1

    def test_copies(self) -> None:
        assert labels.is_copy(words("The CAT", "the cat!"))
        assert not labels.is_copy(words("Tom", "Tom", "TOM"))
        assert not labels.is_copy(words("", "..."))

    @pytest.mark.parametrize(
        ("text", "references", "expected"),
        [
            ("a", ["b c d e"], True),
            ("a b c d e f", ["b"], True),
            ("a", ["b c d"], False),
            ("a b", ["b c d e"], False),
            ("a", ["b c d e f", "b"], False),
        ],
    )
    def test_length_outliers(self, text: str, references: list[str], expected: bool) -> None:
        assert labels.is_length_outlier(words(text, "src", *references)) == expected

    def test_untranslated_words(self) -> None:
        source, target = {"the": 1000, "tom": 50, "a": 900}, {"the": 3, "tom": 50, "a": 500}
        found = labels.untranslated(words("the Tom a zork 15", "The Tom a zork 15", "el Tom"), source, target)
        assert found == ["the", "zork"], "not a name of both sides, not a word of both sides, not a number"
