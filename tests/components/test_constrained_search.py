"""Search with constraints: against the search without, a greedy loop, rescoring, and the texts."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.seq2seq.decoding.banned import BannedWords
from bitext.components.seq2seq.decoding.constrained import Constraints, constrained_search
from bitext.components.seq2seq.decoding.hypotheses import ScoredTokens
from bitext.components.seq2seq.decoding.phrases import TokenTexts, phrases
from bitext.components.seq2seq.decoding.prefix import Prefix
from bitext.components.seq2seq.decoding.required import Required, in_turn
from bitext.components.seq2seq.decoding.scoring import NEG_INF
from bitext.components.seq2seq.decoding.search import beam_search
from bitext.components.seq2seq.model import BOS, EOS, PAD, UNK, Seq2Seq
from bitext.components.text.surfaces import surfaces
from tests.components.test_search import SENTENCES, penalty, rescored
from tests.components.tiny_model import build, padded

PIECES = ["<pad>", "<s>", "</s>", "<unk>", "▁a", "b", "▁ab", "▁b", "a", ",", "▁", "ab,▁a"]
PHRASES = {"a": [4], "ab": [6], "b": [7], ",": [9], "a b": [4, 7], "ba": [7, 8]}
"""Texts, and the tokens that the tokenizer would have for them."""
MAX_LENGTH = 8
TEXTS = surfaces(PIECES, has_bytes=False)
NETWORKS = [(1, 0.0), (2, 2.0), (3, 1.0)]
"""Seeds, and what is added to the output for `</s>`."""


@functools.cache
def network() -> Seq2Seq:
    """The model whose weights the fixture `models` changes, so that its search is compiled once."""
    return build()


@functools.cache
def weights(seed: int, eos_bias: float) -> list[np.ndarray]:
    return [variable.numpy() for variable in build(seed=seed, eos_bias=eos_bias).weights]


@pytest.fixture
def models() -> Iterator[Seq2Seq]:
    """One model with one set of weights after the other."""

    def each() -> Iterator[Seq2Seq]:
        for seed, eos_bias in NETWORKS:
            yield with_weights(seed, eos_bias)

    return each()


def with_weights(seed: int, eos_bias: float) -> Seq2Seq:
    for variable, value in zip(network().weights, weights(seed, eos_bias), strict=True):
        variable.assign(value)
    return network()


COUNT = len(SENTENCES)


def given_constraints(
    prefix: list[int] | None = None,
    rest: str = "",
    banned: list[str] | None = None,
    required: list[str] | None = None,
    ngram: int = 0,
    repetition: float = 1.0,
) -> dict[str, tf.Tensor]:
    """Constraints that all sentences have, as the inputs of `compiled`."""
    required = required or [""]
    tokens = padded([PHRASES.get(phrase, []) for phrase in required], 3)
    return {
        "prefix": padded([prefix or [PAD]] * COUNT),
        "rest": tf.constant([[*rest.encode()]] * COUNT, tf.int32, [COUNT, len(rest)]),
        "banned": tf.constant([banned or [""]] * COUNT),
        "required": tf.constant([required] * COUNT),
        "tokens": tf.tile(tokens[tf.newaxis], [COUNT, 1, 1]),
        "ngram": tf.constant(ngram),
        "repetition": tf.constant(repetition),
    }


@functools.cache
def compiled(beta: float) -> Any:
    """The search as a graph, which is faster than eager execution."""

    @tf.function(
        input_signature=[
            *(tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.float32)),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None], tf.string),
            tf.TensorSpec([None, None], tf.string),
            tf.TensorSpec([None, None, None], tf.int32),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], tf.float32),
        ]
    )
    def run(
        beam: tf.Tensor,
        alpha: tf.Tensor,
        prefix: tf.Tensor,
        rest: tf.Tensor,
        banned: tf.Tensor,
        required: tf.Tensor,
        tokens: tf.Tensor,
        ngram: tf.Tensor,
        repetition: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        texts = TokenTexts(TEXTS, tf.constant(12))
        constraints = Constraints(
            texts=texts,
            prefix=Prefix(prefix, rest),
            banned=BannedWords(texts, phrases(banned)),
            required=Required.of(phrases(required), tokens),
            no_repeat_ngram=ngram,
            repetition_penalty=repetition,
        )
        start = network().start(padded(SENTENCES))
        return vars(constrained_search(network(), start, beam, alpha, MAX_LENGTH, constraints, beta=beta))

    return run


@functools.cache
def without_constraints(beta: float) -> Any:
    @tf.function(input_signature=[tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.float32)])
    def run(beam: tf.Tensor, alpha: tf.Tensor) -> dict[str, tf.Tensor]:
        start = network().start(padded(SENTENCES))
        return vars(beam_search(network(), start, beam, alpha, MAX_LENGTH, beta=beta))

    return run


def search(
    constraints: dict[str, tf.Tensor], beam: int = 4, alpha: float = 1.0, beta: float = 0.0
) -> ScoredTokens:
    found = compiled(beta)(beam=tf.constant(beam), alpha=tf.constant(alpha), **constraints)
    return ScoredTokens(**{name: value.numpy() for name, value in found.items()})


def rows(found: ScoredTokens) -> list[list[int]]:
    """The tokens of all hypotheses."""
    return [
        found.tokens[row, rank, : found.length[row, rank]].tolist()
        for row, rank in np.ndindex(*found.length.shape)
        if found.length[row, rank]
    ]


def spelled(tokens: list[int]) -> str:
    pieces = ("▁⁇" if token == UNK else PIECES[token] for token in tokens if token > EOS)
    return "".join(pieces).replace("▁", " ")


def text_of(tokens: list[int]) -> str:
    return " ".join(spelled(tokens).split())


def assert_scores(model: Seq2Seq, found: ScoredTokens, alpha: float = 1.0) -> None:
    """Asserts that log probabilities are those of `Seq2Seq.score`, and scores follow from them."""
    filled = found.length > 0
    assert filled[:, 0].all()
    np.testing.assert_allclose(found.token_log_probs.sum(-1)[filled], found.log_prob[filled], rtol=1e-5)
    np.testing.assert_allclose(
        found.log_prob[filled], rescored(model, found)[0][filled], rtol=1e-4, atol=1e-5
    )
    expected = found.log_prob / penalty(found.length, alpha)
    np.testing.assert_allclose(found.score[filled], expected[filled], rtol=1e-4)
    assert (np.diff(found.score, axis=1) <= 0).all()
    assert not found.token_log_probs[found.tokens == PAD].any()


@pytest.mark.parametrize(
    ("beam", "alpha", "beta"), [(1, 0.0, 0.0), (4, 1.0, 0.0), (3, 2.0, 0.7), (5, 0.0, 0.0)]
)
def test_without_constraints_it_finds_what_beam_search_finds(models, beam, alpha, beta):
    for _ in models:
        found = search(given_constraints(), beam, alpha, beta=beta)
        plain = without_constraints(beta)(tf.constant(beam), tf.constant(alpha))
        for name in ("tokens", "length"):
            np.testing.assert_array_equal(getattr(found, name), plain[name].numpy(), err_msg=name)
        for name in ("score", "log_prob", "alignment"):
            np.testing.assert_allclose(getattr(found, name), plain[name], rtol=1e-5, err_msg=name)


token = st.integers(UNK + 1, len(PIECES) - 1)
text = st.text("ab, ", min_size=1, max_size=4).map(lambda text: " ".join(text.split()))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(NETWORKS),
    st.integers(1, 5),
    st.lists(token, max_size=3),
    st.text("ab, ", max_size=3),
    st.lists(text, max_size=2),
    st.lists(st.sampled_from(sorted(PHRASES)), max_size=2),
    st.integers(0, 3),
)
def test_every_hypothesis_meets_all_constraints(weights, beam, prefix, rest, banned, required, ngram):
    model = with_weights(*weights)
    found = search(given_constraints(prefix, rest, banned, required, ngram), beam)
    filled = found.length > 0
    np.testing.assert_allclose(
        found.log_prob[filled], rescored(model, found)[0][filled], rtol=1e-4, atol=1e-5
    )
    for tokens in rows(found):
        assert tokens[: len(prefix)] == prefix
        beginning = spelled(prefix) + rest
        is_cut = len(tokens) == MAX_LENGTH and tokens[-1] != EOS
        assert spelled(tokens).startswith(beginning) or is_cut
        for phrase in required:
            assert contains(text_of(tokens), phrase), (tokens, text_of(tokens), phrase)
        if ngram:
            seen = [tuple(tokens[i : i + ngram]) for i in range(len(tokens) - ngram + 1)]
            in_prefix = next(i for i in range(len(tokens) + 1) if len(spelled(tokens[:i])) >= len(beginning))
            later = seen[max(0, max(in_prefix, len(prefix)) - ngram + 1) :]
            assert len(set(later)) == len(later)
        for phrase in filter(None, banned):
            if not contains(text_of(prefix), phrase):
                assert not contains(text_of(tokens), phrase), (tokens, text_of(tokens), phrase)


def contains(text: str, phrase: str) -> bool:
    """Whether a text has a phrase as whole words."""
    begins, ends = (r"(?<!\w)" if phrase[0].isalnum() else "", r"(?!\w)" if phrase[-1].isalnum() else "")
    return bool(re.search(begins + re.escape(phrase) + ends, text))


@pytest.mark.parametrize("beam", [1, 3, 5])
def test_required_phrases_are_in_every_hypothesis(models, beam):
    wanted = ["ab", "b", ","]
    for model in models:
        found = search(given_constraints(required=wanted), beam)
        assert_scores(model, found)
        for tokens in rows(found):
            assert all(contains(text_of(tokens), phrase) for phrase in wanted), text_of(tokens)


def test_a_required_phrase_is_recognized_in_any_tokens(models):
    """The tokens of `ab` are one, and the prefix has two others for it."""
    for _ in models:
        shortest = [len(tokens) for tokens in rows(search(given_constraints([4, 5], required=["ab"]), 5))]
        assert min(shortest) == 3


def greedy(model: Seq2Seq, source: list[int], of: dict[str, Any], max_length: int = MAX_LENGTH) -> list[int]:
    """Greedy search with constraints on the tokens, one token at a time."""
    tokens: list[int] = []
    while len(tokens) < max_length and EOS not in tokens:
        vectors, _ = model.teacher_force(padded([source]), padded([[BOS, *tokens]]))
        scores = tf.nn.log_softmax(model.logits(vectors[:, -1])).numpy()[0]
        scores[[PAD, BOS]] = -np.inf
        scores[sorted(set(tokens))] *= of.get("repetition", 1.0)
        n = of.get("ngram", 0)
        for candidate in range(len(scores)):
            after = [*tokens, candidate]
            if n and any(after[i : i + n] == after[-n:] for i in range(len(after) - n)):
                scores[candidate] = -np.inf
            if any(contains(text_of(after), phrase) for phrase in of.get("banned", [])):
                scores[candidate] = -np.inf
            if "banned" in of and (candidate == UNK or "  " in spelled(after)):
                scores[candidate] = -np.inf
            beginning, before, text = of.get("rest", ""), spelled(tokens), spelled(after)
            fits = text != before and (beginning.startswith(text) or text.startswith(beginning))
            if len(before) < len(beginning) and not fits:
                scores[candidate] = -np.inf
        prefix = of.get("prefix", [])
        tokens.append(prefix[len(tokens)] if len(tokens) < len(prefix) else int(scores.argmax()))
    return tokens


@pytest.mark.parametrize(
    "of",
    [
        {"prefix": [5, 9, 5]},
        {"ngram": 1},
        {"ngram": 2},
        {"repetition": 1.7},
        {"prefix": [4], "ngram": 2},
        {"banned": ["a", "ba,"]},
        {"banned": ["ab", ","], "repetition": 1.2},
        {"rest": "ba"},
        {"rest": " ab,"},
    ],
)
def test_a_beam_of_one_is_greedy_search_with_the_same_constraint(models, of):
    for model in models:
        found = search(given_constraints(**of), beam=1)
        for row, source in enumerate(SENTENCES):
            assert found.tokens[row, 0, : found.length[row, 0]].tolist() == greedy(model, source, of)


@pytest.mark.parametrize(
    "of", [{"prefix": [5, 9]}, {"ngram": 1}, {"banned": ["a", "ab"]}, {"rest": " ab"}, {"prefix": [4, 4, 4]}]
)
def test_the_reported_scores_are_the_rescored_ones(models, of):
    for model in models:
        assert_scores(model, search(given_constraints(**of)))


def test_a_repetition_penalty_changes_the_ranking_but_no_log_probability(models):
    model = next(models)
    found, plain = (search(given_constraints(repetition=value)) for value in (3.0, 1.0))
    np.testing.assert_allclose(found.log_prob, rescored(model, found)[0], rtol=1e-4, atol=1e-5)
    assert (found.score <= found.log_prob / penalty(found.length, 1.0) + 1e-5).all()

    def repeated(hypotheses: ScoredTokens) -> int:
        return sum(len(tokens) - len(set(tokens)) for tokens in rows(hypotheses))

    assert repeated(found) < repeated(plain)


@pytest.mark.parametrize(
    ("phrase", "tokens", "is_banned"),
    [
        ("a", [4], True),
        ("a", [6], False),
        ("a", [7, 8], False),
        ("ab", [4, 5], True),
        ("ab", [6], True),
        ("ab", [10, 8, 5], True),
        ("ab", [4, 11], False),
        ("ab", [10, 11], True),
        ("b", [4, 5], False),
        ("a b", [4, 7], True),
        ("a b", [4, 10, 5], True),
        ("a,", [4, 9], True),
        (",", [9], True),
        (",", [10, 11], True),
        ("b, a", [7, 11], False),
        ("b, a", [6, 9, 4], False),
        ("ab, a", [10, 11], True),
    ],
)
def test_the_tokens_that_complete_a_banned_phrase(phrase, tokens, is_banned):
    words = BannedWords(TokenTexts(TEXTS, tf.constant(9)), phrases(tf.constant([[phrase]])))
    last, forbidden = words.texts.start(tf.constant(1)), []
    for token in tokens:
        pairs, spaces = words.forbidden(tf.constant([0]), last[:, 0])
        forbidden.append(bool(spaces[0, token]) or [0, token] in pairs.numpy().tolist())
        last = words.texts.extended(last, tf.constant([[token]]))
    assert forbidden == [False] * (len(tokens) - 1) + [is_banned]


@pytest.mark.parametrize(
    ("phrase", "texts"),
    [
        ("art", {"art": True, "an art.": True, "party": False, "arts": False, "art-house": True, "": False}),
        ("a.b", {"a.b": True, "axb": False, "(a.b)": True}),
        ("?", {"what?": True, "": False}),
        ("\\E[", {"\\E[": True, "E": False}),
        ("艺术", {"艺术家": True, "家": False}),
        ("año 1", {"el año 1": True, "el año 10": False}),
    ],
)
def test_the_texts_that_contain_a_phrase(phrase, texts):
    contained = phrases(tf.constant([[phrase]])).contained(tf.constant([list(texts)]))
    assert contained[0, :, 0].numpy().tolist() == list(texts.values())


def test_banks_give_their_best_in_turn():
    log_prob = tf.constant([[-1.0, -5.0, -2.0, -3.0, NEG_INF, -4.0]])
    missing = tf.constant([[2, 0, 2, 1, 0, 0]])
    assert in_turn(log_prob, missing, tf.constant(2)).numpy().tolist() == [[5, 3, 0, 1, 2, 4]]
