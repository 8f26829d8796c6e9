"""Converts raw values to the typed configuration. An error names the location, the value and the remedy."""

from __future__ import annotations

import glob
import os
import re
from typing import Any

import msgspec

from bitext.components.shared import path_lengths, suggestions
from bitext.components.shared.addresses import is_remote, mistyped_address
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.numbered import folder_number
from bitext.pipeline.config import field_types, reference
from bitext.pipeline.config.aliases import RawConfig
from bitext.pipeline.config.messages import reword, spelled
from bitext.pipeline.config.sections import PipelineConfig, resolve_defaults


def typed(raw: RawConfig) -> PipelineConfig:
    """The configuration with every default filled in.

    Raises:
      ConfigError: a key is unknown or missing, or a value is refused.
    """
    _refuse_unknown(raw.values, PipelineConfig, "", raw)
    values = prepare(raw.values, PipelineConfig)
    _refuse_long_paths(values, PipelineConfig, "", raw)
    try:
        return resolve_defaults(msgspec.convert(values, PipelineConfig))
    except msgspec.ValidationError as error:
        message, _, pointer = str(error).partition(" - at `")
    except ValueError as error:  # two sections do not fit together
        message, pointer = str(error), ""
    field = _dotted(pointer.rstrip("`").removeprefix("$"), values)
    if missing := re.match(r"Object missing required field `(\w+)`", message):
        raise _missing(f"{field}.{missing[1]}".lstrip("."), raw)
    kind = field_types.type_of(PipelineConfig, field)
    received = _value_at(values, field)
    words = reword(message, received, kind, raw.written.get(field, ""))
    meant = suggestions.similar(received, field_types.choices(kind)) if isinstance(received, str) else ""
    hint = f"did you mean {meant}? " if meant else ""
    where = _keys_named(field, words, raw) or raw.where(field)
    raise ConfigError(f"{where}: {spelled(field)}{': ' if field else ''}{words}", hint + _remedy(field))


def _missing(field: str, raw: RawConfig) -> ConfigError:
    """Returns the error of a key that is required and not given."""
    remedy = f"add {field} to the file, or --set {field}=..."
    if list_key := _list_around(field):
        name = field.rpartition(".")[2]
        choices = field_types.choices(field_types.type_of(PipelineConfig, field))
        values = f" ({' or '.join(f'{name}: {value}' for value in choices)})" if choices else ""
        remedy = f"add {name}{values} there, to that element of the list {list_key}"
    return ConfigError(f"{raw.where(field)}: {spelled(field)} is missing", remedy)


def _remedy(field: str) -> str:
    """Returns what to do about a wrong value."""
    if not field:
        return "correct it there or with --set; `bitext config --explain KEY` explains a key"
    if list_key := _list_around(field):
        return (
            f"correct it there, or replace the whole list: --set {list_key}=[...];"
            f" `bitext config --explain {list_key}` explains the key"
        )
    return f"correct it there or with --set; `bitext config --explain {field}` explains the key"


def _list_around(field: str) -> str:
    """Returns the dotted key of the list that a dotted key goes through; empty: through none."""
    match = re.match(r"(.+?)\.\d+(?:\.|$)", field)
    return match[1] if match else ""


def _dotted(pointer: str, values: Any) -> str:
    """Returns the dotted key of msgspec's pointer: `.a.b[3].c`.

    `[...]` in it stands for a value of a mapping. msgspec does not name that value's key, so the values are
    converted one by one.
    """
    field = ""
    for name, index in re.findall(r"\.(\w+)|\[([^\]]+)\]", pointer):
        key = name or index
        if key == "...":
            kind = field_types.type_of(PipelineConfig, field)
            key = _refused_key(_value_at(values, field), field_types.mapped_type(kind))
        field = f"{field}.{key}".lstrip(".")
    return field


def _refused_key(section: Any, kind: Any) -> str:
    """Returns the first key of a mapping whose value is refused."""
    for key, value in section.items():
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            return str(key)
    raise LookupError(f"every value of {section} is accepted")


