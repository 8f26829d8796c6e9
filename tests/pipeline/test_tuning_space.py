"""The space of a tuning: what a file may say, which values it has, and how the best ones are written."""

from __future__ import annotations

import random
import re
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.artifacts import Trial, TrialState
from bitext.components.shared.errors import ConfigError
from bitext.pipeline import config
from bitext.pipeline.tuning import best, dimensions, space
from bitext.pipeline.tuning.dimensions import Dimension
from bitext.pipeline.tuning.yaml_edit import CannotEdit, with_value

CONFIG = """\
# a comment
name: toy
example_gen: {files: [a.tsv]}
trainer:
  # of the model
  model: {cell: lstm}   # a cell
  steps: 900
"""
RATE = "trainer.optimizer.learning_rate: {min: 1e-4, max: 1e-2, log: true}\n"


def base(text: str = CONFIG, *overrides: str) -> space.Base:
    return space.Base(Path("toy.yaml"), text, overrides)


def read(tmp_path: Path, text: str, config_text: str = CONFIG) -> space.Space:
    (tmp_path / "space.yaml").write_text(text, encoding="utf-8")
    return space.read(tmp_path / "space.yaml", base(config_text))


def test_a_space_in_both_forms(tmp_path: Path) -> None:
    flat = read(
        tmp_path,
        RATE + "trainer.model.embedding_dropout: {min: 0.1, max: 0.3, step: 0.05}\n"
        "trainer.model.layer_dropout: {same_as: trainer.model.embedding_dropout}\n"
        "trainer.model.cell: {values: [lstm, gru]}\ntrainer.steps: 800\n",
    )
    nested = read(
        tmp_path,
        "trainer:\n  optimizer: {learning_rate: {min: 1e-4, max: 1e-2, log: true}}\n  model:\n"
        "    embedding_dropout: {min: 0.1, max: 0.3, step: 0.05}\n"
        "    layer_dropout: {same_as: trainer.model.embedding_dropout}\n"
        "    cell: {values: [lstm, gru]}\n  steps: 800\n",
    )
    assert flat.description() == nested.description()
    assert [dimension.count for dimension in flat.dimensions] == [None, 5, 2]
    points = dimensions.random_points(flat.dimensions, random.Random(1).uniform)
    settings = flat.settings(points)
    assert settings["trainer.model.layer_dropout"] == settings["trainer.model.embedding_dropout"]
    assert settings["trainer.steps"] == 800
    assert base().load(settings).trainer.steps == 800


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        (
            "trainer.optimizer.learning_rat: {min: 1, max: 2}",
            "unknown key",
            "trainer.optimizer.learning_rate",
        ),
        ("embedding_dropout: {min: 0, max: 1}", "unknown key", "trainer.model.embedding_dropout"),
        ("trainer.towers: {values: [1]}", "is now named trainer.replicas", "new name"),
        ("trainer.model: {values: [1]}", "is a section", "name its keys"),
        (
            "example_gen.eval_share: {min: 0.1, max: 0.2}",
            "no setting of the training",
            "transform and trainer",
        ),
        ("trainer.validation.every: {values: [5]}", "it defines the score", "remove it"),
        ("trainer.seed: {values: [1, 2]}", "best by chance", "remove it"),
        ("trainer.steps: {min: 10.5, max: 20}", "min must be a whole number", "{min: "),
        ("trainer.steps: {min: 20, max: 10}", "min must be below max", "{min: "),
        ("trainer.steps: {min: 1}", "max is missing", "{min: "),
        ("trainer.steps: {mim: 1, max: 2}", "did you mean min", "{min: "),
        ("trainer.steps: {values: []}", "must be a list", "{min: "),
        ("trainer.steps: {values: [5, 5]}", "twice", "once"),
        ("trainer.steps: [500, 600]", "the key takes no list", "{values: [500, 600]}"),
        ("trainer.model.cell: {min: 1, max: 2}", "takes no numbers", "{values: "),
        ("trainer.model.cell: {values: [lstm, gur]}", "must be lstm or gru", "did you mean gru?"),
        ("trainer.model.embedding_dropout: {min: 0.1, max: 1.5}", "number < 1.0", "--explain"),
        ("trainer.label_smoothing: {min: 0, max: 0.2, log: true}", "min above 0", "leave log out"),
        ("trainer.label_smoothing: {min: 0, max: 0.25, step: 0.1}", "not on the grid", "max to 0.2 or 0.3"),
        ("trainer.label_smoothing: {same_as: trainer.x}", "another key of this file", "has a range"),
        ("trainer.steps: 500", "no key has several values", "{min: "),
        ("trainer.steps: {min: 1, max: 2", "line|expected", "correct the YAML"),
        ("", "received nothing", "for example"),
    ],
)
def test_errors_name_the_line_and_the_remedy(tmp_path: Path, text: str, message: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "space.yaml") in str(caught.value)
    assert remedy in caught.value.remedy


