"""Evaluator: scores are equal to those of sacreBLEU, and each kind of verdict has its reasons."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from bitext.components import artifacts
from bitext.components.artifacts import BaselineComparison
from bitext.components.component import Context
from bitext.components.evaluator import Parameters, executor
from bitext.components.evaluator.verdict import judge
from bitext.components.shared import errors, heldout
from bitext.components.shared.metrics import METRICS, CorpusScore
from bitext.components.shared.metrics.sacrebleu_metrics import reference_streams
from tests import toy_model

FAST = Parameters(bootstrap_samples=100, beat_trivial_baselines=False)
WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "saw",
    "two",
    "dogs",
    "run",
    "past",
    "its",
    "old",
    "red",
    "house",
]


def corpus(seed: int, sentences: int) -> list[tuple[str, str, str]]:
    """Returns (id, source, target) rows of random sources. Most words of a target are in upper case.

    Every third source has two targets.
    """
    rng = random.Random(seed)
    rows = []
    for number in range(sentences):
        words = [rng.choice(WORDS) for _ in range(rng.randint(1, 14))]
        for reference in range(1 + (number % 3 == 0)):
            target = [w.upper() if rng.random() < 0.9 - 0.1 * reference else w for w in words]
            rows.append((f"toy.tsv:{len(rows) + 1}", " ".join(words), " ".join(target)))
    return rows


ROWS = corpus(1, 60)
GOLDEN = [(f"golden.tsv:{n}", source, source) for n, (_, source, _) in enumerate(corpus(2, 40))]
"""The toy model `copy` has a better score on these rows, the toy model `upper` on `ROWS`."""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> artifacts.Examples:
    folder = tmp_path_factory.mktemp("examples")
    toy_model.write_examples(folder, "test", ROWS, shards=2)
    return artifacts.Examples(folder)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> artifacts.Examples:
    folder = tmp_path_factory.mktemp("golden")
    toy_model.write_examples(folder, "golden", GOLDEN)
    return artifacts.Examples(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, artifacts.Model]:
    return {
        behavior: artifacts.Model(toy_model.save(tmp_path_factory.mktemp(behavior), behavior))
        for behavior in ("upper", "copy")
    }


@dataclasses.dataclass
class Outcome:
    """Outputs of Evaluator: the content of its files, and the printed lines."""

    metrics: dict[str, Any]
    translations: list[dict[str, Any]]
    verdict: dict[str, Any]
    evaluation: artifacts.ModelEvaluation
    lines: list[str]


Evaluate = Callable[..., Outcome]


@pytest.fixture
def evaluate(examples: artifacts.Examples, tmp_path: Path) -> Evaluate:
    """Returns a function that runs Evaluator and returns its outputs."""

    def call(
        model: artifacts.Model,
        baseline: artifacts.Model | None = None,
        golden: artifacts.Examples | None = None,
        force: str | None = None,
        spans: list[artifacts.Examples] | None = None,
        **changes: Any,
    ) -> Outcome:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        evaluation = artifacts.ModelEvaluation(folder / "evaluation")
        blessing = artifacts.ModelBlessing(folder / "blessing")
        for artifact in (evaluation, blessing):
            artifact.path.mkdir(parents=True)
        printed: list[str] = []
        executor.run(
            msgspec.structs.replace(FAST, **changes),
            Context(folder, folder, lambda: None, printed.append, force_bless=force),  # type: ignore
            examples=[examples] if spans is None else spans, golden=golden, model=model, baseline=baseline,
            evaluation=evaluation, blessing=blessing,
        )  # fmt: skip
        [file] = blessing.path.iterdir()
        verdict = json.loads(file.read_text(encoding="utf-8"))
        assert file.name == ("BLESSED" if verdict["blessed"] else "NOT_BLESSED")
        forced = {} if verdict["forced"] is None else {"forced": verdict["forced"]}
        reasons = "; ".join(verdict["reasons"])
        assert blessing.properties == {"blessed": int(verdict["blessed"]), "reasons": reasons, **forced}
        lines = (evaluation.path / "translations.jsonl").read_text(encoding="utf-8").splitlines()
        metrics = json.loads((evaluation.path / "metrics.json").read_text(encoding="utf-8"))
        return Outcome(metrics, [json.loads(line) for line in lines], verdict, evaluation, printed)

    return call


def metrics_with(
    *,
    perplexity: float,
    bleu: float = 30.0,
    chrf: float = 50.0,
    ter: float = 60.0,
    baseline: BaselineComparison | None = None,
) -> artifacts.Metrics:
    values = {"bleu": bleu, "chrf": chrf, "ter": ter}
    return artifacts.Metrics(
        scores={name: CorpusScore(value, "", (value, value)) for name, value in values.items()},
        perplexity=perplexity,
        length_ratio=1.0,
        by_source_length=(),
        sentences=1,
        sentences_per_second=1.0,
        baseline=baseline,
    )


class TestScores:
    def test_each_source_is_translated_once_and_has_all_its_references(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        expected: dict[str, list[str]] = {}
        for _, source, target in ROWS:
            references = expected.setdefault(source, [])
            if target not in references:
                references.append(target)
        outcome = evaluate(models["upper"], batch_size=7)
        rows = outcome.translations
        assert [(row["source"], row["references"]) for row in rows] == list(expected.items())
        assert all(row["hypothesis"] == row["source"].upper() for row in rows)
        first = {source: id_ for id_, source, _ in reversed(ROWS)}
        assert [row["id"] for row in rows] == [first[row["source"]] for row in rows]

    def test_by_line_each_line_has_its_own_reference(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        outcome = evaluate(models["upper"], references="by_line")
        rows = [(row["id"], row["source"], *row["references"]) for row in outcome.translations]
        assert rows == ROWS
        expected = BLEU().corpus_score([s.upper() for _, s, _ in ROWS], [[t for *_, t in ROWS]])
        assert outcome.metrics["bleu"]["score"] == pytest.approx(expected.score, abs=1e-6)
        assert "nrefs:1" in outcome.metrics["bleu"]["signature"]
        few = evaluate(models["upper"], references="by_line", max_sentences=5).translations
        assert len({row["source"] for row in few}) == 5
        assert few == [row for row in outcome.translations if row["source"] in {r["source"] for r in few}]

    def test_scores_equal_those_of_sacrebleu(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        outcome = evaluate(models["upper"])
        hypotheses = [row["hypothesis"] for row in outcome.translations]
        streams = reference_streams([row["references"] for row in outcome.translations])
        for name, metric in (("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER(case_sensitive=True))):
            expected = metric.corpus_score(hypotheses, streams, n_bootstrap=100)
            written = outcome.metrics[name]
            assert written["score"] == pytest.approx(expected.score, abs=1e-6)
            assert written["signature"] == str(metric.get_signature())
            low, high = written["interval"]
            assert (high - low) / 2 == pytest.approx(expected._ci, abs=1e-4)
        assert "nrefs:var" in outcome.metrics["bleu"]["signature"]
        assert outcome.evaluation.properties["bleu"] == outcome.metrics["bleu"]["score"]
        interval = [outcome.evaluation.properties[f"bleu_{end}"] for end in ("low", "high")]
        assert interval == outcome.metrics["bleu"]["interval"]
        assert outcome.evaluation.properties["bleu_signature"] == outcome.metrics["bleu"]["signature"]

    def test_perplexity_length_ratio_and_lengths(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        metrics = evaluate(models["upper"], length_bins=(1, 4, 40)).metrics
        assert metrics["perplexity"] == pytest.approx(2.0)
        assert metrics["length_ratio"] == pytest.approx(1.0)
        rows = metrics["by_source_length"]
        assert [(row["from"], row["to"]) for row in rows] == [(1, 3), (4, 39)], "an empty bin has no row"
        assert sum(row["sentences"] for row in rows) == metrics["sentences"]
        assert metrics["baseline"] is None

    def test_scores_do_not_depend_on_the_batch_size(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        single, batched = (evaluate(models["upper"], batch_size=size) for size in (1, 64))
        assert single.translations == batched.translations
        same_speed = {"sentences_per_second": 0}
        assert single.metrics | same_speed == batched.metrics | same_speed

    def test_beam_size_and_length_penalty_are_used(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        default, wide = evaluate(models["upper"]), evaluate(models["upper"], beam_size=2, length_penalty=3.0)
        for before, after in zip(default.translations, wide.translations, strict=True):
            assert after["hypothesis"] == before["hypothesis"]
            assert after["score"] == pytest.approx(3.0 * before["score"])

    def test_letter_case_counts_by_default(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        assert evaluate(models["upper"], lowercase=True).metrics["bleu"]["score"] == pytest.approx(100.0)
        assert evaluate(models["upper"]).metrics["bleu"]["score"] < 99.0

    def test_max_sentences_chooses_the_same_sentences_in_every_run(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        small, large, again = (evaluate(models["upper"], max_sentences=n).translations for n in (5, 9, 5))
        assert (len(small), len(large)) == (5, 9)
        assert small == again
        assert all(row in large for row in small)


class TestVerdict:
    def test_a_blessing_has_reasons(self, evaluate: Evaluate, models: dict[str, artifacts.Model]) -> None:
        outcome = evaluate(models["upper"], min_bleu=20)
        assert outcome.verdict["blessed"]
        assert "reaches the threshold min_bleu 20" in outcome.verdict["reasons"][0]
        assert any("BLEU" in line for line in outcome.lines)

    def test_a_model_below_the_threshold_is_refused(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        outcome = evaluate(models["copy"], min_bleu=99)
        assert not outcome.verdict["blessed"]
        [reason] = outcome.verdict["reasons"]
        assert "is below the threshold min_bleu 99" in reason

    def test_a_threshold_is_a_minimum_or_a_maximum_as_its_metric_needs(self) -> None:
        metrics = metrics_with(perplexity=4.0, bleu=30.0, chrf=50.0, ter=60.0)
        for name, passing, failing, passing_words, failing_words in (
            ("chrf", 50, 50.1, "reaches", "is below"),
            ("ter", 60, 59.9, "does not exceed", "exceeds"),
        ):
            for split, key, label in (
                ("test", "thresholds", "test split"),
                ("golden", "golden_thresholds", "golden set"),
            ):
                sets = {"test": metrics, split: metrics}
                verdict = judge(sets, msgspec.structs.replace(FAST, **{key: {name: passing}}))
                assert verdict.blessed
                assert any(
                    f"on the {label} {passing_words} the threshold {key}.{name}" in r for r in verdict.reasons
                )
                verdict = judge(sets, msgspec.structs.replace(FAST, **{key: {name: failing}}))
                assert not verdict.blessed
                [reason] = verdict.reasons
                assert f"on the {label} {failing_words} the threshold {key}.{name} {failing:g}" in reason

    def test_a_significantly_worse_model_is_refused(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        outcome = evaluate(models["copy"], models["upper"])
        assert not outcome.verdict["blessed"]
        assert "significantly worse" in outcome.verdict["reasons"][0]
        assert outcome.metrics["baseline"]["difference"] < 0
        assert evaluate(models["copy"], models["upper"], compare_with_baseline=False).verdict["blessed"]

    @pytest.mark.parametrize("baseline", ["copy", "upper"])
    def test_a_better_or_equal_model_is_blessed(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model], baseline: str
    ) -> None:
        outcome = evaluate(models["upper"], models[baseline])
        assert outcome.verdict["blessed"]
        comparison = outcome.metrics["baseline"]
        assert comparison["difference"] >= 0
        assert comparison["p_value"] == 1.0 if baseline == "upper" else comparison["p_value"] < 0.05

    def test_without_the_baselines_files_there_is_no_comparison(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model], tmp_path: Path
    ) -> None:
        outcome = evaluate(models["upper"], artifacts.Model(tmp_path / "deleted"))
        assert outcome.verdict["blessed"]
        assert outcome.metrics["baseline"] is None
        assert any("is gone" in line for line in outcome.lines)

    def test_a_model_with_a_lower_bleu_is_refused_only_if_the_difference_is_significant(self) -> None:
        metrics = metrics_with(perplexity=4.0, baseline=BaselineComparison(30.2, (29.0, 31.0), -0.2, 0.3))
        assert judge({"test": metrics}, FAST).blessed
        worse = metrics_with(perplexity=4.0, baseline=BaselineComparison(30.2, (29.0, 31.0), -0.2, 0.01))
        for sets in ({"test": worse}, {"test": metrics, "golden": worse}, {"test": worse, "golden": metrics}):
            verdict = judge(sets, FAST)
            assert (verdict.blessed, len(verdict.reasons)) == (False, 1)
            [name] = [name for name, set_metrics in sets.items() if set_metrics is worse]
            assert f"on the {name} s" in verdict.reasons[0]
            assert judge(sets, msgspec.structs.replace(FAST, significance=0.005)).blessed

    @pytest.mark.parametrize("perplexity", [math.nan, math.inf])
    def test_a_model_with_a_perplexity_that_is_not_finite_cannot_be_blessed_by_force(
        self, perplexity: float
    ) -> None:
        infinite, finite = metrics_with(perplexity=perplexity), metrics_with(perplexity=4.0)
        for sets in ({"test": infinite}, {"test": finite, "golden": infinite}):
            verdict = judge(sets, FAST)
            assert (verdict.blessed, len(verdict.reasons)) == (False, 1)
            assert "not finite" in verdict.reasons[0]
            forced = judge(sets, FAST, "a demonstration")
            assert (forced.blessed, forced.forced) == (False, None)
            assert "cannot be forced (a demonstration)" in forced.reasons[-1]


class TestTrivialBaselines:
    def test_a_model_that_copies_the_source_is_refused(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        outcome = evaluate(models["copy"], beat_trivial_baselines=True)
        [reason] = outcome.verdict["reasons"]
        score = outcome.metrics["bleu"]["score"]
        assert not outcome.verdict["blessed"]
        assert "trivial baselines on the test split, NOT all exceeded:" in outcome.lines
        assert f"BLEU {score:.2f} and chrF" in reason
        assert "of copying the source" in reason
        assert "evaluator.beat_trivial_baselines" in reason
        assert outcome.metrics["trivial"]["copied_source"]["scores"]["bleu"] == score
        assert evaluate(models["copy"]).metrics["trivial"] == {}, "without the setting nothing is measured"

    def test_a_model_that_exceeds_all_is_blessed_and_the_scores_are_recorded(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model], tmp_path: Path
    ) -> None:
        toy_model.write_examples(tmp_path / "both", "test", ROWS)
        train = [("a:1", "x", "The cat."), ("a:2", "y", "THE DOG"), ("a:3", "z", "THE DOG")]
        toy_model.write_examples(tmp_path / "both", "train", train, shards=2)
        spans = [artifacts.Examples(tmp_path / "both")]
        outcome = evaluate(models["upper"], beat_trivial_baselines=True, spans=spans)
        assert outcome.verdict["blessed"]
        assert "trivial baselines on the test split, all exceeded:" in outcome.lines
        trivial = outcome.metrics["trivial"]
        assert list(trivial) == ["copied_source", "frequent_target", "shuffled_translations"]
        references = [row["references"] for row in outcome.translations]
        for name, texts in (
            ("copied_source", [row["source"] for row in outcome.translations]),
            ("frequent_target", ["THE DOG"] * len(references)),
        ):
            for metric, expected in (("bleu", BLEU()), ("chrf", CHRF())):
                score = expected.corpus_score(texts, reference_streams(references)).score
                assert trivial[name]["scores"][metric] == pytest.approx(score, abs=1e-6)
        assert trivial["frequent_target"]["text"] == "THE DOG"
        assert max(trivial["shuffled_translations"]["p_values"].values()) < 0.05
        best = max(baseline["scores"]["chrf"] for baseline in trivial.values())
        assert outcome.evaluation.properties["trivial_chrf"] == best
        assert any(line.startswith("  copying the source: BLEU ") for line in outcome.lines)

    def test_only_the_test_split_is_compared(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model], golden: artifacts.Examples
    ) -> None:
        outcome = evaluate(models["upper"], None, golden, beat_trivial_baselines=True)
        assert outcome.verdict["blessed"], "on the golden set, copying has a better score"
        assert outcome.metrics["golden"]["trivial"] == {}

    def test_a_refused_model_can_be_forced(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        verdict = evaluate(models["copy"], beat_trivial_baselines=True, force="a copy is wanted").verdict
        assert verdict["blessed"]
        assert "of copying the source" in verdict["reasons"][0]


class TestForce:
    def test_a_refused_model_is_blessed_and_all_reasons_are_recorded(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        outcome = evaluate(models["copy"], models["upper"], force="the demonstration", min_bleu=99)
        assert outcome.verdict["blessed"]
        assert outcome.verdict["forced"] == "the demonstration"
        below, worse, forced = outcome.verdict["reasons"]
        assert "is below the threshold min_bleu 99" in below
        assert "of the model now served" in worse
        assert worse.endswith("significantly worse")
        assert forced == "forced: the demonstration"
        assert outcome.lines[-1].startswith("BLESSED BY FORCE: ")
        assert all(reason in outcome.lines[-1] for reason in outcome.verdict["reasons"])

    def test_force_is_recorded_for_a_model_that_needs_none(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        verdict = evaluate(models["upper"], force="a test").verdict
        assert (verdict["blessed"], verdict["forced"]) == (True, "a test")
        assert "reaches the threshold" in verdict["reasons"][0]
        assert verdict["reasons"][-1] == "forced: a test"
        assert evaluate(models["upper"]).verdict["forced"] is None


class TestGolden:
    def test_the_golden_set_is_scored_like_the_test_split(
        self,
        evaluate: Evaluate,
        models: dict[str, artifacts.Model],
        golden: artifacts.Examples,
        tmp_path: Path,
    ) -> None:
        toy_model.write_examples(tmp_path / "as_test", "test", GOLDEN)
        expected = evaluate(models["upper"], models["copy"], spans=[artifacts.Examples(tmp_path / "as_test")])
        outcome = evaluate(models["upper"], models["copy"], golden)
        same_speed = {"sentences_per_second": 0}
        assert outcome.metrics["golden"] | same_speed == {
            name: value
            for name, value in (expected.metrics | same_speed).items()
            if name not in ("golden", "test_sets")
        }
        assert outcome.metrics["golden"]["baseline"]["difference"] < 0
        lines = (outcome.evaluation.path / "translations-golden.jsonl").read_text(encoding="utf-8")
        assert [json.loads(line) for line in lines.splitlines()] == expected.translations
        properties = outcome.evaluation.properties
        assert {name: properties[f"golden_{name}"] for name in expected.evaluation.properties} == (
            expected.evaluation.properties
        )
        assert {n for n in properties if not n.startswith("golden_")} == set(expected.evaluation.properties)
        for label, metrics in (("test split", outcome.metrics), ("golden set", outcome.metrics["golden"])):
            [heading] = [n for n, line in enumerate(outcome.lines) if line.startswith(f"{label}: ")]
            printed = outcome.lines[heading + 1 : heading + 1 + len(METRICS)]
            for metric, line in zip(METRICS, printed, strict=True):
                score = metrics[metric.name]
                assert line.startswith(f"  {metric.label} {score['score']:.2f} [")
                assert line.endswith(score["signature"])

    def test_without_a_golden_set_nothing_mentions_it(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        outcome = evaluate(models["upper"])
        assert outcome.metrics["golden"] is None
        assert not (outcome.evaluation.path / "translations-golden.jsonl").exists()
        assert not any("golden" in line for line in (*outcome.lines, *outcome.evaluation.properties))

    @pytest.mark.parametrize("better_on", ["test split", "golden set"])
    def test_a_model_that_is_worse_on_one_set_is_refused_and_the_set_is_named(
        self,
        evaluate: Evaluate,
        models: dict[str, artifacts.Model],
        golden: artifacts.Examples,
        better_on: str,
    ) -> None:
        both = [models["upper"], models["copy"]]
        candidate, served = both if better_on == "test split" else both[::-1]
        [reason] = evaluate(candidate, served, golden).verdict["reasons"]
        assert ("on the golden set" in reason) == (better_on == "test split")
        assert ("on the test split" in reason) == (better_on == "golden set")
        assert "of the model now served" in reason
        assert evaluate(candidate, served, golden, compare_with_baseline=False).verdict["blessed"]

    def test_the_golden_set_has_its_own_threshold(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model], golden: artifacts.Examples
    ) -> None:
        [reason] = evaluate(models["upper"], None, golden, min_bleu=20, min_golden_bleu=20).verdict["reasons"]
        assert "on the golden set is below the threshold min_golden_bleu 20" in reason
        reasons = evaluate(models["copy"], None, golden, min_golden_bleu=20).verdict["reasons"]
        assert any("on the golden set reaches the threshold min_golden_bleu 20" in line for line in reasons)
        with pytest.raises(errors.ConfigError, match="there is no golden set"):
            evaluate(models["copy"], min_golden_bleu=20)
        with pytest.raises(errors.ConfigError, match=r"golden_thresholds\.ter is set"):
            evaluate(models["copy"], golden_thresholds={"ter": 20})


def test_the_test_splits_of_all_spans_are_scored_together(
    evaluate: Evaluate, models: dict[str, artifacts.Model], tmp_path: Path
) -> None:
    span_rows = {"span 1": ROWS[:30], "span 2": [], "span 3": ROWS[30:]}
    for name, rows in span_rows.items():
        toy_model.write_examples(tmp_path / name, "test", rows)
    outcome = evaluate(models["upper"], spans=[artifacts.Examples(tmp_path / name) for name in span_rows])
    assert outcome.translations == evaluate(models["upper"]).translations


class TestHeldOut:
    def test_an_empty_split_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        for rows in (None, []):
            if rows is not None:
                toy_model.write_examples(tmp_path, "test", rows)
            with pytest.raises(errors.DataError, match="'test' holds no example") as caught:
                heldout.read_sentences([tmp_path / "Split-test"])
            assert caught.value.remedy

    def test_a_damaged_file_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        toy_model.write_examples(tmp_path, "test", ROWS)
        [file] = tmp_path.glob("Split-test/*")
        file.write_bytes(file.read_bytes()[:-40])
        with pytest.raises(errors.DataError, match=r"Split-test/.* is damaged"):
            heldout.read_sentences([tmp_path / "Split-test"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"length_penalty": 1.0},
        {"max_length": 5},
        {"length_bins": ()},
        {"length_bins": (2, 3)},
        {"length_bins": (1, 1)},
        {"thresholds": {"wer": 3.0}},
        {"golden_thresholds": {"wer": 3.0}},
    ],
)
def test_impossible_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="length|no metric 'wer'; there are bleu, chrf, chrfpp, ter"):
        Parameters(**wrong)


class TestRecords:
    def test_sentence_scores_equal_those_of_sacrebleu(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        rows = evaluate(models["upper"], models["copy"]).translations
        sentence_metrics = {
            "bleu": BLEU(effective_order=True),
            "chrf": CHRF(),
            "chrfpp": CHRF(word_order=2),
            "ter": TER(case_sensitive=True),
        }
        for row in rows:
            for text, scores in (("hypothesis", "scores"), ("served", "served_scores")):
                for name, metric in sentence_metrics.items():
                    expected = metric.sentence_score(row[text], row["references"]).score
                    assert row[scores][name] == pytest.approx(expected, abs=1e-3), (name, row)
        assert all(row["served"] == row["source"] for row in rows)

    def test_without_a_comparison_there_are_no_fields_of_the_served_model(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        outcome = evaluate(models["upper"])
        assert set(outcome.translations[0]) == {"id", "source", "hypothesis", "references", "score", "scores"}
        [*rows] = outcome.evaluation.translations()
        assert (rows[0].served, rows[0].served_scores, rows[0].part) == (None, {}, "")
        assert outcome.evaluation.alignments() == {}, "the toy model returns no tokens"

    def test_the_comparison_has_every_metric(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model]
    ) -> None:
        outcome = evaluate(models["upper"], models["copy"])
        own, other = outcome.metrics, evaluate(models["copy"]).metrics
        comparison = outcome.evaluation.metrics().baseline
        assert comparison is not None
        assert set(comparison.by_metric) == {metric.name for metric in METRICS}
        for name, by_metric in comparison.by_metric.items():
            assert by_metric.score == pytest.approx(other[name]["score"])
            assert by_metric.interval == pytest.approx(tuple(other[name]["interval"]))
            assert by_metric.difference == pytest.approx(own[name]["score"] - other[name]["score"])
        assert comparison.by_metric["bleu"].p_value == comparison.p_value

    def test_older_files_are_read(self, tmp_path: Path) -> None:
        evaluation = artifacts.ModelEvaluation(tmp_path)
        old = b'{"id":"a:1","source":"s","hypothesis":"h","references":["r"],"score":-1.0}\n'
        evaluation.translations_file().write_bytes(old)
        [row] = evaluation.translations()
        assert row == artifacts.Translated("a:1", "s", "h", ["r"], -1.0)
        evaluation.write_translations([row])
        assert evaluation.translations_file().read_bytes() == old
        assert evaluation.alignments() == {}
        baseline = msgspec.convert(
            {"bleu": 1.0, "interval": (0.0, 2.0), "difference": 0.5, "p_value": 0.2}, BaselineComparison
        )
        assert baseline.by_metric == {}

    def test_each_sentence_has_its_part(
        self, evaluate: Evaluate, models: dict[str, artifacts.Model], tmp_path: Path
    ) -> None:
        spans = []
        for part, rows in (("news", ROWS[:10]), ("span 7", ROWS[10:])):
            toy_model.write_examples(tmp_path / "parts" / part, "test", rows)
            spans.append(artifacts.Examples(tmp_path / "parts" / part, {"part": part}))
        rows = evaluate(models["upper"], spans=spans).translations
        first = {id_ for id_, *_ in ROWS[:10]}
        assert {row["id"] in first: row["part"] for row in rows} == {True: "news", False: "span 7"}
