"""Renamed configuration keys. Old configurations work as they are; a warning names the new key."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from bitext.components.shared.errors import ConfigError

RENAMED: dict[str, str] = {
    "transform.segmentations": "transform.subword_samples",
    "trainer.towers": "trainer.replicas",
    "trainer.learning_rate": "trainer.optimizer.learning_rate",
    "trainer.beta2": "trainer.optimizer.beta2",
    "trainer.weight_decay": "trainer.optimizer.weight_decay",
    "trainer.clip_norm": "trainer.optimizer.clip_norm",
    "trainer.average_decay": "trainer.optimizer.average_decay",
    "trainer.average_checkpoints": "trainer.optimizer.average_checkpoints",
    "trainer.schedule": "trainer.schedule.kind",
    "trainer.warmup_steps": "trainer.schedule.warmup_steps",
    "trainer.plateau_factor": "trainer.schedule.plateau_factor",
    "trainer.validate_every": "trainer.validation.every",
    "trainer.validation_sentences": "trainer.validation.sentences",
    "trainer.validation_beam": "trainer.validation.beam_size",
    "trainer.validation_tokenize": "trainer.validation.tokenize",
    "trainer.validation_lowercase": "trainer.validation.lowercase",
    "trainer.validation_references": "trainer.validation.references",
    "trainer.patience": "trainer.validation.patience",
    "trainer.warm_start": "trainer.warm_start.model",
    "trainer.from_scratch_every": "trainer.warm_start.from_scratch_every",
    "trainer.warm_steps": "trainer.warm_start.steps",
    "trainer.warm_learning_rate": "trainer.warm_start.learning_rate",
}
"""New dotted key by old dotted key. A current section can have the name of an old plain value."""


@dataclasses.dataclass
class RawConfig:
    """The values of a configuration before they are typed.

    Attributes:
      values: nested dicts, lists and scalars.
      locations: where each dotted key was given: `file:line` or `--set a.b=c`.
      written: the text, as written, of every scalar that is not text.
      origin: the file's name, or the option.
    """

    values: dict[str, Any]
    locations: dict[str, str]
    written: dict[str, str]
    origin: str

    def where(self, key: str) -> str:
        """Where a dotted key, or the nearest section around it, was given."""
        while key and key not in self.locations:
            key = key.rpartition(".")[0]
        return self.locations.get(key, self.origin)


def rename_keys(
    raw: RawConfig, warn: Callable[[str], None], renamed: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Moves the values of old keys to the new keys, in place.

    Args:
      raw: the values of one file or one option.
      warn: is given one line for each old key.
      renamed: new key by old key; None: `RENAMED`.

    Returns:
      The new key of each old key that was given.

    Raises:
      ConfigError: the old and the new key are both given.
    """
    moved: dict[str, str] = {}
    old_values: dict[str, Any] = {}
    for old, new in (RENAMED if renamed is None else renamed).items():
        section = _section(raw.values, old)
        name = old.rpartition(".")[2]
        if section is None or name not in section:
            continue
        value = section[name]
        if new.startswith(f"{old}.") and (value is None or isinstance(value, dict)):
            continue  # the current section
        old_values[old] = section.pop(name)
        moved[old] = new
    for old, new in moved.items():
        where = raw.where(old)
        section = _section(raw.values, new)
        name = new.rpartition(".")[2]
        if section is not None and name in section:
            other = raw.where(new)
            raise ConfigError(
                f"{where}: {old} is the old name of {new}, which is also given at {other}", f"remove {old}"
            )
        _put(raw, new, old_values[old], where)
        _move(raw.locations, old, new)
        _move(raw.written, old, new)
        warn(f"warning: {where}: {old} is now named {new}")
    return moved


def _section(values: dict[str, Any], dotted: str) -> dict[str, Any] | None:
    """The section that holds the last part of a dotted key, if it exists."""
    section: Any = values
    for key in dotted.split(".")[:-1]:
        section = section.get(key) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else None


def _put(raw: RawConfig, dotted: str, value: Any, where: str) -> None:
    """Puts a value at a dotted key and creates the sections around it."""
    section = raw.values
    *outer, name = dotted.split(".")
    for depth, key in enumerate(outer, 1):
        inner = section.get(key)
        if inner is None:
            inner = section[key] = {}
        if not isinstance(inner, dict):
            name = ".".join(outer[:depth])
            raise ConfigError(
                f"{raw.where(name)}: {name} must be a section: {where} gives one of its keys by the old name",
                f"give {dotted} instead",
            )
        section = inner
    section[name] = value


def _move(keys: dict[str, str], old: str, new: str) -> None:
    """Renames a dotted key and the keys inside it."""
    for key in [key for key in keys if key == old or key.startswith(f"{old}.")]:
        if not (new.startswith(f"{old}.") and key.startswith(new)):
            keys[new + key.removeprefix(old)] = keys.pop(key)
