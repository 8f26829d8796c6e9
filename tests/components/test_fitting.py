"""Settings compared with the size of the data: `auto`, and warnings that say what would fit."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared import corpus_size
from bitext.components.trainer import (
    DistributeParameters,
    Parameters,
    ScheduleParameters,
    ValidationParameters,
)
from bitext.components.trainer.fitting import DataSize, data_warnings, with_steps
from bitext.components.transform import Parameters as TransformParameters
from bitext.components.transform import fitting
from bitext.components.transform.lengths import LengthCounts

TATOEBA = DataSize(pairs=135_147, examples=135_147, batches=1_069)
MULTI30K = DataSize(pairs=29_000, examples=64 * 29_000, batches=64 * 230)


def trainer(**values) -> Parameters:
    values.setdefault("validation", ValidationParameters(every=100))
    return Parameters(**{"schedule": ScheduleParameters(warmup_steps=10), **values})


class TestAuto:
    @pytest.mark.parametrize(
        ("pairs", "size", "passes"),
        [
            (9_999, 2_000, 80),
            (10_000, 4_000, 40),
            (29_000, 4_000, 40),
            (135_147, 8_000, 16),
            (1_000_000, 16_000, 12),
            (10_000_000, 32_000, 8),
        ],
    )
    def test_the_table(self, pairs, size, passes):
        assert corpus_size.vocabulary_size(pairs) == size
        assert corpus_size.vocabulary_size(pairs, words=True) == 4 * size
        steps = corpus_size.steps(pairs, pairs / 100, 0)
        assert passes * pairs / 100 <= steps < passes * pairs / 100 + 100

    @given(st.integers(1, 10**7), st.floats(0.01, 10**5), st.integers(0, 10**4))
    def test_steps_are_whole_hundreds_above_the_minimum(self, pairs, per_pass, warmup):
        steps = corpus_size.steps(pairs, per_pass, warmup)
        assert steps % 100 == 0
        assert steps >= max(corpus_size.MIN_STEPS, 2 * warmup)

    def test_steps_count_passes_over_pairs_not_over_their_tokenizations(self):
        assert with_steps(trainer(steps="auto"), TATOEBA).steps == 17_200  # 16 * 1,069
        assert with_steps(trainer(steps="auto"), MULTI30K).steps == 9_200  # 40 * 230
        assert with_steps(trainer(steps="auto", accumulate=2), MULTI30K).steps == 4_600

    def test_a_given_number_of_steps_stays(self):
        assert with_steps(trainer(steps=77), TATOEBA).steps == 77

    def test_auto_is_not_a_number(self):
        with pytest.raises(ValueError, match="auto"):
            _ = trainer(steps="auto").step_count
        with pytest.raises(ValueError, match="auto"):
            _ = TransformParameters(vocabulary_size="auto").max_ids

    def test_a_long_warm_up_fits_into_auto(self):
        warm = Parameters(steps="auto", schedule=ScheduleParameters(warmup_steps=50_000))
        assert with_steps(warm, TATOEBA).steps == 100_000


class TestTrainerWarnings:
    def test_settings_that_fit_give_none(self):
        assert data_warnings(trainer(steps=2_800), TATOEBA) == []
        assert data_warnings(trainer(steps=20_000), MULTI30K) == []

    @pytest.mark.parametrize(
        ("values", "size", "expected"),
        [
            (
                {"validation": ValidationParameters(every=500), "steps": 300},
                DataSize(9_000, 9_000, 200),
                "validation.every 500 is above steps 300.* 30 would fit",
            ),
            (
                {"steps": 500},
                TATOEBA,
                "steps 500 read 46.8% of the 135,147 pairs: one pass takes 1,069 steps; 17,200 steps",
            ),
            (
                {"steps": 100_000},
                DataSize(4_000, 4_000, 40),
                "read the 4,000 pairs 2,500 times; 3,200 steps would fit",
            ),
            (
                {"replicas": 8, "steps": 4_000},
                DataSize(300, 300, 100),
                "3.0 pairs a batch on average, too few for 8 replicas; batch_tokens 8,534 would",
            ),
            (
                {"replicas": 2, "steps": 4_000, "distribute": DistributeParameters(workers=4)},
                DataSize(300, 300, 100),
                "too few for 8 replicas of all workers and devices; batch_tokens 8,534 would",
            ),
            (
                {"batch_tokens": 100_000, "steps": 1_000},
                DataSize(30_000, 30_000, 5),
                "only 5.0 updates.* has 6,000 of 30,000.*batch_tokens 50,000",
            ),
            (
                {"accumulate": 100, "steps": 500},
                DataSize(9_000, 9_000, 200),
                "only 2.0 updates.*accumulate 1 would fit",
            ),
        ],
    )
    def test_each_says_what_would_fit(self, values, size, expected):
        (line,) = data_warnings(trainer(**values), size)
        assert re.search(expected, line), line

    def test_many_tokenizations_are_many_passes(self):
        # A quarter of the examples, but each pair 16 times.
        assert data_warnings(trainer(steps=64 * 230 // 4), MULTI30K) == []

    @given(st.integers(1, 10**6), st.integers(1, 10**6))
    def test_following_the_advice_about_steps_ends_it(self, steps, batches):
        size = DataSize(pairs=batches * 30, examples=batches * 30, batches=batches)
        fitting_steps = corpus_size.steps(size.pairs, batches, 10)
        lines = data_warnings(trainer(steps=max(steps, 11)), size)
        if any("times" in line or "one pass" in line for line in lines) and fitting_steps / batches <= 500:
            again = data_warnings(trainer(steps=fitting_steps), size)
            assert not any("times" in line or "one pass" in line for line in again)


class TestTransformWarnings:
    def test_a_vocabulary_of_50_000_on_4_000_pairs(self):
        line = fitting.vocabulary_warning(TransformParameters(vocabulary_size=50_000), 31_234, 4_000)
        assert "a vocabulary of 31,234 is large for 4,000 training pairs" in line
        assert "transform.vocabulary_size 2,000 would fit (`auto`)" in line

    @pytest.mark.parametrize(("size", "pairs"), [(4_000, 29_000), (8_000, 135_147), (5_000, 4_000)])
    def test_a_vocabulary_that_fits_gives_none(self, size, pairs):
        assert fitting.vocabulary_warning(TransformParameters(), size, pairs) == ""

    @given(st.lists(st.integers(2, 200), min_size=1, max_size=200), st.integers(3, 100))
    def test_a_limit_that_cuts_5_percent_is_told_with_a_limit_that_fits(self, lengths, limit):
        source = np.array(lengths)
        parameters = TransformParameters(source_max_length=limit, target_max_length=10_000)
        lines = fitting.length_warnings(parameters, LengthCounts.of(source, source))
        assert len(lines) == (np.mean(source > limit) >= 0.05)
        for line in lines:
            fits = int(re.search(r"fit into ([\d,]+)", line)[1].replace(",", ""))
            assert fits > limit
            assert np.mean(source > fits) <= 0.01
            assert f"source_max_length {limit:,} leaves out" in line

    def test_the_target_limit_names_the_search_too(self):
        parameters = TransformParameters(target_max_length=10, over_long="truncate")
        (line,) = fitting.length_warnings(parameters, LengthCounts.of(np.array([3]), np.array([40])))
        assert "target_max_length 10 truncates 100.0%" in line
        assert "trainer.search.max_length 39 or more" in line


def test_the_table_ends_with_every_size():
    assert corpus_size.RULES[-1].below == math.inf
    assert [rule.below for rule in corpus_size.RULES] == sorted(rule.below for rule in corpus_size.RULES)
