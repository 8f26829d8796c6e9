"""A user's own vocabulary: merges files, whole tokens, and runs of Transform."""

from __future__ import annotations

import collections
import gzip
import itertools

import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.text import WORD_BOUNDARY
from bitext.components.text import given as given_vocabulary
from bitext.components.text.normalization import normalize
from bitext.components.text.processor import load_text_pair
from bitext.components.transform import CorpusUse, Parameters, Transform, WeightedParameters
from bitext.components.transform.given_sides import GivenSides, text_settings
from bitext.components.transform.pattern import no_match
from tests.components.own_vocabulary import LINES, MORE_WORDS, TEXTS, Own, model
from tests.components.transform_runs import SPLITS, Run, expected_ids


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
                st.lists(st.sampled_from([*MORE_WORDS, "thesat", "catcat"]), max_size=8).map(" ".join),
                min_size=1,
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
        assert own.tokens(texts, traced=False) == [self.reference(text, rules) for text in texts]

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
            (b"[PAD]\n[UNK]\nthe\n##ing\n", "is a list of tokens, one a line"),
            (b"\xe9\xe8 \xe0\n", "neither a SentencePiece model nor UTF-8"),
            (gzip.compress(b"#version: 0.2\n", mtime=0), "gzip"),
            (b"PK\x03\x04" + bytes(60), "ZIP"),
            (model()[:400], "is a damaged SentencePiece model: it is cut short"),
            (model(model_type="unigram", vocab_size=80)[:-300], "is a damaged SentencePiece model"),
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

    def test_a_file_that_is_too_large_is_not_read(self, tmp_path):
        file = tmp_path / "corpus.txt"
        with file.open("wb") as stream:
            stream.truncate(1 << 29)
        with pytest.raises(DataError, match="corpus.txt has 536,870,912 bytes"):
            given_vocabulary.read(str(file))

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


def test_whole_tokens_that_the_file_would_fold_are_refused_by_name(tmp_path):
    folding = tmp_path / "folding.model"
    folding.write_bytes(model(normalization_rule_name="nmt_nfkc_cf"))
    plain = tmp_path / "plain.model"
    plain.write_bytes(model())

    def check(file, *texts, tag=""):
        uses = (CorpusUse("law", 1.0, tag),) if tag else ()
        parameters = WeightedParameters(vocabulary_file=str(file), whole_tokens=texts, corpora=uses)
        GivenSides.read(parameters).check_whole_tokens(text_settings(parameters))

    check(plain, "Model 3", tag="<LAW>")
    check(folding, "model 3", "{0}", tag="<law>")
    for arguments, tag in ((["{0}", "Model 3"], ""), (["{0}"], "<LAW>")):
        with pytest.raises(ConfigError, match=r"folding\.model normalizes") as caught:
            check(folding, *arguments, tag=tag)
        assert ("'<law>'" if tag else "'model 3'") in caught.value.remedy


@pytest.mark.parametrize(
    ("pattern", "is_found"),
    [("[A-Z]+-[0-9]+", True), ("Model [0-9]", True), ("[A-Z]+", False), ("<[a-z]+>", False), ("", True)],
)
def test_a_pattern_without_a_match_is_told(tmp_path, pattern, is_found):
    (tmp_path / "source").write_text("▁the\nAB-12\n", encoding="utf-8")
    (tmp_path / "target").write_text("AB-12x\nModel▁3\n", encoding="utf-8")
    warning = no_match(pattern, [tmp_path / "source", tmp_path / "target"])
    assert (warning == "") == is_found
    assert is_found or repr(pattern) in warning


class TestTransform:
    """Ids of a user's own vocabulary equal those of serving; its files are in the cache key."""

    @pytest.fixture(scope="class")
    def files(self, tmp_path_factory) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("given")
        lines = [side for _, *pair in SPLITS["train"] for side in pair]
        for kind, size in (("bpe", 120), ("unigram", 80)):
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_prefix=f"{folder}/{kind}",
                model_type=kind,
                vocab_size=size,
                minloglevel=2,
            )
        merges = ["#version: 0.2", "t h", "th e</w>", "s o", "so n", "son g", "c a", "ca t</w>"]
        (folder / "codes").write_text("\n".join(merges) + "\n")
        files = {kind: f"{folder}/{kind}.model" for kind in ("bpe", "unigram")}
        return {**files, "codes": f"{folder}/codes"}

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["bpe", "unigram"])
    def test_a_joint_sentencepiece_model(self, tmp_path, files, kind):
        run = Run(tmp_path, SPLITS, vocabulary_file=files[kind], subword_samples=2, subword_dropout=0.3)
        assert run.read("test") == expected_ids(run, "test")
        pair = load_text_pair(run.graph.path)
        library = sentencepiece.SentencePieceProcessor(model_file=files[kind])
        pieces = pair.source.pieces()
        for line in ("the cat sang songs", "didn't they?"):
            (ids,) = pair.source.tokenize(tf.constant([line])).to_list()
            assert [pieces[i] for i in ids] == library.encode(line, out_type=str)
        name = {"bpe": "BPE"}.get(kind, kind)
        assert any(f"(a {name} model of SentencePiece)" in line for line in run.messages)
        copy = artifacts.TransformGraph(tmp_path / "copy")
        copy.path.mkdir()
        run.graph.copy_text(copy.path)
        assert copy.text().source.segmentation == run.graph.text().source.segmentation
        assert load_text_pair(copy.path).source.pieces() == pieces

    @pytest.mark.slow
    def test_merges_for_one_side_and_a_learned_vocabulary_for_the_other(self, tmp_path, files):
        run = Run(tmp_path, SPLITS, shared_vocabulary=False, source_vocabulary_file=files["codes"])
        assert run.read("test") == expected_ids(run, "test")
        pair = load_text_pair(run.graph.path)
        pieces = pair.source.pieces()
        (ids,) = pair.source.tokenize(tf.constant(["the songs cat"])).to_list()
        assert [pieces[i] for i in ids] == ["the▁", "song", "s▁", "cat▁"]
        assert "the▁" not in pair.target.pieces()

    def test_the_files_are_external_inputs(self, files):
        assert Transform().external_inputs(Parameters()) == []
        own = Parameters(vocabulary_file=files["unigram"])
        assert Transform().external_inputs(own) == [files["unigram"]]
        separate = Parameters(shared_vocabulary=False, target_vocabulary_file=files["codes"])
        assert Transform().external_inputs(separate) == [files["codes"]]

    def test_a_file_is_judged_before_the_first_step_runs(self, files, tmp_path):
        Transform().check_files(WeightedParameters(vocabulary_file=files["unigram"]))
        (tmp_path / "vocab.txt").write_text("the\t1\ncat\t2\n")
        with pytest.raises(DataError, match="vocab.txt is a list of tokens with numbers"):
            Transform().check_files(WeightedParameters(vocabulary_file=str(tmp_path / "vocab.txt")))
        with pytest.raises(ConfigError, match="RE2"):
            Transform().check_files(WeightedParameters(whole_token_pattern="(?=a)"))

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"vocabulary_file": "a", "unit": "word"}, "needs unit subword"),
            ({"vocabulary_file": "a", "shared_vocabulary": False}, "is for both sides"),
            ({"vocabulary_file": "a", "source_vocabulary_file": "b"}, "is for both sides"),
            ({"source_vocabulary_file": "b"}, "need shared_vocabulary: false"),
        ],
    )
    def test_contradicting_settings_are_refused(self, values, message):
        with pytest.raises(ValueError, match=message):
            Parameters(**values)
