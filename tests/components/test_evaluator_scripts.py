"""Evaluator on languages without blanks between words: one tokenizer, and lengths in characters."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.evaluator import Parameters, executor, scoring
from bitext.components.shared.errors import ConfigError
from tests import toy_model
from tests.components.test_tokenizers import REFERENCES

CHINESE = [(f"c:{n}", text, text[:3] + "新" + text[4:]) for n, text in enumerate(REFERENCES["zh"] * 2)]
"""The toy model copies: it nearly finds the reference."""
ENGLISH = [(f"e:{n}", text, text) for n, text in enumerate(REFERENCES["13a"])]


@dataclasses.dataclass
class Outcome:
    metrics: dict[str, Any]
    lines: list[str]
    blessed: bool


Evaluate = Callable[..., Outcome]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> artifacts.Model:
    return artifacts.Model(toy_model.save(tmp_path_factory.mktemp("model"), "copy"))


@pytest.fixture
def evaluate(model: artifacts.Model, tmp_path: Path) -> Evaluate:
    def call(
        rows: list[tuple[str, str, str]],
        golden: list[tuple[str, str, str]] | None = None,
        baseline: bool = False,
        **changes: Any,
    ) -> Outcome:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        toy_model.write_examples(folder / "examples", "test", rows)
        if golden is not None:
            toy_model.write_examples(folder / "golden", "golden", golden)
        evaluation = artifacts.ModelEvaluation(folder / "evaluation")
        blessing = artifacts.ModelBlessing(folder / "blessing")
        for artifact in (evaluation, blessing):
            artifact.path.mkdir(parents=True)
        lines: list[str] = []
        executor.run(
            Parameters(bootstrap_samples=100, beat_trivial_baselines=False, **changes),
            Context(folder, folder, lambda: None, lines.append),  # type: ignore
            examples=[artifacts.Examples(folder / "examples")],
            golden=None if golden is None else artifacts.Examples(folder / "golden"),
            model=model,
            baseline=model if baseline else None,
            evaluation=evaluation,
            blessing=blessing,
        )
        metrics = json.loads((evaluation.path / "metrics.json").read_text(encoding="utf-8"))
        return Outcome(metrics, lines, (blessing.path / "BLESSED").exists())

    return call


def test_chinese_references_are_scored_with_zh(evaluate: Evaluate) -> None:
    outcome = evaluate(CHINESE, baseline=True, min_bleu=50)
    assert outcome.lines[0] == "tokenizer zh: the references are in Han script"
    metrics = outcome.metrics
    assert (metrics["tokenizer"], metrics["source_unit"]) == ("zh", "characters")
    assert "|tok:zh|" in metrics["bleu"]["signature"]
    assert metrics["bleu"]["score"] > 50
    assert metrics["baseline"]["bleu"] == metrics["bleu"]["score"]
    assert metrics["length_ratio"] == pytest.approx(1.0)
    assert outcome.blessed
    # 23 to 18 characters without blanks are not "1-4 words".
    assert all(row["from"] > 1 for row in metrics["by_source_length"])
    assert any("17-24 characters: BLEU" in line for line in outcome.lines)


def test_the_golden_set_is_scored_with_the_tokenizer_of_the_test_split(evaluate: Evaluate) -> None:
    outcome = evaluate(CHINESE, golden=[CHINESE[0], *ENGLISH])
    golden = outcome.metrics["golden"]
    assert (golden["tokenizer"], golden["source_unit"]) == ("zh", "words")
    assert "|tok:zh|" in golden["bleu"]["signature"]


def test_an_unfit_tokenizer_is_refused_before_a_sentence_is_translated(evaluate: Evaluate) -> None:
    with pytest.raises(ConfigError, match=r"evaluator\.tokenize: 13a .* Han script") as error:
        evaluate(CHINESE, tokenize="13a")
    assert "set it to zh," in error.value.remedy
    assert evaluate(CHINESE, tokenize="char").metrics["tokenizer"] == "char"


def test_other_languages_are_scored_in_words_as_before(evaluate: Evaluate) -> None:
    outcome = evaluate(ENGLISH)
    assert outcome.lines[0] == "tokenizer 13a: the references are in Latin script"
    assert (outcome.metrics["tokenizer"], outcome.metrics["source_unit"]) == ("13a", "words")
    assert any("13-16 words: BLEU 100.00" in line for line in outcome.lines)


@pytest.mark.parametrize(
    ("script", "starts"),
    [
        ("Latin", (1, 5, 9, 13, 17, 25)),
        ("Hangul", (1, 5, 9, 13, 17, 25)),
        ("Han", (1, 9, 17, 25, 33, 49)),
        ("Thai", (1, 21, 41, 61, 81, 121)),
    ],
)
def test_bins_are_in_words_or_in_as_many_characters(script: str, starts: tuple[int, ...]) -> None:
    assert scoring.length_bins(Parameters(), script) == starts
    assert scoring.length_bins(Parameters(length_bins=(1, 5)), script) == starts[:2]


def test_metrics_of_older_files_are_read() -> None:
    older = {"perplexity": 2.0, "length_ratio": 1.0, "by_source_length": [], "sentences": 1}
    older |= {"sentences_per_second": 1.0, "bleu": {"score": 1.0, "signature": "", "interval": [0, 2]}}
    metrics = artifacts.Metrics.from_json(older)
    assert (metrics.source_unit, metrics.tokenizer) == ("words", None)
    assert artifacts.Metrics.from_json(msgspec.json.decode(msgspec.json.encode(metrics.to_json()))) == metrics
