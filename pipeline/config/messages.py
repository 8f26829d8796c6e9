"""Error messages about a configuration: where a value was given, and msgspec's messages in plain words."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import msgspec

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.config.sections import PipelineConfig


def _check(values: dict[str, Any], places: dict[str, str], path: Path) -> PipelineConfig:
    """Builds the typed configuration, or says in words what stands in the way."""
    for section in [key for key, value in values.items() if value is None]:
        del values[section]  # an empty section: `trainer:` with only comments below it
    _refuse_unknown(values, PipelineConfig, "", places, path)
    try:
        return msgspec.convert(values, PipelineConfig)
    except msgspec.ValidationError as error:
        message, _, pointer = str(error).partition(" - at `")
        field = re.sub(r"\[(\d+)\]", r".\1", pointer.rstrip("`")).removeprefix("$").removeprefix(".")
        if missing := re.match(r"Object missing required field `(\w+)`", message):
            field = f"{field}.{missing[1]}".lstrip(".")
            raise ConfigError(
                f"{path}: {field} is missing", f"Add {field} to the file, or --set {field}=..."
            ) from None
        words = _in_words(message, _received(values, field), field)
        where = _named(field, words, places) or _where(field, places, path)
        raise ConfigError(
            f"{where}: {field}{': ' if field else ''}{words}",
            "Correct it there or with --set; `bitext config CONFIG` prints every key and default.",
        ) from None


def _refuse_unknown(value: Any, kind: Any, prefix: str, places: dict[str, str], path: Path) -> None:
    """Raises ConfigError at the first key that the struct `kind`, or one inside it, does not have."""
    struct = _struct_of(kind)
    if struct is None or not isinstance(value, dict):
        return
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, inner in value.items():
        if key in fields:
            _refuse_unknown(inner, fields[key], f"{prefix}{key}.", places, path)
            continue
        close = difflib.get_close_matches(str(key), fields, n=1)
        known = f"Did you mean {prefix}{close[0]}?" if close else f"Known keys: {', '.join(fields)}."
        raise ConfigError(f"{_where(f'{prefix}{key}', places, path)}: unknown key {prefix}{key}", known)


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """The struct among the alternatives of a field's type, if there is one."""
    for alternative in (kind, *getattr(kind, "__args__", ())):
        if isinstance(alternative, type) and issubclass(alternative, msgspec.Struct):
            return alternative
    return None


def _received(values: Any, field: str) -> Any:
    """The value at a dotted field."""
    for key in field.split(".") if field else []:
        if isinstance(values, dict):
            values = values.get(key)
        elif isinstance(values, list) and key.isdigit() and int(key) < len(values):
            values = values[int(key)]
    return values


_TYPE_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a section of keys and values",
    "null": "nothing",
}


def _choices(field: str) -> list[str]:
    """What a field of literal choices may be."""
    kind: Any = PipelineConfig
    for key in field.split("."):
        if key.isdecimal():  # of a list
            kind = kind.__args__[0]
            continue
        struct = _struct_of(kind)
        types = {f.name: f.type for f in msgspec.structs.fields(struct)} if struct else {}
        kind = types.get(key)
    return [str(value) for value in getattr(kind, "__args__", ())]


def _in_words(message: str, received: Any, field: str) -> str:
    """The message of msgspec without the names of programming-language types."""
    if match := re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`", message):
        expected = " or ".join(_TYPE_WORDS.get(t.strip(), t.strip()) for t in match[1].split("|"))
        return f"must be {expected}; received {_kind(received)}"
    if match := re.fullmatch(r"Expected `([^`]+)` (.+)", message):
        return f"must be {_TYPE_WORDS.get(match[1], match[1])} {match[2]}; received {_kind(received)}"
    if message.startswith("Invalid enum value"):
        choices = " or ".join(_choices(field))
        return f"must be {choices}; received {_kind(received)}"
    if match := re.fullmatch(r"Object contains unknown field `([^`]+)`", message):
        return f"has no key {match[1]}"
    return message


def _kind(value: Any) -> str:
    """A value and what it is, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a section of keys and values"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"the text {value!r}" if isinstance(value, str) else f"the number {value}"


def _where(field: str, places: dict[str, str], path: Path) -> str:
    """Where a field, or the nearest section around it, was given: `file:line` or `--set ...`."""
    while field and field not in places:
        field = field.rpartition(".")[0]
    return places.get(field, str(path))


def _named(section: str, words: str, places: dict[str, str]) -> str:
    """Where those keys of a section were given that a complaint about the whole of it names."""
    prefix = f"{section}." if section else ""
    found = [
        place
        for key, place in places.items()
        if key.startswith(prefix)
        and re.search(rf"(?<![\w.]){re.escape(key.removeprefix(prefix))}(?!\w|\.\w)", words)
    ]
    return ", ".join(dict.fromkeys(found))
