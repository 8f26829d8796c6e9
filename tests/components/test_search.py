"""Beam search against a greedy loop, a plain beam search, and an exhaustive search."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.seq2seq.decoding.hypotheses import Hypotheses
from bitext.components.seq2seq.decoding.sampling import sample
from bitext.components.seq2seq.decoding.scoring import NEG_INF
from bitext.components.seq2seq.decoding.search import GROUP_SIZE, BeamSearch, beam_search
from bitext.components.seq2seq.model import BOS, EOS, PAD, Seq2Seq
from tests.components.tiny_model import SETTINGS, build, padded, sources
from tests.components.transformer_decoder import TRANSFORMER, TransformerDecoder

Scored = tuple[float, list[int], float]
"""Score, tokens, log probability."""


def search(
    model: Seq2Seq, source: tf.Tensor, beam: int = 3, alpha: float = 1.0, max_length: int = 8, **rest: float
) -> Hypotheses:
    return as_numpy(beam_search(model, model.start(source), beam, alpha, max_length, **rest))


def as_numpy(hypotheses: Hypotheses) -> Hypotheses:
    return Hypotheses(*(getattr(hypotheses, field.name).numpy() for field in dataclasses.fields(Hypotheses)))


def penalty(length: int, alpha: float) -> float:
    return ((5 + length) / 6) ** alpha


def predict_next(
    model: Seq2Seq, source: list[int], prefixes: list[list[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Predicts the next token after prefixes of equal length.

    Returns:
      Log probabilities float32[N, V] of the next token, without padding and `<s>`, and the sums float32[N, S]
      of the alignments of prefix and next token.
    """
    fed = padded([[BOS, *prefix] for prefix in prefixes])
    vectors, alignments = model.teacher_force(padded([source] * len(prefixes)), fed)
    scores = tf.nn.log_softmax(model.logits(vectors[:, -1])).numpy()
    scores[:, [PAD, BOS]] = -np.inf
    return scores, alignments.numpy().sum(1)


def coverage(covered: np.ndarray, beta: float) -> np.ndarray:
    """Computes coverage penalties float32[...] from alignments summed over the tokens, float32[..., S]."""
    return beta * np.log(np.clip(covered, 1e-4, 1.0)).sum(-1)


def greedy(model: Seq2Seq, source: list[int], max_length: int) -> tuple[list[int], float]:
    tokens: list[int] = []
    total = 0.0
    while len(tokens) < max_length and EOS not in tokens:
        scores = predict_next(model, source, [tokens])[0][0]
        tokens.append(int(scores.argmax()))
        total += scores.max()
    return tokens, total


def score_all_sequences(
    model: Seq2Seq, source: list[int], alpha: float, beta: float, max_length: int
) -> list[Scored]:
    """Scores all sequences that end with `</s>` or at the maximum length; best first."""
    words = [w for w in range(model.target_size) if w not in (PAD, BOS, EOS)]
    sequences = []
    for length in range(1, max_length + 1):
        last = [EOS] if length < max_length else [EOS, *words]
        sequences += [[*head, end] for head in itertools.product(words, repeat=length - 1) for end in last]
    target = padded([[BOS, *tokens] for tokens in sequences])
    totals, alignments = model.score(padded([source] * len(sequences)), target)
    real = (target.numpy()[:, 1:] != PAD)[:, :, np.newaxis]
    bonus = coverage((alignments.numpy() * real).sum(1), beta)
    scored = [
        (float(t) / penalty(len(s), alpha) + float(b), s, float(t))
        for s, t, b in zip(sequences, totals.numpy(), bonus, strict=True)
    ]
    return sorted(scored, reverse=True)


def plain_beam_search(
    model: Seq2Seq, source: list[int], beam: int, alpha: float, beta: float, max_length: int
) -> list[Scored]:
    """Runs a beam search without early stopping, for one sentence."""
    alive: list[tuple[float, list[int]]] = [(0.0, [])]
    done: list[Scored] = []
    for length in range(1, max_length + 1):
        scores, covered = predict_next(model, source, [tokens for _, tokens in alive])
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


def hypothesis(hypotheses: Hypotheses, row: int, rank: int) -> list[int]:
    tokens: list[int] = hypotheses.tokens[row, rank, : hypotheses.length[row, rank]].tolist()
    return tokens


class Key(NamedTuple):
    """A model: the seed of its weights, the number added to the logit of `</s>`, and its decoder."""

    seed: int
    eos_bias: float
    decoder: str = "luong"


