"""Beam search against a greedy loop, a beam search written out, and every sequence there is."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace
from unittest import mock

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.seq2seq.decoding.hypotheses import Hypotheses
from bitext.components.seq2seq.decoding.sampling import sample
from bitext.components.seq2seq.decoding.search import GROUP, NEVER, _Search, beam_search
from bitext.components.seq2seq.model import BOS, EOS, PAD, Seq2Seq
from tests.components.tiny_model import SETTINGS, build, padded, sources

Scored = tuple[float, list[int], float]
"""Score, tokens, log probability."""


def search(
    model: Seq2Seq, source: tf.Tensor, beam: int = 3, alpha: float = 1.0, max_length: int = 8, **rest: float
) -> Hypotheses:
    return in_numpy(beam_search(model, model.start(source), beam, alpha, max_length, **rest))


def in_numpy(found: Hypotheses) -> Hypotheses:
    return Hypotheses(*(getattr(found, field.name).numpy() for field in dataclasses.fields(Hypotheses)))


def penalty(length: int, alpha: float) -> float:
    return ((5 + length) / 6) ** alpha


def following(model: Seq2Seq, source: list[int], prefixes: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Of the next token after each prefix of one length: log probabilities float32[N, V], where padding and
    `<s>` never come, and the alignments float32[N, S], summed with those of the prefix."""
    fed = padded([[BOS, *prefix] for prefix in prefixes])
    vectors, alignments = model.teacher_force(padded([source] * len(prefixes)), fed)
    scores = tf.nn.log_softmax(model.logits(vectors[:, -1])).numpy()
    scores[:, [PAD, BOS]] = -np.inf
    return scores, alignments.numpy().sum(1)


def coverage(covered: np.ndarray, beta: float) -> np.ndarray:
    """The coverage penalties float32[...] of alignments summed over the tokens, float32[..., S]."""
    return beta * np.log(np.clip(covered, 1e-4, 1.0)).sum(-1)


def greedy(model: Seq2Seq, source: list[int], max_length: int) -> tuple[list[int], float]:
    tokens: list[int] = []
    total = 0.0
    while len(tokens) < max_length and EOS not in tokens:
        scores = following(model, source, [tokens])[0][0]
        tokens.append(int(scores.argmax()))
        total += scores.max()
    return tokens, total


def every_sequence(
    model: Seq2Seq, source: list[int], alpha: float, beta: float, max_length: int
) -> list[Scored]:
    """All sequences that end in `</s>` or at the maximum length, best first."""
    words = [w for w in range(model.target_size) if w not in (PAD, BOS, EOS)]
    found = []
    for length in range(1, max_length + 1):
        last = [EOS] if length < max_length else [EOS, *words]
        found += [[*head, end] for head in itertools.product(words, repeat=length - 1) for end in last]
    target = padded([[BOS, *tokens] for tokens in found])
    totals, alignments = model.score(padded([source] * len(found)), target)
    real = (target.numpy()[:, 1:] != PAD)[:, :, np.newaxis]
    bonus = coverage((alignments.numpy() * real).sum(1), beta)
    scored = [
        (float(t) / penalty(len(s), alpha) + float(b), s, float(t))
        for s, t, b in zip(found, totals.numpy(), bonus, strict=True)
    ]
    return sorted(scored, reverse=True)


def written_out(
    model: Seq2Seq, source: list[int], beam: int, alpha: float, beta: float, max_length: int
) -> list[Scored]:
    """Beam search that never stops early, for one sentence."""
    alive: list[tuple[float, list[int]]] = [(0.0, [])]
    done: list[Scored] = []
    for length in range(1, max_length + 1):
        scores, covered = following(model, source, [tokens for _, tokens in alive])
        candidates = [
            (total + float(row[word]), [*tokens, word], float(bonus))
            for (total, tokens), row, bonus in zip(alive, scores, coverage(covered, beta), strict=True)
            for word in np.flatnonzero(np.isfinite(row)).tolist()
        ]
        candidates.sort(reverse=True)
        ending = [c for c in candidates[:beam] if c[1][-1] == EOS or length == max_length]
        done += [(total / penalty(length, alpha) + bonus, tokens, total) for total, tokens, bonus in ending]
        alive = [(total, tokens) for total, tokens, _ in candidates if tokens[-1] != EOS][:beam]
    return sorted(done, reverse=True)[:beam]


