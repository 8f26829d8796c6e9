"""Which weights are exported, and the length penalty that follows from the training data."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.artifacts import ModelRun, Validation
from bitext.components.seq2seq import SearchSettings
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.shared.heldout import Sentence
from bitext.components.text import BOS_ID, EOS_ID, PAD_ID
from bitext.components.text.processor import TextPair
from bitext.components.trainer import Parameters, ValidationParameters, length_fitting, selection
from bitext.components.trainer.length_fitting import Fit, fit_length_penalty, piece_lengths, training_ratio
from bitext.components.trainer.selection import select, with_penalty
from tests.components.test_text import LINES, make_processor
from tests.components.test_trainer import (
    PARAMETERS,
    Attempt,
    Killed,
    are_equal,
    changed,
    killed_in_second_validation,
    open_batches,
    split,
)
from tests.components.tiny_model import SETTINGS, initialize

__all__ = ["split"]

LATE = changed(PARAMETERS, validation={"average_from": 0.5})  # validations at 4, 8 and 12 of 12 updates


class TestLateWeights:
    def test_the_exported_weights_are_the_mean_of_those_of_late_validations(self, split, tmp_path):
        attempt = Attempt(split, tmp_path, LATE).run(lambda count: -float(count))
        for exported, *late in zip(attempt.weights(), *attempt.weights_seen[1:], strict=True):
            np.testing.assert_allclose(exported, np.mean(late, 0), atol=1e-6)
        assert not are_equal(attempt.weights(), attempt.weights_seen[0])

    def test_an_interrupted_training_gives_the_same_mean(self, split, tmp_path):
        unbroken = Attempt(split, tmp_path / "unbroken", LATE).run(float)
        with pytest.raises(Killed):
            Attempt(split, tmp_path / "broken", LATE).run(killed_in_second_validation)
        resumed = Attempt(split, tmp_path / "broken", LATE).run(float)
        assert are_equal(resumed.weights(), unbroken.weights())

    def test_a_training_that_stops_before_exports_the_best_weights(self, split, tmp_path):
        parameters = changed(LATE, steps=40, validation={"patience": 2, "every": 2})
        bleu = [5.0, 9.0, 8.0, 7.0]
        attempt = Attempt(split, tmp_path, parameters).run(lambda count: bleu[count])
        assert are_equal(attempt.weights(), attempt.weights_seen[1])


class TestLengths:
    def test_pieces_have_their_characters_and_a_character_of_bytes_has_one(self, tmp_path):
        text = make_processor(tmp_path, LINES)
        lines = ["Tom likes cheese", "x\U0001f600\u00e9\u4e2dy"]
        ids = text.tokenize(tf.constant(lines)).to_tensor()
        counted = [int(length_fitting.count(row, piece_lengths(text))) for row in ids]
        assert counted == [len(line) + 1 for line in lines]  # U+2581 is before the first word
        special = tf.constant([PAD_ID, BOS_ID, EOS_ID])
        assert int(length_fitting.count(special, piece_lengths(text))) == 0

    def test_an_unknown_word_has_the_mean_length(self, tmp_path):
        text = make_processor(tmp_path, ["a bb cccc"], unit="word")
        ids = text.tokenize(tf.constant(["zzzzzzzzz"])).to_tensor()
        assert int(length_fitting.count(ids, piece_lengths(text))) == round((2 + 3 + 5) / 3)

    def test_the_ratio_is_that_of_the_pairs(self, split, tmp_path):
        text = make_processor(tmp_path, LINES)
        batches, lengths = open_batches(split, seed=1), piece_lengths(text).numpy()
        epoch = list(itertools.islice(batches.after(0), batches.per_epoch))
        sums = [sum(lengths[side[number].numpy()].sum() for side in epoch) for number in (0, 1)]
        ratio = training_ratio(batches, TextPair(text, text, True, 60))
        assert ratio == pytest.approx(sums[1] / sums[0])


class TestPenalty:
    @given(st.floats(-1, 3), st.floats(0.5, 20))
    @settings(deadline=None)
    def test_it_is_found_within_two_hundredths(self, wanted, slope):
        penalty, reached = length_fitting._bisect(lambda penalty: 0.1 + slope * penalty, 0.1 + slope * wanted)
        assert penalty == pytest.approx(min(2.0, max(0.0, wanted)), abs=0.021)
        assert reached == pytest.approx(0.1 + slope * penalty)

    @pytest.mark.parametrize(("penalty", "word"), [(0.0, "longer"), (2.0, "shorter"), (1.1, "")])
    def test_an_end_of_the_range_is_a_warning(self, penalty, word):
        warning = Fit(penalty, 1.0, 1.2, 10).warning
        assert bool(warning) == bool(word)
        assert word in warning

    def test_translations_have_the_wanted_length(self, tmp_path):
        """The model prefers the end of the sentence, so that the penalty sets the length."""
        translator = translator_of(tmp_path)
        sources = [f"{word} {other}" for word, other in itertools.product(LINES[0].split(), LINES[3].split())]
        lengths = {penalty: fit_ratio(translator, sources, penalty) for penalty in (0.0, 1.0, 2.0)}
        assert lengths[0.0] < lengths[2.0]
        wanted = (lengths[0.0] + lengths[2.0]) / 2
        fit = fit_length_penalty(translator, sources, wanted)
        assert fit.sentences == len(sources)
        assert fit.training_ratio == wanted
        around = sorted(fit_ratio(translator, sources, fit.length_penalty + step) for step in (-0.1, 0.1))
        assert around[0] <= wanted <= around[1]
        assert fit_ratio(translator, sources, fit.length_penalty) == pytest.approx(fit.ratio)


def translator_of(folder, **search) -> Translator:
    text = make_processor(folder, LINES)
    model = initialize(SETTINGS, text.size(), text.size(), seed=4)
    for variable in model.trainable_variables:
        variable.assign(4 * variable)  # so that lengths depend on the source
    bias = np.random.default_rng(1).normal(size=text.size())
    bias[:260], bias[EOS_ID] = -9, 4
    model.output_bias.assign(bias)
    settings = SearchSettings(beam_size=4, max_length=20, **search)
    return Translator(model, TextPair(text, text, True, 60), settings)


def fit_ratio(translator: Translator, sources: list[str], penalty: float) -> float:
    """Characters of the translations per character of the sources, counted in the text."""
    start = translator.start(tf.constant(sources))
    found = translator.decode(start, translator.search.beam_size, penalty, translator.search.max_length, 1)
    lengths = piece_lengths(translator.target)
    target = int(length_fitting.count(found.tokens, lengths))
    return target / sum(len(source) + 1 for source in sources)


class TestSelect:
    def run_of(self, folder, bleu: list[float]) -> ModelRun:
        run = ModelRun(folder)
        for number, value in enumerate(bleu, 1):
            run.append(Validation(4 * number, 0.1, 1.0, value, 1.0, 1.0))
        return run

    def selected(self, folder, split, parameters: Parameters) -> tuple[SearchSettings, object, list[str]]:
        translator = translator_of(folder)
        pair = TextPair(translator.source, translator.target, True, 60)
        held_out = [Sentence(line, line, [line]) for line in LINES]
        lines: list[str] = []
        run = self.run_of(folder, [3.0, 2.0, 1.0])
        search, chosen = select(
            translator.model, pair, parameters, open_batches(split, 1), held_out, run, lines.append
        )
        return search, chosen, lines

    def test_the_best_validation_is_not_scored_again(self, split, tmp_path):
        search, chosen, lines = self.selected(tmp_path, split, PARAMETERS)
        assert (chosen.first_step, chosen.last_step, chosen.validations, chosen.bleu) == (4, 4, 1, 3.0)
        assert search == PARAMETERS.search
        assert chosen.length_penalty == search.length_penalty
        assert not lines

    def test_a_mean_of_weights_and_a_penalty_are_scored(self, split, tmp_path):
        parameters = changed(LATE, search=SearchSettings(beam_size=4, max_length=20, length_penalty="auto"))
        search, chosen, lines = self.selected(tmp_path, split, parameters)
        assert (chosen.first_step, chosen.last_step, chosen.validations) == (8, 12, 2)
        assert 0 <= search.alpha == chosen.length_penalty <= 2
        assert chosen.bleu not in (3.0, 2.0, 1.0)
        assert "length_penalty auto" in lines[0]
        assert "mean of the weights at 2 validations, updates 8 to 12" in lines[-1]

    def test_a_greedy_search_needs_no_penalty(self, split, tmp_path):
        parameters = changed(PARAMETERS, search=SearchSettings(beam_size=1, length_penalty="auto"))
        search, chosen, lines = self.selected(tmp_path, split, parameters)
        assert search.alpha == selection.DEFAULT_PENALTY
        assert chosen.length_ratio is None
        assert not lines

    def test_a_record_of_an_older_version_has_the_best_validation(self, tmp_path):
        run = self.run_of(tmp_path, [3.0, 7.0, 1.0])
        assert run.selection().last_step == 8
        assert run.selection().length_penalty is None
        run.write_selection(msgspec.structs.replace(run.selection(), validations=2))
        assert run.selection().validations == 2


def test_an_unresolved_penalty_is_no_number():
    search = SearchSettings(length_penalty="auto")
    with pytest.raises(ValueError, match="length_penalty is auto"):
        _ = search.alpha
    parameters = with_penalty(Parameters(search=search, validation=ValidationParameters()))
    assert parameters.search.alpha == selection.DEFAULT_PENALTY
    assert SearchSettings(length_penalty=0.3).with_length_penalty(2.0).alpha == 0.3
