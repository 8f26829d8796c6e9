"""Reads a configuration: YAML with line numbers, `--set` overrides and variables."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.config.messages import _check, _kind, _where
from bitext.pipeline.config.sections import PipelineConfig


def load(path: Path | str, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Reads a configuration file and applies `a.b=c` overrides, whose values are read as YAML.

    Raises:
      ConfigError: naming the file, the line and the field, what was received and what to do.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file", f"Name an existing configuration.{_nearby(path)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}", "Give a readable UTF-8 file.") from None
    values, lines = _parse(text, path)
    written = set(_VARIABLE.findall(str({k: v for k, v in values.items() if k != "variables"})))
    places = {field: f"{path}:{line}" for field, line in lines.items()}
    for override in overrides:
        field = _override(values, override, path)
        for inside in [f for f in places if f.startswith(f"{field}.")]:
            del places[inside]
        places[field] = f"--set {override}"
    # A variable whose only use was overridden is no mistake of anyone's.
    spared = {name for name in written if not places.get(f"variables.{name}", "").startswith("--set")}
    return _check(_substituted(values, places, path, spared), places, path)


def dump(config: PipelineConfig) -> str:
    """The configuration as YAML, every default filled in; `load` reads it back to an equal value."""
    return yaml.safe_dump(msgspec.to_builtins(config), sort_keys=False, allow_unicode=True, width=100)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also reads `1e-3` as the number it is, and refuses a key given twice.

    What it cannot construct is told with its place.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a section or a list cannot be a key; text that begins with { or [ needs quotes",
                    problem_mark=key_node.start_mark,
                )
            if key_node.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key_node.value!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError) as error:  # 2024-13-45, !!bool maybe, !!timestamp x
            raise yaml.MarkedYAMLError(
                problem=f"{node.value!r} cannot be read ({error}); in quotes it is text",
                problem_mark=node.start_mark,
            ) from error


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _parse(text: str, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The values of a YAML text, and the 1-based line of every dotted key."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        values = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}: {error.problem or error.context}", "Correct the YAML there.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}", "Correct the YAML.") from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path}: a configuration is a mapping of keys to values; received {_kind(values)}",
            "Start from a file in pipeline/configs.",
        )
    return values, dict(_lines(node, ""))


def _lines(node: yaml.Node | None, prefix: str) -> Iterable[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield prefix + str(key.value), key.start_mark.line + 1
            yield from _lines(value, f"{prefix}{key.value}.")
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield f"{prefix}{index}", value.start_mark.line + 1
            yield from _lines(value, f"{prefix}{index}.")


def _override(values: dict[str, Any], override: str, path: Path) -> str:
    """Sets `a.b=c` in `values`, and returns `a.b`."""
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(
            f"--set {override}: not of the form a.b=value", "For example: --set trainer.batch_size=64"
        )
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not YAML: {error}", "Quote the value.") from None
    at = values
    for index, key in enumerate(keys[:-1]):
        inner = at.get(key)
        if inner is None:
            inner = at[key] = {}
        if not isinstance(inner, dict):
            raise ConfigError(
                f"--set {override}: {'.'.join(keys[: index + 1])} is {_kind(inner)} in {path}, not a section",
                "See `bitext config` for the sections and keys.",
            )
        at = inner
    at[keys[-1]] = value
    return ".".join(keys)


_VARIABLE = re.compile(r"\$\{(\w+)\}")


def _substituted(
    values: dict[str, Any], places: dict[str, str], path: Path, spared: set[str]
) -> dict[str, Any]:
    """The values with every `${name}` replaced, and without the section `variables`.

    A value that is `${name}` and nothing else takes the variable's type too.

    Raises:
      ConfigError: a variable is used that is not given, or given, not used and not `spared`.
    """
    variables = values.get("variables") or {}
    if not isinstance(variables, dict) or any(isinstance(v, dict | list) for v in variables.values()):
        raise ConfigError(
            f"{_where('variables', places, path)}: variables must be a section of names and plain values",
            "For example: variables: {data: data/multi30k}",
        )
    used = set()

    def value_of(name: str, field: str) -> Any:
        if name not in variables:
            raise ConfigError(
                f"{_where(field, places, path)}: {field}: there is no variable {name}",
                f"Give it under variables, or with --set variables.{name}=...",
            )
        used.add(name)
        return variables[name]

    def spelt(name: str, field: str) -> str:
        value = value_of(name, field)
        if isinstance(value, bool):
            raise ConfigError(
                f"{_where(f'variables.{name}', places, path)}: "
                f"YAML reads the variable {name} as {_kind(value)}",
                "Put it in quotes to have it as it is written.",
            )
        return "" if value is None else str(value)

    def fill(value: Any, field: str) -> Any:
        if isinstance(value, dict):
            return {key: fill(inner, f"{field}.{key}".lstrip(".")) for key, inner in value.items()}
        if isinstance(value, list):
            return [fill(inner, f"{field}.{index}") for index, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        if whole := _VARIABLE.fullmatch(value):
            return value_of(whole[1], field)
        return _VARIABLE.sub(lambda match: spelt(match[1], field), value)

    filled = {key: fill(value, key) for key, value in values.items() if key != "variables"}
    for name in variables:
        if name not in used | spared:
            raise ConfigError(
                f"{_where(f'variables.{name}', places, path)}: no value uses the variable {name}",
                f"Write ${{{name}}} where it is meant, or take it out.",
            )
    return filled


def _nearby(path: Path) -> str:
    """A hint naming configurations that do exist."""
    folders = {path.parent, Path(__file__).parents[1] / "configs"}
    names = {p.name: p for folder in folders for p in folder.glob("*.yaml")}
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f" Did you mean {names[close[0]]}?" if close else ""
