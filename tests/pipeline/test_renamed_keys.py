"""Renamed configuration keys: the old names work, with a warning that names the new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitext.components.shared.errors import ConfigError
from bitext.components.trainer import Parameters
from bitext.pipeline import config
from bitext.pipeline.config.aliases import RENAMED

OLD_TRAINER: dict[str, Any] = {
    "towers": 3,
    "learning_rate": 0.001,
    "beta2": 0.97,
    "weight_decay": 0.1,
    "clip_norm": 2.0,
    "average_decay": 0.5,
    "average_checkpoints": 4,
    "schedule": "plateau",
    "warmup_steps": 7,
    "plateau_factor": 0.25,
    "validate_every": 11,
    "validation_sentences": 12,
    "validation_beam": 2,
    "validation_tokenize": "char",
    "validation_lowercase": True,
    "validation_references": "by_line",
    "patience": 9,
    "warm_start": "last_blessed",
    "from_scratch_every": 5,
    "warm_steps": 100,
    "warm_learning_rate": 0.0005,
}
NEW_TRAINER = {
    "replicas": 3,
    "optimizer": {
        "learning_rate": 0.001,
        "beta2": 0.97,
        "weight_decay": 0.1,
        "clip_norm": 2.0,
        "average_decay": 0.5,
        "average_checkpoints": 4,
    },
    "schedule": {"kind": "plateau", "warmup_steps": 7, "plateau_factor": 0.25},
    "validation": {
        "every": 11,
        "sentences": 12,
        "beam_size": 2,
        "tokenize": "char",
        "lowercase": True,
        "references": "by_line",
        "patience": 9,
    },
    "warm_start": {
        "model": "last_blessed",
        "from_scratch_every": 5,
        "steps": 100,
        "learning_rate": 0.0005,
    },
}


def load(folder: Path, trainer: dict[str, Any], *overrides: str) -> tuple[Parameters, list[str]]:
    path, warnings = folder / "toy.yaml", list[str]()
    values = {"name": "toy", "example_gen": {"files": ["a.tsv"]}, "trainer": trainer}
    path.write_bytes(msgspec.yaml.encode(values))
    return config.load(path, overrides, warn=warnings.append).trainer, warnings


def test_old_keys_of_the_trainer_mean_the_new_ones(tmp_path: Path) -> None:
    parameters, warnings = load(tmp_path, OLD_TRAINER)
    assert load(tmp_path, NEW_TRAINER) == (parameters, [])
    for key, warning in zip(OLD_TRAINER, warnings, strict=True):
        new = RENAMED[f"trainer.{key}"]
        assert warning.startswith(f"warning: {tmp_path / 'toy.yaml'}:")
        assert f"trainer.{key} is now named {new}" in warning


@pytest.mark.parametrize("key", OLD_TRAINER)
def test_an_old_key_may_be_set_on_the_command_line(tmp_path: Path, key: str) -> None:
    trainer = {"warm_start": {"model": "last_blessed"}}
    value = msgspec.json.encode(OLD_TRAINER[key]).decode()
    parameters, [warning] = load(tmp_path, trainer, f"trainer.{key}={value}")
    assert f"--set trainer.{key}={value}" in warning
    new: Any = parameters
    for name in RENAMED[f"trainer.{key}"].removeprefix("trainer.").split("."):
        new = getattr(new, name)
    assert new == OLD_TRAINER[key]


def test_an_old_and_a_new_key_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer.towers is the old name of trainer.replicas"):
        load(tmp_path, {"towers": 1, "replicas": 2})


@pytest.mark.parametrize("key", ["warm_start", "warm_start.model"])
def test_a_tilde_is_the_home_directory_in_the_old_and_the_new_key(tmp_path: Path, key: str) -> None:
    parameters, _ = load(tmp_path, {}, f"trainer.{key}=~/models/6")
    assert parameters.warm_start.model == str(Path("~/models/6").expanduser())
