"""The section "Training": what it shows of records, of older records and of an earlier run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.artifacts import (
    ModelRun,
    Progress,
    SampleTranslation,
    Selection,
    TrainingSize,
    Validation,
    ValidationSamples,
)
from bitext.components.artifacts.page import Chart, Facts, Section, Sentences, Text
from bitext.components.reporter.training import MAX_POINTS, _series, section
from bitext.components.shared.errors import DataError

HOSTILE = "<b>שלום</b>"


def record(folder: Path, *, steps: int = 400, is_old: bool = False, best: int = 300) -> ModelRun:
    """Writes the record of a training whose best validation is at an update."""
    folder.mkdir(parents=True, exist_ok=True)
    run = ModelRun(folder)
    for step in range(100, steps + 1, 100):
        bleu = 20.0 - abs(step - best) / 100
        validation = Validation(step, step / 60, 1000 / step, bleu, bleu + 20, 800 / step)
        if is_old:
            run.append(msgspec.structs.replace(validation, chrf=None, validation_loss=None))
            continue
        run.append(validation)
        run.append(Progress(step - 50, step / 60, 1100 / step, 1e-5 * step, 4000.0 + step, 2.0))
        run.append(Progress(step, step / 60, 1000 / step, 1e-5 * step, 4000.0 + step, 2.0))
        samples = (SampleTranslation(HOSTILE, "Hola.", f"t{step}"), SampleTranslation("b", "c", f"u{step}"))
        run.append(ValidationSamples(step, samples))
    if not is_old:
        run.write_size(TrainingSize(500, 1_234_567, 4000, 200.0, 2))
    return run


def charts(made: Section) -> dict[str, Chart]:
    return {block.title: block for block in made.blocks if isinstance(block, Chart)}


def facts(made: Section) -> dict[str, str]:
    [block] = [block for block in made.blocks if isinstance(block, Facts)]
    return {fact.label: f"{fact.value} {fact.note}".strip() for fact in block.facts}


def test_the_section_of_a_training(tmp_path: Path) -> None:
    made = section(record(tmp_path / "a"))
    assert (made.id, made.title) == ("training", "Training")
    assert (
        made.summary == "400 updates in 6.7 min; the model is that of update 300, with validation BLEU 20.00."
    )
    assert facts(made) == {
        "updates": "400 of at most 500: stopped early",
        "training time": "6.7 min",
        "best update": "300 validation BLEU 20.00, chrF 40.00",
        "speed": "4,250 target tokens per second, without validations",
        "epochs": "2.0 200 updates each",
        "weights": "1,234,567 4,000 target tokens",
        "warm starts": "2 trainings since the last one from scratch",
    }
    drawn = charts(made)
    assert list(drawn) == [
        "Loss",
        "Validation scores",
        "Validation BLEU over time",
        "Learning rate",
        "Speed",
        "Gradient norm before clipping",
    ]
    bleu, chrf = drawn["Validation scores"].series
    assert (bleu.name, bleu.x, bleu.y, bleu.marked) == ("BLEU", (100, 200, 300, 400), (18, 19, 20, 19), (2,))
    assert (chrf.name, chrf.role) == ("chrF", "other")
    [over_time] = drawn["Validation BLEU over time"].series
    assert over_time.x == pytest.approx((100 / 60, 200 / 60, 5.0, 400 / 60))
    assert over_time.marked == (2,)
    training, validation = drawn["Loss"].series
    assert training.x == tuple(range(50, 401, 50))
    assert validation.y == (8.0, 4.0, 800 / 300, 2.0)
    assert drawn["Loss"].alternative.startswith(
        "training: from 11 at 50 updates to 2.5 at 400, lowest 2.5 at 400, highest 11 at 50. validation: from"
    )
    assert "; marked: 20 at 300 updates." in drawn["Validation scores"].alternative
    assert len(msgspec.json.decode(msgspec.json.encode(made), type=Section).blocks) == len(made.blocks)


def test_a_fitted_length_penalty_and_a_mean_of_weights_are_shown(tmp_path: Path) -> None:
    run = record(tmp_path / "a")
    run.write_selection(Selection(200, 400, 3, 20.5, 40.5, 2.0, 1.234, 1.1426, 1.1431))
    made = section(run)
    assert made.summary == (
        "400 updates in 6.7 min; the model is the mean of the weights at 3 validations, updates 200 to 400, "
        "with validation BLEU 20.50."
    )
    assert facts(made)["length penalty"] == (
        "1.23 chosen by length: translations have 1.143 characters per source character, "
        "training targets 1.143"
    )


def test_samples_of_the_best_a_middle_and_the_first_validation(tmp_path: Path) -> None:
    made = section(record(tmp_path / "a", steps=800, best=600))
    [samples] = [block for block in made.blocks if isinstance(block, Sentences)]
    first = samples.rows[0]
    assert (first.source, first.references) == (HOSTILE, ("Hola.",))
    assert [(c.name, c.text) for c in first.candidates] == [
        ("update 600", "t600"),
        ("update 300", "t300"),
        ("update 100", "t100"),
    ]
    assert "update 600: BLEU 20.00; update 300: BLEU 17.00; update 100: BLEU 15.00" in samples.note


def test_a_single_validation_has_its_samples_once(tmp_path: Path) -> None:
    made = section(record(tmp_path / "a", steps=100))
    [samples] = [block for block in made.blocks if isinstance(block, Sentences)]
    assert [candidate.name for candidate in samples.rows[0].candidates] == ["update 100"]


def test_the_earlier_run_is_drawn_behind(tmp_path: Path) -> None:
    made = section(record(tmp_path / "a"), record(tmp_path / "b", steps=200))
    for chart in charts(made).values():
        assert {series.role for series in chart.series} >= {"main", "earlier"}
        assert ", earlier run: " in chart.alternative
        assert not [series for series in chart.series if series.role == "earlier" and series.marked]


def test_a_record_of_an_older_version_says_what_is_missing(tmp_path: Path) -> None:
    made = section(record(tmp_path / "a", is_old=True))
    [missing] = [block for block in made.blocks if isinstance(block, Text)]
    assert "no learning rate" in missing.text
    assert list(charts(made)) == ["Loss", "Validation scores", "Validation BLEU over time"]
    [training] = charts(made)["Loss"].series
    assert training.y == (10.0, 5.0, 1000 / 300, 2.5)
    assert "speed" not in facts(made)
    behind = section(record(tmp_path / "b"), ModelRun(tmp_path / "a"))
    assert {series.role for series in charts(behind)["Speed"].series} == {"main"}
    assert "earlier" in {series.role for series in charts(behind)["Loss"].series}


@pytest.mark.parametrize("name", ["progress.jsonl", "samples.jsonl", "training.json", "history.jsonl"])
def test_a_missing_file_of_a_new_record_is_an_error(tmp_path: Path, name: str) -> None:
    run = record(tmp_path / "a")
    (run.path / name).unlink()
    with pytest.raises(DataError, match=name):
        section(run)


@given(st.lists(st.floats(-1e9, 1e9), max_size=3000), st.integers(0, 3000))
def test_a_curve_is_bounded_and_keeps_its_ends_and_its_mark(values: list[float], mark: int) -> None:
    curve = _series([(float(i), value) for i, value in enumerate(values)], "a", "main", mark)
    assert len(curve.x) == len(curve.y) <= MAX_POINTS + 2
    if values:
        assert (curve.x[0], curve.x[-1]) == (0.0, len(values) - 1)
    assert [curve.x[i] for i in curve.marked] == [mark] * (mark < len(values))


def test_no_large_library_is_imported() -> None:
    code = (
        "import sys, bitext.components.reporter.training\n"
        "print([name for name in ('tensorflow', 'numpy', 'apache_beam') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
