"""The space of a tuning: the configuration keys that it varies, from a YAML file.

Every key and every value is checked before anything runs, by the types of the configuration itself.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from bitext.components.artifacts.tuning import Settings
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.suggestions import did_you_mean, similar
from bitext.pipeline import config
from bitext.pipeline.config import Override, PipelineConfig, aliases, field_types, reference, yaml_values
from bitext.pipeline.config.messages import describe_value
from bitext.pipeline.config.yaml_values import YamlError
from bitext.pipeline.tuning import dimensions
from bitext.pipeline.tuning.dimensions import Dimension, SpaceError

MAX_BYTES = 64 * 1024
"""The maximum size of a space file."""
SECTIONS = ("transform", "trainer")
NOT_TUNED = {
    "trainer.validation": "it defines the score, and scores that differ in it cannot be compared",
    "trainer.seed": "the seed with the best score is best by chance; `bitext tune --seed` seeds the search",
    "trainer.search": "it changes translations, not the training; compare its values with `bitext evaluate`",
    "trainer.serving_limits": "it does not change the training",
    "trainer.samples": "it does not change the training",
    "trainer.progress": "it does not change the training",
    "trainer.device_kernels": "it changes the speed only",
    "trainer.distribute": "a trial is trained by one process",
    "trainer.warm_start": "the model that a training starts from decides more than its settings",
}
"""Keys and sections that make no sense in a space, and why."""
_SAMPLES = 20
"""Random settings that show what the space allows and which nodes it changes."""


@dataclasses.dataclass(frozen=True)
class Base:
    """The configuration that a tuning starts from.

    Attributes:
      file: the configuration file.
      text: its text. The file may change while the tuning works.
      overrides: the arguments of `--set`.
      root: the pipeline root of `--root`; None: the configuration's.
    """

    file: Path
    text: str
    overrides: tuple[str, ...] = ()
    root: str | None = None

    def load(self, settings: Settings, locations: Mapping[str, str] | None = None) -> PipelineConfig:
        """Returns the configuration with settings.

        Args:
          settings: the settings.
          locations: where each is given, for messages.

        Raises:
          ConfigError: it is invalid.
        """
        names = locations or {}
        given = [Override(key, value, names.get(key, f"{key}={value}")) for key, value in settings.items()]
        return config.load(self.file, self.overrides, self.root, lambda _: None, given, self.text)


@dataclasses.dataclass(frozen=True)
class Space:
    """Which settings a tuning tries.

    Attributes:
      dimensions: what is varied.
      fixed: settings of all trials.
      same: the key whose value another key shares, by the other key.
      locations: `file:line` of each key.
    """

    dimensions: tuple[Dimension, ...]
    fixed: Settings
    same: dict[str, str]
    locations: dict[str, str]

    def settings(self, points: Mapping[str, float]) -> Settings:
        """Returns the values of all keys, those that are fixed or shared included."""
        values = self.fixed | {d.key: d.value(points[d.key]) for d in self.dimensions}
        return values | {key: values[other] for key, other in self.same.items()}

    def samples(self) -> Iterator[Settings]:
        """Yields some random settings, always the same."""
        draw = random.Random(0)
        for _ in range(_SAMPLES):
            yield self.settings(dimensions.random_points(self.dimensions, draw.uniform))

    def points(self, settings: Settings) -> dict[str, float] | None:
        """Returns the point of each dimension; None: the space does not have these settings."""
        points = {d.key: d.point(settings[d.key]) for d in self.dimensions}
        known = {key: point for key, point in points.items() if point is not None}
        return known if len(known) == len(points) and self.settings(known) == settings else None

    @property
    def keys(self) -> list[str]:
        """All keys, in the order of the file."""
        return list(self.locations)

    def of_config(self, configured: PipelineConfig) -> Settings | None:
        """Returns the settings that a configuration has already; None: the space does not have them."""
        settings = {key: value_of(configured, key) for key in self.keys} | self.fixed
        return settings if self.points(settings) is not None else None

    def description(self) -> dict[str, Any]:
        """Returns what it is, for the identity of a tuning."""
        varied = {dimension.key: dimension.description() for dimension in self.dimensions}
        return {"varied": varied, "fixed": self.fixed, "same": self.same}


def value_of(configured: PipelineConfig, key: str) -> Any:
    """Returns the value at a dotted key, of plain types."""
    value: Any = configured
    for name in key.split("."):
        value = getattr(value, name)
    return msgspec.to_builtins(value)


def read(path: Path, base: Base) -> Space:
    """Reads a space file.

    Args:
      path: the YAML file.
      base: the configuration that it changes.

    Raises:
      ConfigError: naming the file, the line and the key, what is wrong and what to do.
    """
    space = _Reader(path).read()
    _Check(space, base).run()
    return space


class _Reader:
    """Reads a space file without the configuration."""

    def __init__(self, path: Path):
        self._path = path
        self._lines: dict[str, int] = {}

    def read(self) -> Space:
        """Returns the space. Its values are not checked yet."""
        given = dict(self._given())
        if not given:
            raise ConfigError(f"{self._path}: it names no key", f"for example: {{{_EXAMPLE}}}")
        found, fixed, same = [], Settings(), dict[str, str]()
        for key, value in given.items():
            self._check_key(key)
            try:
                if not isinstance(value, dict):
                    fixed[key] = _fixed(key, value)
                elif "same_as" in value:
                    same[key] = self._same_as(key, value, given)
                else:
                    found.append(dimensions.read(key, value, _numbers(key)))
            except SpaceError as error:
                raise ConfigError(f"{self._where(key)}: {key}: {error.problem}", error.remedy) from None
        if not found:
            raise ConfigError(f"{self._path}: no key has several values", dimensions.FORMS)
        return Space(tuple(found), fixed, same, {key: self._where(key) for key in given})

    def _given(self) -> Iterator[tuple[str, Any]]:
        """Yields each dotted key with its range or its fixed value."""
        try:
            parsed = yaml_values.parse(_text(self._path))
        except YamlError as error:
            where = f"{self._path}:{error.line}" if error.line else str(self._path)
            raise ConfigError(f"{where}: {error.problem}", "correct the YAML there") from None
        self._lines = parsed.lines
        if not isinstance(parsed.value, dict):
            raise ConfigError(
                f"{self._path}: a space is a mapping of configuration keys to ranges; received"
                f" {describe_value(parsed.value)}",
                f"for example: {{{_EXAMPLE}}}",
            )
        seen = set[str]()
        for key, value in _flat(parsed.value, ""):
            if key in seen:
                raise ConfigError(f"{self._where(key)}: {key} is given twice", "remove one of them")
            seen.add(key)
            yield key, value

    def _check_key(self, key: str) -> None:
        """Raises ConfigError for a key that does not exist or makes no sense in a space."""
        known = {each.name: each for each in reference.all_keys()}
        where = self._where(key)
        if key in aliases.RENAMED and key not in known:
            raise ConfigError(f"{where}: {key} is now named {aliases.RENAMED[key]}", "use the new name")
        if key not in known:
            others = _similar_keys(key)
            hint = f"did you mean {' or '.join(others)}?" if others else "`bitext config` prints all keys"
            raise ConfigError(f"{where}: unknown key {key}", hint)
        if key.split(".")[0] not in SECTIONS:
            raise ConfigError(
                f"{where}: {key} is no setting of the training: scores of other data, or of another"
                " evaluation, cannot be compared",
                "vary keys of transform and trainer only; set others in the configuration or with --set",
            )
        for name, reason in NOT_TUNED.items():
            if key == name or key.startswith(f"{name}."):
                raise ConfigError(f"{where}: {key} is not varied: {reason}", "remove it from the space")
        if known[key].is_section:
            raise ConfigError(
                f"{where}: {key} is a section", "name its keys, such as trainer.optimizer.beta2"
            )

    def _same_as(self, key: str, words: dict[str, Any], given: dict[str, Any]) -> str:
        """Returns the key whose value this one shares."""
        other = words["same_as"]
        if len(words) > 1:
            raise SpaceError("same_as stands alone", "leave the other words out")
        if other not in given or other == key:
            varied = [name for name in given if name != key]
            raise SpaceError(
                f"same_as must be another key of this file; received {describe_value(other)}"
                f"{did_you_mean(str(other), varied)}",
                "name a key that has a range",
            )
        if isinstance(given[other], dict) and "same_as" in given[other]:
            raise SpaceError(f"same_as names {other}, which is itself the same as another", "name that one")
        return str(other)

    def _where(self, key: str) -> str:
        while key and key not in self._lines:
            key = key.rpartition(".")[0]
        return f"{self._path}:{self._lines[key]}" if key else str(self._path)


@dataclasses.dataclass(frozen=True)
class _Check:
    """Checks the values of a space by the types of the configuration.

    Attributes:
      space: the space.
      base: the configuration that it changes.
    """

    space: Space
    base: Base

    def run(self) -> None:
        """Raises ConfigError for a value that is allowed with no other settings of the space."""
        for dimension in self.space.dimensions:
            for value in dimension.ends:
                self._check(dimension.key, value)
        self._check("", None)

    def _check(self, key: str, value: Any) -> None:
        """Checks the fixed settings and one value, if `key` is given."""
        settings = self.space.fixed | ({key: value} if key else {})
        settings |= {k: settings[other] for k, other in self.space.same.items() if other in settings}
        try:
            self.base.load(settings, self.space.locations)
        except ConfigError as error:  # a value may need those of other keys
            if not self._is_allowed_with_others(key, value):
                raise error from None

    def _is_allowed_with_others(self, key: str, value: Any) -> bool:
        for settings in self.space.samples():
            if key:
                settings |= {key: value} | {k: value for k, other in self.space.same.items() if other == key}
            if is_allowed(self.base, settings):
                return True
        return False


def is_allowed(base: Base, settings: Settings) -> bool:
    """Whether the configuration with these settings is valid."""
    try:
        base.load(settings)
    except ConfigError:
        return False
    return True


def _flat(section: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yields the dotted keys of a file, which may also have sections as a configuration has them."""
    for name, value in section.items():
        key = f"{prefix}{name}"
        kind = field_types.type_of(PipelineConfig, key)
        struct = field_types.struct_in(kind)
        if isinstance(value, dict) and struct is not None and not set(value) & set(dimensions.WORDS):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value


