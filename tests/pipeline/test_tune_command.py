"""The options of `bitext tune`, and what it refuses before anything runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from bitext.pipeline import cli
from bitext.pipeline.commands import tune

RANGE = "trainer.optimizer.learning_rate: {min: 1e-4, max: 1e-2, log: true}\n"


@pytest.fixture
def working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    (folder / "space.yaml").write_text(RANGE)
    return folder


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("6h", 21600), ("1d12h", 129600), ("0.5h", 1800)]
)
def test_times(text: str, seconds: float) -> None:
    assert tune.budget_argument(text) == seconds


@pytest.mark.parametrize(
    ("options", "message", "remedy"),
    [
        ([], "neither --budget nor --trials", "--budget 6h"),
        (["--budget", "6"], "must be a time such as 90m", "bitext tune --help"),
        (["--budget", "0h"], "must be above 0", "bitext tune --help"),
        (["--trials", "0"], "must be at least 1", "bitext tune --help"),
        (["--trials", "2", "--parallel", "999"], "processors, and each trial needs one", "--parallel"),
        (["--trials", "2", "--prune-after", "2"], "must be from 0 to 1", "bitext tune --help"),
        (["--trials", "2", "--output", "toy.yaml"], "is an input of this command", "--output"),
        (["--trials", "2", "--output", "rows.txt"], "`bitext tune` did not write it", "--output"),
        (["--trials", "2", "--set", "trainer.steps=x"], "--set trainer.steps=x", "--explain"),
    ],
)
def test_refusals(
    working_folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str, remedy: str
) -> None:
    try:
        code = cli.main(["tune", "toy.yaml", "--space", "space.yaml", *options])
    except SystemExit as error:  # of the parser
        code = int(str(error.code))
    assert code == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert remedy in shown.partition("what to do: ")[2]
    assert not (working_folder / "runs").exists()


def test_optuna_is_an_extra(
    working_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert cli.main(["tune", "toy.yaml", "--space", "space.yaml", "--trials", "1"]) == 2
    assert "pip install 'bitext[tune]'" in capsys.readouterr().err


def test_a_bad_space_names_its_line(working_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (working_folder / "space.yaml").write_text(RANGE + "trainer.stepz: {values: [1]}\n")
    assert cli.main(["tune", "toy.yaml", "--space", "space.yaml", "--trials", "1"]) == 2
    shown = capsys.readouterr().err
    assert "space.yaml:2: unknown key trainer.stepz" in shown
    assert "did you mean trainer.steps?" in shown


def test_missing_data_ends_it_before_any_trial(
    working_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (working_folder / "rows.txt").unlink()
    assert cli.main(["tune", "toy.yaml", "--space", "space.yaml", "--trials", "1"]) == 3
    shown = capsys.readouterr().err
    assert "rows.txt: there is no such file" in shown
    assert "log: runs/toy/logs/" in shown
    assert "trial" not in shown
