"""Renamed keys: old configurations work, and a warning names the line of the old key and the new key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitext.components.shared.errors import ConfigError
from bitext.pipeline import config
from bitext.pipeline.config import aliases, field_types, reference, yaml_values
from bitext.pipeline.config.sections import PipelineConfig
from tests.pipeline.test_config import VALID, write_config

RENAMED = {
    "trainer.updates": "trainer.steps",
    "trainer.dims": "trainer.model.encoder_units",
    "trainer.search": "trainer.search.max_length",  # the old key is the name of a section now
    "evaluator.bleu": "evaluator.min_bleu",
}


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the table of renamed keys."""
    monkeypatch.setattr(aliases, "RENAMED", RENAMED)


def load(tmp_path: Path, text: str, *overrides: str) -> tuple[PipelineConfig, list[str]]:
    """Loads a configuration and returns it with the warnings."""
    warnings: list[str] = []
    loaded = config.load(write_config(tmp_path, text), overrides, warn=warnings.append)
    return loaded, [line.replace(f"{tmp_path}/", "") for line in warnings]


@pytest.mark.usefixtures("renamed")
class TestRenaming:
    def test_the_new_key_gets_the_value_and_a_warning_names_line_and_new_key(self, tmp_path: Path) -> None:
        text = VALID + "  dims: 64\n  search: 70\nevaluator: {bleu: 3}\n"
        loaded, warnings = load(tmp_path, text.replace("  steps", "  updates"))
        assert (
            loaded
            == load(
                tmp_path,
                VALID
                + "  model: {encoder_units: 64}\n  search: {max_length: 70}\nevaluator: {min_bleu: 3}\n",
            )[0]
        )
        assert warnings == [
            "warning: toy.yaml:5: trainer.updates is now named trainer.steps",
            "warning: toy.yaml:7: trainer.dims is now named trainer.model.encoder_units",
            "warning: toy.yaml:8: trainer.search is now named trainer.search.max_length",
            "warning: toy.yaml:9: evaluator.bleu is now named evaluator.min_bleu",
        ]

    def test_new_keys_and_empty_sections_give_no_warning(self, tmp_path: Path) -> None:
        assert load(tmp_path, VALID + "  search:\n")[1] == []
        assert load(tmp_path, VALID + "  search: {max_length: 70}\n")[1] == []

    def test_both_names_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, VALID + "  updates: 3\n")
        assert str(caught.value).replace(f"{tmp_path}/", "") == (
            "toy.yaml:7: trainer.updates is the old name of trainer.steps, which is also given at toy.yaml:5"
        )
        assert caught.value.remedy == "remove trainer.updates"
        with pytest.raises(ConfigError, match="is the old name of"):
            load(tmp_path, VALID, "trainer={updates: 3, steps: 4}")

    @pytest.mark.parametrize(
        ("override", "key"),
        [
            ("trainer.updates=900", "trainer.updates is now named trainer.steps"),
            ("trainer={updates: 900}", "trainer.updates is now named trainer.steps"),
            ("trainer.search=77", "trainer.search is now named trainer.search.max_length"),
        ],
    )
    def test_an_override_may_use_the_old_or_the_new_key(
        self, tmp_path: Path, override: str, key: str
    ) -> None:
        new = override.replace("updates", "steps").replace("search=", "search.max_length=")
        for text in (VALID, VALID.replace("  steps", "  updates"), VALID + "  search: {beam_size: 7}\n"):
            loaded, warnings = load(tmp_path, text, override)
            assert loaded == load(tmp_path, text, new)[0]
            assert warnings[-1] == f"warning: --set {override}: {key}"

    def test_a_section_in_an_override_replaces_the_section(self, tmp_path: Path) -> None:
        loaded, _ = load(tmp_path, VALID + "  search: {beam_size: 7}\n", "trainer.search={max_length: 77}")
        assert (loaded.trainer.search.beam_size, loaded.trainer.search.max_length) == (5, 77)

    def test_a_wrong_value_is_reported_where_the_old_key_is(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"toy\.yaml:7: trainer\.search\.max_length: must be a whole"):
            load(tmp_path, VALID + "  search: long\n")

    def test_a_new_section_that_is_no_section_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"toy\.yaml:7: trainer\.model must be a section"):
            load(tmp_path, VALID + "  model: 5\n  dims: 6\n")

    def test_variables_are_substituted_in_old_keys(self, tmp_path: Path) -> None:
        text = VALID.replace("steps: 1000", "updates: ${n}") + "variables: {n: 1234}\n"
        assert load(tmp_path, text)[0].trainer.steps == 1234

    def test_an_old_key_is_explained_by_its_new_name(self) -> None:
        assert [key.name for key in reference.find("trainer.updates")] == ["trainer.steps"]


