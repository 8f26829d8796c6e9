"""Writes a configuration as YAML, and the reference of a key as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from bitext.pipeline.config import reference, yaml_values
from bitext.pipeline.config.reference import Key
from bitext.pipeline.config.sections import PipelineConfig, unresolve_defaults

WIDTH = 100
_INDENT = "  "


def dump(config: PipelineConfig) -> str:
    """The configuration as YAML: every default filled in, and the meaning of each key as a comment above it.

    A default that follows from another value, such as `root` from `name`, is left open, so that it still
    follows after an edit. `load` reads the text back to an equal value.
    """
    return "\n".join(_section(unresolve_defaults(config), "")).strip("\n") + "\n"


def _section(section: msgspec.Struct, indent: str) -> Iterator[str]:
    """The lines of a section."""
    meanings = reference.meanings(type(section))
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if not indent and isinstance(value, msgspec.Struct):
            yield ""
        for paragraph in meanings.get(name, "").split("\n\n"):
            yield from textwrap.wrap(
                paragraph,
                WIDTH,
                initial_indent=f"{indent}# ",
                subsequent_indent=f"{indent}# ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        if isinstance(value, msgspec.Struct):
            yield f"{indent}{name}:"
            yield from _section(value, indent + _INDENT)
        else:
            yield textwrap.indent(_plain(name, value), indent)


def _plain(name: str, value: Any) -> str:
    """Returns the line or lines of a key whose value is not a section."""
    built: Any = msgspec.to_builtins(value)
    if isinstance(built, list | tuple) and not any(isinstance(item, dict | list) for item in built):
        return f"{name}: {reference.as_yaml(built)}"
    text: str = yaml.dump(
        {name: built}, Dumper=yaml_values.Dumper, sort_keys=False, allow_unicode=True, width=WIDTH
    )
    return text.removesuffix("\n")


def explain(keys: list[Key]) -> str:
    """Returns the type, default, range and meaning of each key, for a terminal."""
    return "\n\n".join("\n".join(_explain(key)) for key in keys)


def _explain(key: Key) -> Iterator[str]:
    yield key.name
    first, *others = key.meaning.split("\n\n")
    rows = [("type", key.type), ("default", key.default), ("range", key.range), ("meaning", first)]
    for label, text in [*rows, *(("", paragraph) for paragraph in others)]:
        yield from textwrap.wrap(
            text,
            WIDTH,
            initial_indent=f"{_INDENT}{label:<9}",
            subsequent_indent=" " * 11,
            break_long_words=False,
            break_on_hyphens=False,
        )