def hypothesis(found: Hypotheses, row: int, rank: int) -> list[int]:
    tokens: list[int] = found.tokens[row, rank, : found.length[row, rank]].tolist()
    return tokens


MODELS = [(1, 0.0), (2, 2.0), (3, 1.0), (3, 6.0)]  # Seed, and what is added to the logit of </s>.
OF_MANY_LENGTHS, LIKELY_TO_END = MODELS[-2:]


@pytest.fixture(scope="module")
def models() -> dict[tuple[int, float], Seq2Seq]:
    return {(seed, bias): build(seed=seed, eos_bias=bias) for seed, bias in MODELS}


SENTENCES = sources(np.random.default_rng(8), 6)


def rescored(model: Seq2Seq, found: Hypotheses) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities [B, N] and alignments [B, N, T, S] of hypotheses of SENTENCES, by the model."""
    each = found.score.shape[1]
    flat = found.tokens.reshape(len(SENTENCES) * each, -1)
    target = np.concatenate([np.full([len(flat), 1], BOS), flat], 1).astype(np.int32)
    totals, alignments = model.score(padded([s for s in SENTENCES for _ in range(each)]), tf.constant(target))
    shape = [len(SENTENCES), each]
    return totals.numpy().reshape(shape), alignments.numpy().reshape([*shape, *alignments.shape[1:]])


def matches_rescoring(model: Seq2Seq, found: Hypotheses) -> None:
    """Whether log probabilities and alignments are those that reading the translations gives."""
    log_prob, alignment = rescored(model, found)
    np.testing.assert_allclose(found.log_prob, log_prob, rtol=1e-4, atol=1e-5)
    real = (found.tokens != PAD)[..., np.newaxis]
    np.testing.assert_allclose(found.alignment, alignment * real, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("key", MODELS)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_beam_of_one_is_greedy_search(models, key, alpha):
    found = search(models[key], padded(SENTENCES), beam=1, alpha=alpha)
    for row, source in enumerate(SENTENCES):
        tokens, total = greedy(models[key], source, 8)
        assert hypothesis(found, row, 0) == tokens
        np.testing.assert_allclose(found.log_prob[row, 0], total, rtol=1e-4)


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (1.0, 0.0), (1.0, 0.7)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_beam_as_wide_as_all_sequences_finds_them_in_order(alpha, beta, seed):
    model = build(vocabulary=6, seed=seed)
    source = [[4, 5, EOS], [3, EOS]]
    everything = [every_sequence(model, s, alpha, beta, 3) for s in source]
    beam = len(everything[0]) + 1
    found = search(model, padded(source), beam, alpha, 3, beta=beta)
    for row, expected in enumerate(everything):
        assert [hypothesis(found, row, n) for n in range(beam - 1)] == [tokens for _, tokens, _ in expected]
        np.testing.assert_allclose(found.score[row, :-1], [s for s, _, _ in expected], rtol=1e-4)
        # There is no hypothesis more: its place is empty.
        assert found.length[row, -1] == 0
        assert found.score[row, -1] == np.float32(NEVER)


@pytest.mark.parametrize(("seed", "eos_bias"), [(1, 0.0), (1, 4.0), LIKELY_TO_END])
@pytest.mark.parametrize(
    ("beam", "alpha", "beta"),
    # In the last two, with a bias of 4, one of the best is found at the twelfth token and not before.
    [(2, 0.0, 0.0), (3, 1.0, 0.0), (5, 0.6, 0.0), (3, 1.0, 1.0), (3, 2.0, 0.7)],
)
def test_stopping_early_finds_what_the_whole_search_finds(seed, eos_bias, beam, alpha, beta, monkeypatch):
    model = build(seed=seed, eos_bias=eos_bias)
    monkeypatch.setattr(model, "vectors", mock.Mock(wraps=model.vectors))
    several = [SENTENCES[0], SENTENCES[3], [7, 10, 11, 6, 4, 8, 9, 10, 9, EOS]]
    for source in several:
        found = search(model, padded([source]), beam, alpha, 12, beta=beta)
        expected = written_out(model, source, beam, alpha, beta, 12)
        assert [hypothesis(found, 0, n) for n in range(beam)] == [tokens for _, tokens, _ in expected]
        np.testing.assert_allclose(found.score[0], [s for s, _, _ in expected], rtol=1e-4)
    if (seed, eos_bias) == LIKELY_TO_END:
        assert model.vectors.call_count < 12 * len(several)


@pytest.mark.parametrize("key", MODELS)
@pytest.mark.parametrize(
    ("beam", "alpha", "beta"), [(1, 1.0, 0.0), (5, 0.0, 0.0), (4, 1.0, 0.0), (4, 2.0, 0.7)]
)
def test_of_few_wanted_all_are_the_best_of_the_whole_search(models, key, beam, alpha, beta):
    everything = search(models[key], padded(SENTENCES), beam, alpha, 12, beta=beta)
    for wanted in range(1, beam + 1):
        found = search(models[key], padded(SENTENCES), beam, alpha, 12, beta=beta, nbest=wanted)
        assert found.score.shape == (len(SENTENCES), wanted)
        for row, rank in np.ndindex(*found.score.shape):
            assert hypothesis(found, row, rank) == hypothesis(everything, row, rank)
        np.testing.assert_allclose(found.score, everything.score[:, :wanted], rtol=1e-4)


def test_a_sentence_that_is_done_is_no_longer_computed(models, monkeypatch):
    model, rows = models[OF_MANY_LENGTHS], list[int]()

    def counted(tokens: tf.Tensor, *rest: object) -> object:
        rows.append(tokens.shape[0])
        return model.vectors(tokens, *rest)

    watched = mock.Mock(wraps=model, vectors=counted, target_size=model.target_size)
    beam_search(watched, model.start(padded(SENTENCES)), 1, 0.0, 12)
    assert rows[0] == len(SENTENCES)
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] < len(SENTENCES)


def test_a_hypothesis_without_hope_is_no_longer_scored(models, monkeypatch):
    model, followed, scored = models[OF_MANY_LENGTHS], list[int](), list[int]()
    vectors, output_layer = model.vectors, model.output_layer

    def counted(tokens: tf.Tensor, *rest: object) -> object:
        followed.append(tf.size(tokens).numpy())
        return vectors(tokens, *rest)

    def counting(multiple: int) -> object:
        output = output_layer(multiple)

        def score(of: tf.Tensor) -> tf.Tensor:
            scored.append(of.shape[0])
            return output(of)

        return score

    monkeypatch.setattr(model, "vectors", counted)
    monkeypatch.setattr(model, "output_layer", counting)
    search(model, padded(SENTENCES), 4, max_length=12, nbest=1)
    assert scored[:2] == followed[:2] == [len(SENTENCES), 4 * len(SENTENCES)]
    assert all(some <= all_ for some, all_ in zip(scored, followed, strict=True))
    assert sum(scored) < sum(followed)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(4, 3 * GROUP + 1), st.booleans(), st.integers(0, 2**31)
)
def test_the_best_continuations_are_those_of_a_sort(sentences, beam, size, too_soon, seed):
    random = np.random.default_rng(seed)
    logits = random.normal(0.0, 3.0, [sentences, beam, size]).astype(np.float32)
    before = -random.exponential(2.0, [sentences, beam]).astype(np.float32)
    before[random.random(before.shape) < 0.3] = NEVER
    before[0, 0] = -1.0

    def layer(multiple: int) -> object:
        missing = [[0, 0], [0, -size % multiple]]
        return lambda of: tf.pad(of, missing, constant_values=NEVER)

    model = SimpleNamespace(target_size=size, output_layer=layer)
    flat = tf.reshape(logits, [-1, size])
    found = _Search(model, beam, 0.0, 3, 0.0).continuations(2 if too_soon else 3, tf.constant(before), flat)
    best, words, places = (tensor.numpy() for tensor in found)

    totals = before[:, :, np.newaxis] + tf.nn.log_softmax(logits).numpy()
    totals[:, :, [PAD, BOS, *([EOS] if too_soon else [])]] = NEVER
    ordered = -np.sort(-totals.reshape(sentences, -1), 1)
    for row in range(sentences):
        real = best[row] > NEVER / 2
        wanted = ordered[row][ordered[row] > NEVER / 2][: 2 * beam]
        np.testing.assert_allclose(best[row][real], wanted, rtol=1e-4, atol=1e-4)
        taken = list(zip(places[row][real].tolist(), words[row][real].tolist(), strict=True))
        assert len(set(taken)) == len(taken)
        of_taken = [totals[row, place, word] for place, word in taken]
        np.testing.assert_allclose(best[row][real], of_taken, rtol=1e-4, atol=1e-4)
        assert not words[row][~real].any()


@pytest.mark.parametrize("size", [GROUP - 1, GROUP, GROUP + 1])
def test_the_output_layer_laid_out_gives_the_logits_and_words_that_never_come(size):
    model = build(vocabulary=size)
    vectors = tf.random.stateless_normal([5, SETTINGS.embedding_units], [1, 2])
    found = model.output_layer(GROUP)(vectors)
    np.testing.assert_allclose(found[:, :size], model.logits(vectors), rtol=1e-5, atol=1e-5)
    assert found.shape[1] % GROUP == 0
    assert not tf.nn.softmax(found)[:, size:].numpy().any()


@pytest.mark.parametrize("key", MODELS)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_what_is_reported_is_what_rescoring_gives(models, key, alpha):
    model = models[key]
    found = search(model, padded(SENTENCES), 4, alpha)
    matches_rescoring(model, found)
    np.testing.assert_allclose(found.score, found.log_prob / penalty(found.length, alpha), rtol=1e-5)
    assert (np.diff(found.score, axis=1) <= 0).all()


@pytest.mark.parametrize(
    ("decoder", "attention"),
    [
        *itertools.product(["luong", "gnmt", "conditional", "input_feeding"], ["scaled", "additive"]),
        ("luong", "none"),
    ],
)
def test_whatever_the_model_the_alignments_are_those_of_rescoring(decoder, attention):
    heads = 1 if attention == "none" else 2
    architecture = msgspec.structs.replace(
        SETTINGS, decoder=decoder, decoder_layers=2, attention=attention, attention_heads=heads
    )
    model = build(architecture, seed=2, eos_bias=2.0)
    matches_rescoring(model, search(model, padded(SENTENCES), 3))


def test_hypotheses_are_well_formed(models):
    for model in models.values():
        found = search(model, padded(SENTENCES), 4, 1.0, 6)
        assert found.tokens.shape[2] <= 6
        assert found.length.max() == found.tokens.shape[2]
        for row, rank in np.ndindex(*found.length.shape):
            tokens = hypothesis(found, row, rank)
            assert not {PAD, BOS} & set(tokens)
            assert EOS not in tokens[:-1]
            assert tokens[-1] == EOS or len(tokens) == 6
            assert not found.tokens[row, rank, len(tokens) :].any()
        assert all(
            len({tuple(hypothesis(found, row, n)) for n in range(4)}) == 4 for row in range(len(SENTENCES))
        )


def test_batch_size_order_and_padding_change_nothing(models):
    for model in models.values():
        together = search(model, padded(SENTENCES))
        order = [3, 5, 0, 4, 2, 1]
        shuffled = search(model, padded([SENTENCES[i] for i in order]))
        wide = search(model, padded(SENTENCES, width=14))
        for row, source in enumerate(SENTENCES):
            alone = search(model, padded([source]))
            for rank in range(3):
                tokens = hypothesis(alone, 0, rank)
                assert hypothesis(together, row, rank) == tokens
                assert hypothesis(wide, row, rank) == tokens
                assert hypothesis(shuffled, order.index(row), rank) == tokens
            np.testing.assert_allclose(together.score[row], alone.score[0], rtol=1e-4)
            np.testing.assert_allclose(wide.score[row], alone.score[0], rtol=1e-4)


def test_a_maximum_of_one_token_gives_one_token(models):
    found = search(models[1, 0.0], padded(SENTENCES), 2, 1.0, 1)
    assert found.tokens.shape[2] == 1
    assert (found.length == 1).all()


def test_the_graph_takes_beam_penalty_and_length_as_tensors(models):
    model = models[2, 2.0]
    start = model.start(padded(SENTENCES))
    compiled = tf.function(lambda beam, alpha, most: beam_search(model, start, beam, alpha, most).tokens)
    for beam, alpha, most in ((1, 0.0, 5), (4, 1.0, 8)):
        got = compiled(tf.constant(beam), tf.constant(alpha), tf.constant(most))
        np.testing.assert_array_equal(got, search(model, padded(SENTENCES), beam, alpha, most).tokens)


@pytest.mark.parametrize("key", MODELS)
def test_the_coverage_penalty_is_that_of_the_paper(models, key):
    model, alpha, beta = models[key], 1.0, 0.7
    found = search(model, padded(SENTENCES), 4, alpha, beta=beta)
    totals, alignments = rescored(model, found)
    np.testing.assert_allclose(found.log_prob, totals, rtol=1e-4, atol=1e-5)
    for row, rank in np.ndindex(*found.score.shape):
        length = found.length[row, rank]
        covered = alignments[row, rank, :length, : len(SENTENCES[row])].sum(0)
        expected = totals[row, rank] / penalty(length, alpha)
        expected += coverage(covered, beta)
        np.testing.assert_allclose(found.score[row, rank], expected, rtol=1e-3, atol=1e-4)
    assert (np.diff(found.score, axis=1) <= 0).all()
    plain = search(model, padded(SENTENCES), 4, alpha)
    assert (found.score < plain.score).any()


@pytest.mark.parametrize("beam", [1, 3])
def test_no_hypothesis_is_shorter_than_the_minimum(models, beam):
    model = models[LIKELY_TO_END]
    assert (search(model, padded(SENTENCES), beam).length < 5).any()
    found = search(model, padded(SENTENCES), beam, min_length=5)
    assert (found.length >= 5).all()
    np.testing.assert_allclose(found.log_prob, rescored(model, found)[0], rtol=1e-4, atol=1e-5)


def draw(model: Seq2Seq, seed: int = 1, samples: int = 3, **settings: float) -> Hypotheses:
    start = model.start(padded(SENTENCES))
    return in_numpy(sample(model, start, samples, 8, tf.constant([seed, 0]), **settings))


class TestSampling:
    @pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
    def test_from_the_best_word_alone_it_is_greedy_search(self, models, settings):
        model = models[2, 2.0]
        found = draw(model, **settings)
        for row, source in enumerate(SENTENCES):
            tokens, total = greedy(model, source, 8)
            for rank in range(3):
                assert hypothesis(found, row, rank) == tokens
                np.testing.assert_allclose(found.log_prob[row, rank], total, rtol=1e-4)

    def test_what_is_reported_is_what_rescoring_gives(self, models):
        for model in models.values():
            found = draw(model, temperature=1.7, top_p=0.9)
            matches_rescoring(model, found)
            assert not (found.tokens == BOS).any()

    def test_no_translation_is_shorter_than_the_minimum(self, models):
        model = models[LIKELY_TO_END]
        assert (draw(model).length < 5).any()
        assert (draw(model, min_length=5).length >= 5).all()

    def test_the_seed_decides(self, models):
        one, same, other = (draw(models[1, 0.0], seed).tokens for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert one.shape != other.shape or (one != other).any()

    @pytest.mark.parametrize(("settings", "most"), [({}, 12), ({"top_k": 3}, 3), ({"top_p": 0.6}, None)])
    def test_first_words_are_drawn_as_often_as_they_are_likely(self, models, settings, most):
        model, many = models[1, 0.0], 4000
        found = draw(model, samples=many, **settings)
        for row, source in enumerate(SENTENCES):
            odds = np.exp(following(model, source, [[]])[0][0])
            order = np.argsort(-odds)
            if most is None:  # The fewest that hold 0.6 of the probability.
                most_here = int((np.cumsum(odds[order]) / odds.sum() < 0.6).sum()) + 1
            else:
                most_here = most
            odds[order[most_here:]] = 0.0
            drawn = np.bincount(found.tokens[row, :, 0], minlength=len(odds)) / many
            np.testing.assert_allclose(drawn, odds / odds.sum(), atol=0.035)
            assert not drawn[odds == 0.0].any()
