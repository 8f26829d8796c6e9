"""A new entry of `METRICS` is computed by Evaluator and shown on the card and in every report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitext.components import artifacts
from bitext.components.artifacts import ServedVersion
from bitext.components.component import Context
from bitext.components.evaluator import Parameters, executor
from bitext.components.pusher.card import Card
from bitext.components.pusher.card_markdown import card_files
from bitext.components.shared.metrics import METRICS
from bitext.pipeline import cli
from tests import toy_model
from tests.exact_match import ExactMatch


@pytest.fixture(autouse=True)
def exact_match() -> Iterator[None]:
    """Adds the metric for the duration of a test."""
    METRICS.append(ExactMatch)
    yield
    METRICS.remove(ExactMatch)


def test_the_evaluator_computes_it_and_the_card_shows_it(tmp_path: Path) -> None:
    targets = ["THE CAT", "A DOG", "two mats", "A MAT"]
    rows = [(str(n), target.lower(), target) for n, target in enumerate(targets)]
    toy_model.write_examples(tmp_path, "test", rows)
    evaluation, blessing = artifacts.ModelEvaluation(tmp_path), artifacts.ModelBlessing(tmp_path)
    lines: list[str] = []
    executor.run(
        Parameters(bootstrap_samples=100, thresholds={"exact": 80}),
        Context(tmp_path, tmp_path, lambda: None, lines.append),  # type: ignore[arg-type,return-value]
        examples=[artifacts.Examples(tmp_path)],
        model=artifacts.Model(toy_model.save(tmp_path / "model")),
        evaluation=evaluation,
        blessing=blessing,
    )
    written = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert (written["exact"]["score"], written["exact"]["signature"]) == (75.0, "case:mixed")
    assert list(written)[:5] == ["bleu", "chrf", "chrfpp", "ter", "exact"]
    assert evaluation.properties["exact"] == 75.0
    low, high = written["exact"]["interval"]
    assert f"  exact match 75.00 [{low:.2f}, {high:.2f}]  case:mixed" in lines
    assert blessing.verdict().reasons == [
        "exact match 75.00 on the test split is below the threshold thresholds.exact 80"
    ]
    card = Card(model="m", version=1, digest="d", scores=evaluation.metrics())
    files = card_files(card)
    assert json.loads(files[ServedVersion.CARD_JSON])["scores"]["exact"] == written["exact"]
    line = f"- exact match 75.00 (95 % interval {low:.2f} to {high:.2f}), `case:mixed`"
    assert line in files[ServedVersion.CARD_MARKDOWN].decode()


def test_summary_status_and_openmetrics_show_it(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "toy.yaml"]) == 0
    assert "exact match 31.25  (95 % interval 30.00 to 32.50)" in capsys.readouterr().out
    assert 'bitext_exact{pipeline="toy"} 31.25' in Path("metrics/toy.prom").read_text(encoding="utf-8")
    assert cli.main(["status", "toy.yaml"]) == 0
    assert "  exact match 31.25" in capsys.readouterr().out
    assert cli.main(["status", "--json", "toy.yaml"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["scores"]["exact"] == 31.25