def _fixed(key: str, value: Any) -> Any:
    """Returns a value that all trials share."""
    if isinstance(value, list) and field_types.item_type(field_types.type_of(PipelineConfig, key)) is None:
        raise SpaceError("the key takes no list", f"to vary it, write {{values: {reference.as_yaml(value)}}}")
    return value


def _similar_keys(key: str) -> list[str]:
    """Returns keys that were probably meant: with another word in one place, or in another section."""
    names, prefix = key.split("."), ""
    for name in names:
        section = field_types.struct_in(
            field_types.type_of(PipelineConfig, prefix.rstrip(".")) if prefix else PipelineConfig
        )
        fields = field_types.fields(section) if section else {}
        if name not in fields:
            meant = similar(name, fields)
            return [f"{prefix}{meant}"] if meant else reference.keys_ending_in(names[-1], "")
        prefix += f"{name}."
    return []


def _numbers(key: str) -> frozenset[type]:
    """The types of numbers that a key takes."""
    kinds = field_types.alternatives(field_types.type_of(PipelineConfig, key))
    return frozenset(kind for kind in kinds if kind in (int, float))


_EXAMPLE = "trainer.optimizer.learning_rate: {min: 5e-4, max: 4e-3, log: true}"


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES // 1024} KiB", "name the YAML file of a space")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error})", "save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}", "name the YAML file of a space"
        ) from None
