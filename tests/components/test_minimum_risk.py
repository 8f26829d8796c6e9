"""Minimum risk training: the BLEU of candidates, the risk, and the updates after the last ordinary one."""

from __future__ import annotations

import collections
import math
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.artifacts import ModelRun
from bitext.components.component import Context
from bitext.components.seq2seq.layers.dropout import NO_DROPOUT
from bitext.components.seq2seq.model import BOS, EOS, PAD
from bitext.components.seq2seq.risk import Candidates, expected_risk, find_candidates, sentence_bleu
from bitext.components.trainer import Parameters
from bitext.components.trainer.minimum_risk import train_alone
from bitext.components.trainer.recording import NOTHING_WATCHED
from bitext.components.trainer.selection import exported_steps, risk_warning
from bitext.components.trainer.validation import ValidationScores
from tests.components.test_trainer import (
    PARAMETERS,
    Killed,
    are_equal,
    deterministic,
    open_batches,
    split,
)
from tests.components.tiny_model import SETTINGS, VOCABULARY, build, initialize, padded
from tests.structs import changed

__all__ = ["deterministic", "split"]

SENTENCES = st.lists(st.integers(4, 8), max_size=9)
RISK = changed(PARAMETERS, minimum_risk={"steps": 6, "candidates": 3, "batch_tokens": 12})


def bleu(candidate: list[int], reference: list[int]) -> float:
    """Sentence BLEU (Papineni et al. 2002), smoothed by Lin and Och (2004)."""
    log_precision = 0.0
    for order in range(1, 5):
        counts = [
            collections.Counter(tuple(ids[i : i + order]) for i in range(len(ids) - order + 1))
            for ids in (candidate, reference)
        ]
        matches, total = (counts[0] & counts[1]).total(), counts[0].total()
        if order > 1:
            matches, total = matches + 1, total + 1
        log_precision += math.log(max(matches / total if total else 0.0, 1e-9)) / 4
    return math.exp(log_precision + min(0.0, 1.0 - len(reference) / max(len(candidate), 1)))


@settings(deadline=None)
@given(st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=6))
def test_bleu_is_the_published_one(pairs):
    candidates, references = (padded([pair[side] for pair in pairs], 9) for side in (0, 1))
    expected = [bleu(*pair) for pair in pairs]
    np.testing.assert_allclose(sentence_bleu(candidates, references), expected, rtol=1e-4, atol=1e-9)


def test_equal_sentences_have_bleu_1_of_any_length():
    rows = padded([[4], [4, 5], [4, 4, 4, 4, 4, 4]])
    np.testing.assert_allclose(sentence_bleu(rows, rows), 1.0, rtol=1e-5)


@pytest.fixture(scope="module")
def sentences() -> tuple[tf.Tensor, tf.Tensor]:
    return padded([[5, 6, EOS], [7, EOS]]), padded([[BOS, 5, 6, 7, 8, EOS], [BOS, 9, EOS]])


def test_candidates_are_the_best_translations_with_their_bleu(sentences):
    model, (source, target) = build(eos_bias=1.0), sentences
    found = find_candidates(model, source, target, 4)
    tokens = found.tokens.numpy()
    assert tokens.shape[:2] == found.bleu.shape == (2, 4)
    for sentence, reference in zip(range(2), ([5, 6, 7, 8], [9]), strict=True):
        rows = [[int(i) for i in row if i not in (PAD, EOS)] for row in tokens[sentence]]
        assert len(set(map(tuple, rows))) == 4
        np.testing.assert_allclose(found.bleu[sentence], [bleu(row, reference) for row in rows], rtol=1e-4)


def test_the_risk_is_the_mean_by_probability(sentences):
    model, (source, target) = build(eos_bias=1.0), sentences
    found = find_candidates(model, source, target, 4)
    risks = expected_risk(model, source, found, NO_DROPOUT).numpy()
    for sentence in range(2):
        means = []
        for row in found.tokens[sentence].numpy():
            tokens = [BOS, *row[row != PAD].tolist()]
            log_prob, _ = model.score(source[sentence : sentence + 1], padded([tokens]))
            means.append(float(log_prob[0]) / (len(tokens) - 1))
        weights = np.exp(means) / np.sum(np.exp(means))
        np.testing.assert_allclose(risks[sentence], np.sum(weights * (1 - found.bleu[sentence])), rtol=1e-4)


def test_a_row_without_tokens_is_no_candidate(sentences):
    model, source = build(), sentences[0][:1]
    tokens = tf.constant([[[5, EOS], [6, EOS], [PAD, PAD]]])
    three = Candidates(tokens, tf.constant([[0.25, 0.75, 0.0]]))
    two = Candidates(tokens[:, :2], three.bleu[:, :2])
    np.testing.assert_allclose(
        expected_risk(model, source, three, NO_DROPOUT), expected_risk(model, source, two, NO_DROPOUT)
    )


