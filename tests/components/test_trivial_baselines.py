"""Trivial baselines: what they answer, what is measured of them, and which models do not exceed them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.artifacts import Metrics, TrivialScore, Verdict
from bitext.components.evaluator import Parameters, trivial
from bitext.components.evaluator.verdict import judge
from bitext.components.shared.heldout import Sentence
from bitext.components.shared.metrics import METRICS
from tests import toy_model

PARAMETERS = Parameters(bootstrap_samples=200)
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def pairs(sentences: int, words: int = 8) -> list[Sentence]:
    """Returns sentences whose reference is the source in upper case."""
    rng = random.Random(3)
    texts = [" ".join(rng.choices(WORDS, k=words)) for _ in range(sentences)]
    return [Sentence(f"a:{n}", text, [text.upper()]) for n, text in enumerate(texts)]


def scored(sentences: Sequence[Sentence], hypotheses: Sequence[str], frequent: str | None) -> Metrics:
    """Returns the scores of translations, with those of the trivial baselines."""
    metrics = {m.name: m([s.references for s in sentences], PARAMETERS) for m in METRICS}
    own = {name: metric.statistics(hypotheses) for name, metric in metrics.items()}
    return Metrics(
        scores={name: metric.score(own[name]) for name, metric in metrics.items()},
        perplexity=4.0,
        length_ratio=1.0,
        by_source_length=(),
        sentences=len(sentences),
        sentences_per_second=1.0,
        trivial=trivial.trivial_scores(sentences, hypotheses, metrics, own, frequent),
    )


def verdict(sentences: Sequence[Sentence], hypotheses: Sequence[str], frequent: str | None = None) -> Verdict:
    return judge({"test": scored(sentences, hypotheses, frequent)}, PARAMETERS)


class TestVerdict:
    @pytest.mark.parametrize("sentences", [2, 3, 40])
    def test_a_right_translation_is_blessed(self, sentences: int) -> None:
        rows = pairs(sentences)
        assert verdict(rows, [row.references[0] for row in rows], rows[0].references[0]).blessed

    def test_one_answer_for_everything_is_refused(self) -> None:
        rows = pairs(40)
        answer = rows[0].references[0]
        for frequent in (answer, "something else", None):
            result = verdict(rows, [answer] * 40, frequent)
            assert not result.blessed
            assert "of the model's translations, shuffled" in result.reasons[0]

    def test_fluent_noise_is_refused(self) -> None:
        rows = pairs(300)
        targets = [row.references[0] for row in rows]
        for seed in range(5):
            noise = random.Random(seed).choices(targets, k=len(rows))
            assert not verdict(rows, noise).blessed

    def test_a_better_score_by_chance_is_refused_and_said(self) -> None:
        shuffled = TrivialScore(scores={"bleu": 1.0, "chrf": 2.0}, p_values={"bleu": 0.01, "chrf": 0.4})
        rows = pairs(20)
        metrics = scored(rows, [row.references[0] for row in rows], None)
        by_chance = msgspec.structs.replace(metrics, trivial={"shuffled_translations": shuffled})
        result = judge({"test": by_chance}, PARAMETERS)
        assert not result.blessed
        assert "only by chance (p = 0.400)" in result.reasons[0]
        assert "BLEU" not in result.reasons[0]

    def test_where_copying_is_right_a_copy_is_not_enough(self) -> None:
        rows = [Sentence(row.id, row.source, [row.source]) for row in pairs(30)]
        result = verdict(rows, [row.source for row in rows])
        assert not result.blessed
        assert (
            "BLEU 100.00 and chrF 100.00 do not exceed BLEU 100.00 and chrF 100.00 of copying"
            in (result.reasons[0])
        )

    def test_bleu_is_not_compared_where_no_reference_has_four_tokens(self) -> None:
        rows = pairs(30, words=2)
        metrics = scored(rows, [row.references[0] for row in rows], "NOTHING")
        assert metrics.scores["bleu"].score == 0
        assert all(set(baseline.scores) == {"chrf"} for baseline in metrics.trivial.values())
        result = judge({"test": metrics}, PARAMETERS)
        assert result.blessed
        assert not verdict(rows, [row.source for row in rows]).blessed

    def test_the_translations_of_one_sentence_are_not_shuffled(self) -> None:
        rows = pairs(1)
        metrics = scored(rows, [rows[0].references[0]], "NOTHING")
        assert list(metrics.trivial) == ["copied_source", "frequent_target"]
        assert judge({"test": metrics}, PARAMETERS).blessed


@given(st.integers(2, 200))
def test_shuffling_moves_every_text(count: int) -> None:
    texts = [str(number) for number in range(count)]
    moved = trivial.shuffled(texts)
    assert sorted(moved) == sorted(texts)
    assert all(before != after for before, after in zip(texts, moved, strict=True))
    assert moved == trivial.shuffled(texts)


class TestMostFrequentTarget:
    def test_it_is_counted_in_all_spans(self, tmp_path: Path) -> None:
        for span, targets in (("1", ["a", "b", "ñ"]), ("2", ["ñ", "b", "b"]), ("3", [])):
            rows = [(f"{span}:{n}", "x", target) for n, target in enumerate(targets)]
            toy_model.write_examples(tmp_path / span, "train", rows, shards=1)
        spans = [artifacts.Examples(tmp_path / span) for span in "123"]
        assert trivial.most_frequent_target(spans) == "b"
        assert trivial.most_frequent_target(spans[:1]) == "a", "the first in order if several are as frequent"
        assert trivial.most_frequent_target(spans[2:]) is None
        assert trivial.most_frequent_target([artifacts.Examples(tmp_path / "none")]) is None

    def test_it_reads_the_newest_pairs_up_to_a_limit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(trivial, "MAX_PAIRS", 3)
        for span, targets in (("1", ["old"] * 9), ("2", ["new", "new", "last", "last", "last"])):
            rows = [(f"{span}:{n}", "x", target) for n, target in enumerate(targets)]
            toy_model.write_examples(tmp_path / span, "train", rows)
        spans = [artifacts.Examples(tmp_path / span) for span in "12"]
        assert trivial.most_frequent_target(spans) == "new"
