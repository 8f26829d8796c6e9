"""Reads a configuration: a YAML file with line numbers, `--set` overrides, and variables."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.config import aliases, field_types, yaml_values
from bitext.pipeline.config.aliases import RawConfig
from bitext.pipeline.config.corpora import fill_in_common_keys
from bitext.pipeline.config.messages import describe_value, spelled
from bitext.pipeline.config.sections import PipelineConfig
from bitext.pipeline.config.typed import typed
from bitext.pipeline.config.yaml_values import YamlError
from bitext.pipeline.streams import print_message

MAX_BYTES = 256 * 1024
"""The maximum size of a configuration file."""
EXAMPLES_FOLDER = Path(__file__).parents[1] / "configs"


def load(
    path: Path | str,
    overrides: Sequence[str] = (),
    root: str | None = None,
    warn: Callable[[str], None] = print_message,
    settings: Sequence[Override] = (),
    text: str | None = None,
) -> PipelineConfig:
    """Reads a configuration file.

    Args:
      path: the YAML file.
      overrides: `a.b=c` each, with c in YAML; they replace values of the file.
      root: the pipeline root, which replaces the file's.
      warn: is called with one line for every key that is given by its old name.
      settings: further values, which replace those of `overrides`.
      text: the content of the file, if it was read before (`read_text`); None: it is read.

    Raises:
      ConfigError: naming the file, the line and the field, what was received and what to do.
    """
    path = Path(path)
    raw = _parsed(path, read_text(path) if text is None else text)
    aliases.rename_keys(raw, warn)
    used_in_file = _variables_used(raw.values)
    replaced = [parse_override(override) for override in overrides]
    if root:
        replaced.append(Override("root", root, f"--root {root}"))
    for override in (*replaced, *settings):
        _apply(raw, override, warn)
    # A variable that only an overridden value used is not reported as unused.
    exempt = {
        name for name in used_in_file if not raw.locations.get(f"variables.{name}", "").startswith("--set")
    }
    raw.values = _substitute_variables(raw, exempt)
    fill_in_common_keys(raw)
    return typed(raw)


def _parsed(path: Path, text: str) -> RawConfig:
    """The values of a file with this text."""
    try:
        parsed = yaml_values.parse(text)
    except YamlError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise ConfigError(f"{where}: {error.problem}", _remedy(path, "correct the YAML there")) from None
    if not isinstance(parsed.value, dict):
        received = describe_value(parsed.value) if text.strip() else "an empty file"
        raise ConfigError(
            f"{path}: a configuration is a mapping of keys to values; received {received}",
            _remedy(path, f"start from a file in {EXAMPLES_FOLDER}"),
        )
    locations = {key: f"{path}:{line}" for key, line in parsed.lines.items()}
    return RawConfig(parsed.value, locations, parsed.written, str(path))


def read_text(path: Path) -> str:
    """Returns the text of a configuration file.

    Raises:
      ConfigError: it cannot be read, or is too large.
    """
    try:
        content = _read_at_most(path, MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(
                f"{path}: larger than {MAX_BYTES // 1024} KiB, the limit for a configuration",
                _remedy(path, "name a YAML file"),
            )
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file", f"name an existing configuration{_similar(path)}"
        ) from None
    except UnicodeDecodeError as error:
        remedy = _remedy(path, "save the file as UTF-8")
        raise ConfigError(f"{path}: not UTF-8 text ({error})", remedy) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", "name a readable YAML file") from None


def _remedy(path: Path, usual: str) -> str:
    """What to do about a file that is no configuration: the usual, or for data, to write one."""
    if path.suffix.lower() in ("", ".yaml", ".yml", ".json"):
        return usual
    return f"name a YAML file; `bitext init {shlex.quote(str(path))}` writes one for a file of sentence pairs"


def _read_at_most(path: Path, size: int) -> bytes:
    """Returns at most `size` bytes of a file. A FIFO that no process writes to is read as empty."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder", "name a YAML file in it")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        content = file.read(size)  # None: a process has the FIFO open and has not written yet
        os.set_blocking(descriptor, True)
        pieces = [content or b""]
        while content != b"" and sum(map(len, pieces)) < size:
            content = file.read(size)
            pieces.append(content)
    return b"".join(pieces)


def _similar(path: Path) -> str:
    """A hint that names an existing configuration with a similar name."""
    names = {p.name: p for folder in (path.parent, EXAMPLES_FOLDER) for p in folder.glob("*.yaml")}
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"; did you mean {names[close[0]]}?" if close else ""


@dataclasses.dataclass(frozen=True)
class Override:
    """One `--set a.b=c`, or a value from elsewhere that replaces one of the file.

    Attributes:
      field: the dotted key.
      value: its new value.
      label: its name in messages.
      inner_keys: the dotted keys inside the value.
      written: as in `RawConfig`.
    """

    field: str
    value: Any
    label: str
    inner_keys: tuple[str, ...] = ()
    written: dict[str, str] = dataclasses.field(default_factory=dict)