def test_a_step_along_the_gradient_lowers_the_risk(sentences):
    model, (source, target) = build(eos_bias=1.0), sentences
    found = find_candidates(model, source, target, 4)
    variables = [v.value for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        before = tf.reduce_sum(expected_risk(model, source, found, NO_DROPOUT))
    gradients = [tf.convert_to_tensor(g) for g in tape.gradient(before, variables)]
    squares = float(sum(tf.reduce_sum(g * g) for g in gradients))
    assert squares > 1e-6
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign_sub(1e-3 * gradient)
    after = tf.reduce_sum(expected_risk(model, source, found, NO_DROPOUT))
    assert float(before - after) == pytest.approx(1e-3 * squares, rel=0.05)


def test_a_part_of_a_batch_may_be_empty(sentences):
    model, (source, target) = build(), sentences
    found = find_candidates(model, source[:0], target[:0], 4)
    assert expected_risk(model, source[:0], found, NO_DROPOUT).shape == (0,)


class Attempt:
    """One attempt at a training. Attempts with the same `folder` share the working folder."""

    def __init__(
        self,
        split: Path,
        folder: Path,
        parameters: Parameters = RISK,
        *,
        killed_at: int = -1,
        validations_before: int = 0,
        rise: float = 1.0,
    ):
        self.messages: list[str] = []
        self.weights_seen: list[list[np.ndarray]] = []
        self.model = initialize(SETTINGS, VOCABULARY, VOCABULARY, seed=parameters.seed)
        self.working = folder / "working"
        self.working.mkdir(parents=True, exist_ok=True)
        context = Context(
            working_dir=self.working,
            temp_dir=folder,
            beam_pipeline=lambda: pytest.fail("the trainer runs no Beam pipeline"),
            say=self.messages.append,
        )

        def validate() -> ValidationScores:
            if len(self.weights_seen) == killed_at:
                raise Killed
            self.weights_seen.append(self.weights())
            return ValidationScores(50 + rise * (validations_before + len(self.weights_seen)))

        batches = open_batches(split, parameters.seed)
        train_alone(self.model, {}, parameters, batches, validate, context, NOTHING_WATCHED)

    def weights(self) -> list[np.ndarray]:
        return [v.numpy() for v in self.model.trainable_variables]

    def steps(self) -> list[int]:
        return [validation.step for validation in ModelRun(self.working).history()]


@pytest.fixture(scope="module")
def unbroken(split, deterministic, tmp_path_factory) -> Attempt:
    return Attempt(split, tmp_path_factory.mktemp("unbroken"))


class TestTraining:
    def test_it_follows_the_last_update_and_continues_the_records(self, unbroken):
        assert unbroken.steps() == [4, 8, 12, 16, 18]
        run = ModelRun(unbroken.working)
        assert run.size().steps == 18
        minutes = [validation.minutes for validation in run.history()]
        assert minutes == sorted(minutes)
        assert are_equal(unbroken.weights(), unbroken.weights_seen[-1])
        assert not are_equal(unbroken.weights_seen[2], unbroken.weights_seen[3])
        assert exported_steps(RISK, run) == (18, 18, 1)

    def test_without_it_the_weights_are_those_before_it(self, split, unbroken, tmp_path):
        ordinary = Attempt(split, tmp_path, PARAMETERS)
        assert ordinary.steps() == [4, 8, 12]
        for one, other in zip(ordinary.weights_seen, unbroken.weights_seen[:3], strict=True):
            assert are_equal(one, other)

    def test_a_lower_validation_bleu_is_a_warning(self, split, unbroken, tmp_path):
        assert risk_warning(RISK, ModelRun(unbroken.working)) == ""
        worse = ModelRun(Attempt(split, tmp_path, rise=-1.0).working)
        expected = r"lowered validation BLEU from 47\.00 to 45\.00; set trainer\.minimum_risk\.learning_rate"
        assert re.search(expected, risk_warning(RISK, worse))
        assert risk_warning(PARAMETERS, worse) == ""

    @pytest.mark.parametrize("killed_at", [3, 4])
    def test_an_interrupted_training_gives_the_weights_of_an_unbroken_one(
        self, split, unbroken, tmp_path, killed_at
    ):
        with pytest.raises(Killed):
            Attempt(split, tmp_path, killed_at=killed_at)
        resumed = Attempt(split, tmp_path, validations_before=killed_at)
        assert resumed.steps() == [4, 8, 12, 16, 18]
        assert are_equal(resumed.weights(), unbroken.weights())

    def test_the_mean_of_late_weights_is_that_of_its_own_validations(self, split, tmp_path, deterministic):
        parameters = changed(RISK, validation={"average_from": 0.5})
        attempt = Attempt(split, tmp_path, parameters)
        assert exported_steps(parameters, ModelRun(attempt.working)) == (16, 18, 2)
        for exported, *late in zip(attempt.weights(), *attempt.weights_seen[3:], strict=True):
            np.testing.assert_allclose(exported, np.mean(late, 0), atol=1e-6)


@pytest.mark.parametrize("section", [{"workers": 2}, {"devices": 2}])
def test_several_processes_or_devices_are_refused(section):
    with pytest.raises(
        ValueError, match=r"minimum_risk needs distribute\.workers 1 and distribute\.devices 1"
    ):
        changed(RISK, distribute=section)