LIKELY_TO_END, MANY_LENGTHS, TRANSFORMER_KEY = Key(3, 6.0), Key(3, 1.0), Key(3, 1.0, "transformer")
MODELS = [Key(1, 0.0), Key(2, 2.0), MANY_LENGTHS, LIKELY_TO_END, TRANSFORMER_KEY]


def make(key: Key) -> Seq2Seq:
    if key.decoder == "transformer":
        return build(TRANSFORMER, seed=key.seed, eos_bias=key.eos_bias, make_decoder=TransformerDecoder)
    return build(seed=key.seed, eos_bias=key.eos_bias)


@pytest.fixture(scope="module")
def models() -> dict[Key, Seq2Seq]:
    return {key: make(key) for key in MODELS}


SENTENCES = sources(np.random.default_rng(8), 6)


def rescored(model: Seq2Seq, hypotheses: Hypotheses) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities [B, N] and alignments [B, N, T, S] of hypotheses of SENTENCES, by `Seq2Seq.score`."""
    nbest = hypotheses.score.shape[1]
    flat = hypotheses.tokens.reshape(len(SENTENCES) * nbest, -1)
    target = np.concatenate([np.full([len(flat), 1], BOS), flat], 1).astype(np.int32)
    totals, alignments = model.score(
        padded([s for s in SENTENCES for _ in range(nbest)]), tf.constant(target)
    )
    shape = [len(SENTENCES), nbest]
    return totals.numpy().reshape(shape), alignments.numpy().reshape([*shape, *alignments.shape[1:]])


def assert_rescored(model: Seq2Seq, hypotheses: Hypotheses) -> None:
    """Asserts that log probabilities and alignments equal those of `Seq2Seq.score`."""
    log_prob, alignment = rescored(model, hypotheses)
    np.testing.assert_allclose(hypotheses.log_prob, log_prob, rtol=1e-4, atol=1e-5)
    real = (hypotheses.tokens != PAD)[..., np.newaxis]
    np.testing.assert_allclose(hypotheses.alignment, alignment * real, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("key", MODELS)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_beam_of_one_is_greedy_search(models, key, alpha):
    hypotheses = search(models[key], padded(SENTENCES), beam=1, alpha=alpha)
    for row, source in enumerate(SENTENCES):
        tokens, total = greedy(models[key], source, 8)
        assert hypothesis(hypotheses, row, 0) == tokens
        np.testing.assert_allclose(hypotheses.log_prob[row, 0], total, rtol=1e-4)


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (1.0, 0.0), (1.0, 0.7)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_beam_as_wide_as_all_sequences_finds_them_in_order(alpha, beta, seed):
    model = build(vocabulary=6, seed=seed)
    source = [[4, 5, EOS], [3, EOS]]
    all_sequences = [score_all_sequences(model, s, alpha, beta, 3) for s in source]
    beam = len(all_sequences[0]) + 1
    hypotheses = search(model, padded(source), beam, alpha, 3, beta=beta)
    for row, expected in enumerate(all_sequences):
        assert [hypothesis(hypotheses, row, n) for n in range(beam - 1)] == [
            tokens for _, tokens, _ in expected
        ]
        np.testing.assert_allclose(hypotheses.score[row, :-1], [s for s, _, _ in expected], rtol=1e-4)
        # There is one hypothesis less than the beam: the last row is empty.
        assert hypotheses.length[row, -1] == 0
        assert hypotheses.score[row, -1] == np.float32(NEG_INF)


@pytest.mark.parametrize("key", [Key(1, 0.0), Key(1, 4.0), LIKELY_TO_END, TRANSFORMER_KEY])
@pytest.mark.parametrize(
    ("beam", "alpha", "beta"),
    # In the last two cases with a bias of 4, one of the best hypotheses ends at the twelfth token.
    [(2, 0.0, 0.0), (3, 1.0, 0.0), (5, 0.6, 0.0), (3, 1.0, 1.0), (3, 2.0, 0.7)],
)
def test_early_stopping_finds_what_a_full_search_finds(key, beam, alpha, beta, monkeypatch):
    model = make(key)
    monkeypatch.setattr(model, "step_vectors", mock.Mock(wraps=model.step_vectors))
    sentences = [SENTENCES[0], SENTENCES[3], [7, 10, 11, 6, 4, 8, 9, 10, 9, EOS]]
    for source in sentences:
        hypotheses = search(model, padded([source]), beam, alpha, 12, beta=beta)
        expected = plain_beam_search(model, source, beam, alpha, beta, 12)
        assert [hypothesis(hypotheses, 0, n) for n in range(beam)] == [tokens for _, tokens, _ in expected]
        np.testing.assert_allclose(hypotheses.score[0], [s for s, _, _ in expected], rtol=1e-4)
    if key == LIKELY_TO_END:
        assert model.step_vectors.call_count < 12 * len(sentences)


@pytest.mark.parametrize("key", MODELS)
@pytest.mark.parametrize(
    ("beam", "alpha", "beta"), [(1, 1.0, 0.0), (5, 0.0, 0.0), (4, 1.0, 0.0), (4, 2.0, 0.7)]
)
def test_fewer_translations_are_the_best_of_the_full_search(models, key, beam, alpha, beta):
    full = search(models[key], padded(SENTENCES), beam, alpha, 12, beta=beta)
    for nbest in range(1, beam + 1):
        hypotheses = search(models[key], padded(SENTENCES), beam, alpha, 12, beta=beta, nbest=nbest)
        assert hypotheses.score.shape == (len(SENTENCES), nbest)
        for row, rank in np.ndindex(*hypotheses.score.shape):
            assert hypothesis(hypotheses, row, rank) == hypothesis(full, row, rank)
        np.testing.assert_allclose(hypotheses.score, full.score[:, :nbest], rtol=1e-4)


@pytest.mark.parametrize("key", [MANY_LENGTHS, TRANSFORMER_KEY])
def test_a_done_sentence_leaves_the_batch(models, key, monkeypatch):
    model, rows = models[key], list[int]()

    vectors = model.step_vectors

    def counted(tokens: tf.Tensor, *rest: object) -> object:
        rows.append(tokens.shape[0])
        return vectors(tokens, *rest)

    monkeypatch.setattr(model, "step_vectors", counted)
    search(model, padded(SENTENCES), 1, 0.0, 12)
    assert rows[0] == len(SENTENCES)
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] < len(SENTENCES)


def test_a_pruned_hypothesis_is_not_scored(models, monkeypatch):
    model, read, scored = models[MANY_LENGTHS], list[int](), list[int]()
    vectors, output_layer = model.step_vectors, model.output_layer

    def counted(tokens: tf.Tensor, *rest: object) -> object:
        read.append(tf.size(tokens).numpy())
        return vectors(tokens, *rest)

    def counting(multiple: int) -> object:
        output = output_layer(multiple)

        def score(vectors: tf.Tensor) -> tf.Tensor:
            scored.append(vectors.shape[0])
            return output(vectors)

        return score

    monkeypatch.setattr(model, "step_vectors", counted)
    monkeypatch.setattr(model, "output_layer", counting)
    search(model, padded(SENTENCES), 4, max_length=12, nbest=1)
    assert scored[:2] == read[:2] == [len(SENTENCES), 4 * len(SENTENCES)]
    assert all(some <= all_ for some, all_ in zip(scored, read, strict=True))
    assert sum(scored) < sum(read)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(4, 3 * GROUP_SIZE + 1),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_the_best_continuations_are_those_of_a_full_sort(sentences, beam, size, too_short, seed):
    random = np.random.default_rng(seed)
    logits = random.normal(0.0, 3.0, [sentences, beam, size]).astype(np.float32)
    before = -random.exponential(2.0, [sentences, beam]).astype(np.float32)
    before[random.random(before.shape) < 0.3] = NEG_INF
    before[0, 0] = -1.0

    def layer(multiple: int) -> object:
        missing = [[0, 0], [0, -size % multiple]]
        return lambda logits: tf.pad(logits, missing, constant_values=NEG_INF)

    model = SimpleNamespace(target_size=size, output_layer=layer)
    flat = tf.reshape(logits, [-1, size])
    continuations = BeamSearch(model, beam, 0.0, 3, 0.0).continuations(
        2 if too_short else 3, tf.constant(before), flat
    )
    best, tokens, parents = (tensor.numpy() for tensor in continuations)

    totals = before[:, :, np.newaxis] + tf.nn.log_softmax(logits).numpy()
    totals[:, :, [PAD, BOS, *([EOS] if too_short else [])]] = NEG_INF
    ordered = -np.sort(-totals.reshape(sentences, -1), 1)
    for row in range(sentences):
        real = best[row] > NEG_INF / 2
        expected = ordered[row][ordered[row] > NEG_INF / 2][: 2 * beam]
        np.testing.assert_allclose(best[row][real], expected, rtol=1e-4, atol=1e-4)
        pairs = list(zip(parents[row][real].tolist(), tokens[row][real].tolist(), strict=True))
        assert len(set(pairs)) == len(pairs)
        of_pairs = [totals[row, parent, token] for parent, token in pairs]
        np.testing.assert_allclose(best[row][real], of_pairs, rtol=1e-4, atol=1e-4)
        assert not tokens[row][~real].any()


@pytest.mark.parametrize("size", [GROUP_SIZE - 1, GROUP_SIZE, GROUP_SIZE + 1])
def test_the_padded_output_layer_has_the_same_logits_and_words_of_probability_0(size):
    model = build(vocabulary=size)
    vectors = tf.random.stateless_normal([5, SETTINGS.embedding_units], [1, 2])
    logits = model.output_layer(GROUP_SIZE)(vectors)
    np.testing.assert_allclose(logits[:, :size], model.logits(vectors), rtol=1e-5, atol=1e-5)
    assert logits.shape[1] % GROUP_SIZE == 0
    assert not tf.nn.softmax(logits)[:, size:].numpy().any()


@pytest.mark.parametrize("key", MODELS)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_reported_score_is_the_rescored_one(models, key, alpha):
    model = models[key]
    hypotheses = search(model, padded(SENTENCES), 4, alpha)
    assert_rescored(model, hypotheses)
    np.testing.assert_allclose(
        hypotheses.score, hypotheses.log_prob / penalty(hypotheses.length, alpha), rtol=1e-5
    )
    assert (np.diff(hypotheses.score, axis=1) <= 0).all()


@pytest.mark.parametrize(
    ("decoder", "attention"),
    [
        *itertools.product(["luong", "gnmt", "conditional", "input_feeding"], ["scaled", "additive"]),
        ("luong", "none"),
    ],
)
def test_alignments_are_those_of_rescoring_with_every_decoder(decoder, attention):
    heads = 1 if attention == "none" else 2
    architecture = msgspec.structs.replace(
        SETTINGS, decoder=decoder, decoder_layers=2, attention=attention, attention_heads=heads
    )
    model = build(architecture, seed=2, eos_bias=2.0)
    assert_rescored(model, search(model, padded(SENTENCES), 3))


def test_hypotheses_are_well_formed(models):
    for model in models.values():
        hypotheses = search(model, padded(SENTENCES), 4, 1.0, 6)
        assert hypotheses.tokens.shape[2] <= 6
        assert hypotheses.length.max() == hypotheses.tokens.shape[2]
        for row, rank in np.ndindex(*hypotheses.length.shape):
            tokens = hypothesis(hypotheses, row, rank)
            assert not {PAD, BOS} & set(tokens)
            assert EOS not in tokens[:-1]
            assert tokens[-1] == EOS or len(tokens) == 6
            assert not hypotheses.tokens[row, rank, len(tokens) :].any()
        assert all(
            len({tuple(hypothesis(hypotheses, row, n)) for n in range(4)}) == 4
            for row in range(len(SENTENCES))
        )


def test_batch_size_order_and_padding_change_nothing(models):
    for model in models.values():
        batch = search(model, padded(SENTENCES))
        order = [3, 5, 0, 4, 2, 1]
        shuffled = search(model, padded([SENTENCES[i] for i in order]))
        wide = search(model, padded(SENTENCES, width=14))
        for row, source in enumerate(SENTENCES):
            alone = search(model, padded([source]))
            for rank in range(3):
                tokens = hypothesis(alone, 0, rank)
                assert hypothesis(batch, row, rank) == tokens
                assert hypothesis(wide, row, rank) == tokens
                assert hypothesis(shuffled, order.index(row), rank) == tokens
            np.testing.assert_allclose(batch.score[row], alone.score[0], rtol=1e-4)
            np.testing.assert_allclose(wide.score[row], alone.score[0], rtol=1e-4)


def test_a_maximum_of_one_token_gives_one_token(models):
    hypotheses = search(models[Key(1, 0.0)], padded(SENTENCES), 2, 1.0, 1)
    assert hypotheses.tokens.shape[2] == 1
    assert (hypotheses.length == 1).all()


@pytest.mark.parametrize("key", [Key(2, 2.0), TRANSFORMER_KEY])
def test_beam_size_penalty_and_length_are_tensors_in_a_graph(models, key):
    model = models[key]

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            *(tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.float32, tf.int32)),
        ]
    )
    def compiled(
        source: tf.Tensor, beam: tf.Tensor, alpha: tf.Tensor, max_length: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        start = model.start(source)
        drawn = sample(model, start, beam, max_length, tf.constant([1, 0]))
        return beam_search(model, start, beam, alpha, max_length).tokens, drawn.tokens

    for beam, alpha, max_length in ((1, 0.0, 5), (4, 1.0, 8)):
        source = padded(SENTENCES)
        best, drawn = compiled(source, tf.constant(beam), tf.constant(alpha), tf.constant(max_length))
        np.testing.assert_array_equal(best, search(model, source, beam, alpha, max_length).tokens)
        eager = sample(model, model.start(source), beam, max_length, tf.constant([1, 0]))
        np.testing.assert_array_equal(drawn, eager.tokens)


@pytest.mark.parametrize("key", MODELS)
def test_the_coverage_penalty_is_that_of_the_paper(models, key):
    model, alpha, beta = models[key], 1.0, 0.7
    hypotheses = search(model, padded(SENTENCES), 4, alpha, beta=beta)
    totals, alignments = rescored(model, hypotheses)
    np.testing.assert_allclose(hypotheses.log_prob, totals, rtol=1e-4, atol=1e-5)
    for row, rank in np.ndindex(*hypotheses.score.shape):
        length = hypotheses.length[row, rank]
        covered = alignments[row, rank, :length, : len(SENTENCES[row])].sum(0)
        expected = totals[row, rank] / penalty(length, alpha)
        expected += coverage(covered, beta)
        np.testing.assert_allclose(hypotheses.score[row, rank], expected, rtol=1e-3, atol=1e-4)
    assert (np.diff(hypotheses.score, axis=1) <= 0).all()
    plain = search(model, padded(SENTENCES), 4, alpha)
    assert (hypotheses.score < plain.score).any()


@pytest.mark.parametrize("beam", [1, 3])
def test_no_hypothesis_is_shorter_than_the_minimum(models, beam):
    model = models[LIKELY_TO_END]
    assert (search(model, padded(SENTENCES), beam).length < 5).any()
    hypotheses = search(model, padded(SENTENCES), beam, min_length=5)
    assert (hypotheses.length >= 5).all()
    np.testing.assert_allclose(hypotheses.log_prob, rescored(model, hypotheses)[0], rtol=1e-4, atol=1e-5)


def draw(model: Seq2Seq, seed: int = 1, samples: int = 3, **settings: float) -> Hypotheses:
    start = model.start(padded(SENTENCES))
    return as_numpy(sample(model, start, samples, 8, tf.constant([seed, 0]), **settings))


class TestSampling:
    @pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
    @pytest.mark.parametrize("key", [Key(2, 2.0), TRANSFORMER_KEY])
    def test_from_the_best_token_only_it_is_greedy_search(self, models, key, settings):
        model = models[key]
        hypotheses = draw(model, **settings)
        for row, source in enumerate(SENTENCES):
            tokens, total = greedy(model, source, 8)
            for rank in range(3):
                assert hypothesis(hypotheses, row, rank) == tokens
                np.testing.assert_allclose(hypotheses.log_prob[row, rank], total, rtol=1e-4)

    def test_the_reported_score_is_the_rescored_one(self, models):
        for model in models.values():
            hypotheses = draw(model, temperature=1.7, top_p=0.9)
            assert_rescored(model, hypotheses)
            assert not (hypotheses.tokens == BOS).any()

    def test_no_translation_is_shorter_than_the_minimum(self, models):
        model = models[LIKELY_TO_END]
        assert (draw(model).length < 5).any()
        assert (draw(model, min_length=5).length >= 5).all()

    def test_equal_seeds_draw_equal_translations(self, models):
        one, same, other = (draw(models[Key(1, 0.0)], seed).tokens for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert one.shape != other.shape or (one != other).any()

    @pytest.mark.parametrize(("settings", "size"), [({}, 12), ({"top_k": 3}, 3), ({"top_p": 0.6}, None)])
    def test_first_tokens_are_drawn_with_their_probability(self, models, settings, size):
        model, samples = models[Key(1, 0.0)], 4000
        hypotheses = draw(model, samples=samples, **settings)
        for row, source in enumerate(SENTENCES):
            p = np.exp(predict_next(model, source, [[]])[0][0])
            order = np.argsort(-p)
            # With top_p: the smallest set with a total probability of 0.6.
            candidates = size or int((np.cumsum(p[order]) / p.sum() < 0.6).sum()) + 1
            p[order[candidates:]] = 0.0
            drawn = np.bincount(hypotheses.tokens[row, :, 0], minlength=len(p)) / samples
            np.testing.assert_allclose(drawn, p / p.sum(), atol=0.035)
            assert not drawn[p == 0.0].any()