def test_every_new_key_exists_and_no_old_key_does() -> None:
    for old, new in aliases.RENAMED.items():
        assert field_types.type_of(PipelineConfig, new) is not None, new
        kind = field_types.type_of(PipelineConfig, old)
        assert kind is None or field_types.struct_in(kind), old


OLD = """\
name: toy
example_gen: {files: [data/toy.tsv]}
transform: {segmentations: 4, subword_dropout: 0.1}
trainer:
  towers: 3
  learning_rate: 0.001
  beta2: 0.9
  weight_decay: 0.1
  clip_norm: 2
  average_decay: 0.5
  average_checkpoints: 2
  schedule: plateau
  warmup_steps: 7
  plateau_factor: 0.25
  validate_every: 11
  validation_sentences: 12
  validation_beam: 2
  validation_tokenize: char
  validation_lowercase: true
  validation_references: by_line
  patience: 3
  warm_start: last_blessed
  from_scratch_every: 9
  warm_steps: 100
  warm_learning_rate: 0.0001
"""
NEW = """\
name: toy
example_gen: {files: [data/toy.tsv]}
transform: {subword_samples: 4, subword_dropout: 0.1}
trainer:
  replicas: 3
  optimizer:
    learning_rate: 0.001
    beta2: 0.9
    weight_decay: 0.1
    clip_norm: 2
    average_decay: 0.5
    average_checkpoints: 2
  schedule: {kind: plateau, warmup_steps: 7, plateau_factor: 0.25}
  validation:
    every: 11
    sentences: 12
    beam_size: 2
    tokenize: char
    lowercase: true
    references: by_line
    patience: 3
  warm_start: {model: last_blessed, from_scratch_every: 9, steps: 100, learning_rate: 0.0001}
"""


def test_a_configuration_with_every_old_key_equals_that_with_the_new_ones(tmp_path: Path) -> None:
    old, warnings = load(tmp_path, OLD)
    new, new_warnings = load(tmp_path, NEW)
    assert old == new
    assert new_warnings == []
    assert {line.split(": ", 2)[2] for line in warnings} == {
        f"{key} is now named {name}" for key, name in aliases.RENAMED.items()
    }


def test_every_old_key_can_be_set(tmp_path: Path) -> None:
    """Gives each value of the old file as an override."""
    values = yaml_values.parse(OLD).value
    sets = [
        f"{section}.{key}={json.dumps(value)}"
        for section in ("transform", "trainer")
        for key, value in values[section].items()
    ]
    assert load(tmp_path, "\n".join(OLD.splitlines()[:2]), *sets)[0] == load(tmp_path, NEW)[0]


@pytest.mark.parametrize("key", ["warm_start", "warm_start.model"])
def test_a_tilde_is_the_home_directory_in_the_old_and_the_new_key(tmp_path: Path, key: str) -> None:
    loaded, _ = load(tmp_path, VALID, f"trainer.{key}=~/models/6")
    assert loaded.trainer.warm_start.model == str(Path("~/models/6").expanduser())