def parse_override(override: str) -> Override:
    """Returns what `--set a.b=c` says.

    Raises:
      ConfigError: it has another form, or the value is not YAML.
    """
    label = f"--set {override}"
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        key, colon, value = (part.strip() for part in override.partition(":"))
        written = shlex.quote(f"{key}={value}") if colon and value else "trainer.steps=9000"
        raise ConfigError(f"{label}: not of the form a.b=value", f"for example: --set {written}")
    field = ".".join(keys)
    quoted = f"quote the value for the shell and for YAML: --set {field}='\"...\"'"
    if element := re.match(r"([^\[]+?)(\.\d+(\.|$)|\[)", field):
        raise ConfigError(
            f"{label}: --set cannot change one element of a list",
            f"change it in the file, or replace the whole list: --set {element[1]}=[...]",
        )
    try:
        parsed = yaml_values.parse(text, field)
    except YamlError as error:
        raise ConfigError(f"{label}: the value is not YAML: {error.problem}", quoted) from None
    if comment := yaml_values.text_after_value(text):
        raise ConfigError(f"{label}: {comment} is a comment in YAML", quoted)
    return Override(field, parsed.value, label, tuple(parsed.lines), parsed.written)


def _apply(raw: RawConfig, override: Override, warn: Callable[[str], None]) -> None:
    """Replaces a value of the file, or adds it."""
    values: dict[str, Any] = {}
    section = values
    *outer, name = override.field.split(".")
    for key in outer:
        section = section.setdefault(key, {})
    section[name] = override.value
    locations = dict.fromkeys([override.field, *override.inner_keys], override.label)
    new = RawConfig(values, locations, override.written, override.label)
    field = aliases.rename_keys(new, warn).get(override.field, override.field)
    for key in [key for key in raw.locations if key == field or key.startswith(f"{field}.")]:
        del raw.locations[key]
        raw.written.pop(key, None)
    source, target = new.values, raw.values
    *outer, name = field.split(".")
    for depth, key in enumerate(outer, 1):
        inner = target.get(key)
        if inner is None:
            inner = target[key] = {}
        inner = field_types.in_full(inner, field_types.type_of(PipelineConfig, ".".join(outer[:depth])))
        target[key] = inner
        if not isinstance(inner, dict):
            raise ConfigError(
                f"{override.label}: {'.'.join(outer[:depth])} is {describe_value(inner)} in {raw.origin},"
                " not a section",
                f"`bitext config --explain {'.'.join(outer[:depth])}` explains the key",
            )
        source, target = source[key], inner
    target[name] = source[name]
    raw.locations |= new.locations
    raw.written |= new.written


_VARIABLE = re.compile(r"\$\{(\w+)\}")


def _variables_used(values: dict[str, Any]) -> set[str]:
    return set(_VARIABLE.findall(str({key: v for key, v in values.items() if key != "variables"})))


def _substitute_variables(raw: RawConfig, exempt: set[str]) -> dict[str, Any]:
    """The values with every `${name}` replaced, and without the section `variables`.

    Raises:
      ConfigError: a used variable is missing, or a given variable is not used and not `exempt`.
    """
    variables = _Variables(raw)
    values = {
        key: variables.substitute(value, key) for key, value in raw.values.items() if key != "variables"
    }
    for name in variables.values:
        if name not in variables.used | exempt:
            raise ConfigError(
                f"{raw.where(f'variables.{name}')}: no value uses the variable {name}",
                f"write ${{{name}}} in the value that needs it, or remove the variable",
            )
    return values


class _Variables:
    """The section `variables`.

    Attributes:
      values: value by name.
      used: the names that were substituted.
    """

    def __init__(self, raw: RawConfig) -> None:
        values = raw.values.get("variables") or {}
        if not isinstance(values, dict) or any(isinstance(value, dict | list) for value in values.values()):
            raise ConfigError(
                f"{raw.where('variables')}: variables must be a section of names and plain values",
                "for example: variables: {data: data/multi30k}",
            )
        for name, value in values.items():
            if isinstance(value, str) and (inner := _VARIABLE.search(value)):
                raise ConfigError(
                    f"{raw.where(f'variables.{name}')}: the variable {name} uses the variable {inner[1]}",
                    "write its value instead, or use both variables in the values that need them",
                )
        self._raw = raw
        self.values: dict[str, Any] = values
        self.used: set[str] = set()

    def substitute(self, value: Any, field: str) -> Any:
        """A value, at the dotted key `field`, with its variables replaced.

        A value that is `${name}` and nothing else takes the variable's type too. Inside a text a variable is
        replaced by its value as written.
        """
        if isinstance(value, dict):
            return {key: self.substitute(inner, f"{field}.{key}") for key, inner in value.items()}
        if isinstance(value, list):
            return [self.substitute(inner, f"{field}.{index}") for index, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        if match := _VARIABLE.fullmatch(value):
            return self._value(match[1], field)
        return _VARIABLE.sub(lambda match: self._text(match[1], field), value)

    def _value(self, name: str, field: str) -> Any:
        if name not in self.values:
            raise ConfigError(
                f"{self._raw.where(field)}: {spelled(field)}: there is no variable {name}",
                f"give it under variables, or with --set variables.{name}=...",
            )
        self.used.add(name)
        return self.values[name]

    def _text(self, name: str, field: str) -> str:
        value = self._value(name, field)
        return "" if value is None else str(self._raw.written.get(f"variables.{name}", value))