def test_values_that_need_those_of_another_key_are_allowed(tmp_path: Path) -> None:
    text = "transform.subword_dropout: {min: 0.05, max: 0.2}\n"
    with pytest.raises(ConfigError, match="need each other"):
        read(tmp_path, text)
    assert read(tmp_path, text + "transform.subword_samples: 4\n").fixed
    with pytest.raises(ConfigError, match=r"space.yaml:1.*warmup_steps must be below steps"):
        read(tmp_path, "trainer.steps: {min: 100, max: 900}\n")
    assert read(
        tmp_path, "trainer.steps: {min: 100, max: 900}\ntrainer.schedule.warmup_steps: {values: [20, 200]}"
    )


@st.composite
def dimensions_of_all_kinds(draw: st.DrawFn) -> Dimension:
    kind = draw(st.sampled_from(["values", "step", "whole", "float", "log", "whole log"]))
    low = draw(st.integers(1, 50))
    high = low + draw(st.integers(1, 40))
    if kind == "values":
        values = draw(st.lists(st.integers(0, 99), min_size=1, unique=True))
        return dimensions.read("k", {"values": values}, frozenset())
    if kind == "step":
        step = draw(st.sampled_from([0.05, 0.1, 0.25, 1]))
        high = float(f"{low + step * draw(st.integers(1, 30)):.10g}")
        return dimensions.read("k", {"min": low, "max": high, "step": step}, frozenset({float}))
    numbers = frozenset({int}) if kind.startswith("whole") else frozenset({float})
    words = {"min": low, "max": high} | ({"log": True} if kind.endswith("log") else {})
    return dimensions.read("k", words, numbers)


@given(dimensions_of_all_kinds(), st.integers(0, 1000))
def test_values_and_points_are_inverse_and_in_range(dimension: Dimension, seed: int) -> None:
    [point] = dimensions.random_points([dimension], random.Random(seed).uniform).values()
    value = dimension.value(point)
    again = dimension.point(value)
    assert again is not None
    assert dimension.value(again) == value
    low, high = dimension.points
    assert low <= again <= high
    assert len(f"{value}") < 12


def test_grid_values_are_written_as_a_person_would() -> None:
    dimension = dimensions.read("k", {"min": 0.1, "max": 0.4, "step": 0.05}, frozenset({float}))
    assert [dimension.value(i) for i in range(7)] == [0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4]
    assert dimension.point(0.17) is None


KEYS = {
    "trainer.optimizer.learning_rate": 0.00125,
    "trainer.model.cell": "gru",
    "trainer.steps": 700,
    "trainer.schedule.warmup_steps": 33,
    "transform.vocabulary_size": 500,
    "transform.whole_tokens": ["<x>", "a: b"],
}


@given(st.lists(st.sampled_from(sorted(KEYS)), unique=True, min_size=1))
def test_the_best_configuration_keeps_comments_and_loads(keys: list[str]) -> None:
    text = CONFIG
    for key in keys:
        text = with_value(text, key, KEYS[key])
    assert text.count("#") == CONFIG.count("#")
    loaded = config.load("toy.yaml", text=text)
    assert loaded == base().load({key: KEYS[key] for key in keys})


def test_a_form_that_cannot_be_edited_is_written_in_full(tmp_path: Path) -> None:
    text = "name: toy\nexample_gen: {files: [a.tsv]}\ntrainer: &t\n  steps: 900\n  model:\n"
    with pytest.raises(CannotEdit):
        with_value(text, "trainer.model.cell", "gru")
    trial = Trial(number=2, settings={"trainer.model.cell": "gru"}, state=TrialState.COMPLETE, bleu=3.0)
    start = base(text, "trainer.steps=800")
    best.write(tmp_path / "best.yaml", trial, start)
    wanted = msgspec.structs.replace(start.load(trial.settings), share_root=True)
    assert config.load(tmp_path / "best.yaml") == wanted
    assert yaml.safe_load((tmp_path / "best.yaml").read_text())["trainer"]["steps"] == 800


def test_an_edited_or_foreign_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    best.check_output(path)
    trial = Trial(number=1, settings={"trainer.steps": 700}, state=TrialState.COMPLETE, bleu=1.0)
    best.write(path, trial, base())
    best.check_output(path)
    path.write_text(path.read_text() + "# mine\n")
    with pytest.raises(ConfigError, match="was changed since"):
        best.check_output(path)
    path.write_text(CONFIG)
    with pytest.raises(ConfigError, match="did not write it"):
        best.check_output(path)
    with pytest.raises(ConfigError, match=re.escape("is an input of this command")):
        best.check_output(path, path)