def _refuse_unknown(value: Any, kind: Any, prefix: str, raw: RawConfig) -> None:
    """Raises ConfigError at the first unknown key.

    msgspec refuses unknown keys too; this message has the line and the likely key.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unknown(item, field_types.item_type(kind), f"{prefix}{index}.", raw)
        return
    struct = field_types.struct_in(kind)
    if struct is None or not isinstance(value, dict):
        return
    fields = field_types.fields(struct)
    for key, inner in value.items():
        if key in fields:
            _refuse_unknown(inner, fields[key].type, f"{prefix}{key}.", raw)
            continue
        close = suggestions.similar(key, fields)
        similar = [spelled(f"{prefix}{close}")] if close else reference.keys_ending_in(key, prefix)
        hint = f"did you mean {' or '.join(similar)}?" if similar else f"known keys: {', '.join(fields)}"
        name = f"{prefix}{key}"
        raise ConfigError(f"{raw.where(name)}: unknown key {spelled(name)}", hint)


def prepare(value: Any, kind: Any) -> Any:
    """The value with empty sections left out, short forms written in full, and `~` in paths expanded."""
    struct = field_types.struct_in(kind)
    value = field_types.in_full(value, kind)
    if isinstance(value, dict) and struct is not None:
        fields = field_types.fields(struct)
        return {
            key: prepare(inner, fields[key].type)
            for key, inner in value.items()
            # `trainer:` with only comments below it
            if inner is not None or type(None) in field_types.alternatives(fields[key].type)
        }
    if isinstance(value, list):
        return [prepare(item, field_types.item_type(kind)) for item in value]
    if isinstance(value, str) and field_types.path_kind(kind):
        return os.path.expanduser(value)
    return value


def _refuse_long_paths(value: Any, kind: Any, field: str, raw: RawConfig) -> None:
    """Raises ConfigError at the first path that is too long for the operating system."""
    struct = field_types.struct_in(kind)
    if isinstance(value, dict) and struct is not None:
        fields = field_types.fields(struct)
        for key, inner in value.items():
            _refuse_long_paths(inner, fields[key].type, f"{field}.{key}".lstrip("."), raw)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_long_paths(item, field_types.item_type(kind), f"{field}.{index}", raw)
    elif isinstance(value, str) and field_types.path_kind(kind) and (mistyped := mistyped_address(value)):
        raise ConfigError(f"{raw.where(field)}: {spelled(field)}: {mistyped[0]}", mistyped[1])
    elif isinstance(value, str) and field_types.is_local_path(kind) and is_remote(value):
        raise ConfigError(
            f"{raw.where(field)}: {spelled(field)} {value!r} is remote; it must be a path of this machine",
            "copy it to this machine, and name the copy",
        )
    # Cloud storage has other limits, and a glob may be longer than what it matches.
    elif isinstance(value, str) and field_types.path_kind(kind) and not is_remote(value):
        problem = "" if glob.has_magic(value) else path_lengths.length_problem(value)
        if problem:
            raise ConfigError(f"{raw.where(field)}: {spelled(field)}: {problem}", path_lengths.REMEDY)


def _value_at(values: Any, field: str) -> Any:
    """The value at a dotted key."""
    for key in field.split(".") if field else []:
        if isinstance(values, dict):
            values = values.get(key)
        elif isinstance(values, list):
            index = folder_number(key)
            if index is not None and index < len(values):
                values = values[index]
    return values


def _keys_named(section: str, words: str, raw: RawConfig) -> str:
    """Where the keys of a section were given that a message about the section names."""
    prefix = f"{section}." if section else ""
    locations = [
        location
        for key, location in raw.locations.items()
        if key.startswith(prefix)
        and re.search(rf"(?<![\w.]){re.escape(key.removeprefix(prefix))}(?!\w|\.\w)", words)
    ]
    return ", ".join(dict.fromkeys(locations))
