"""The reference of configuration keys, read from the structs: for `bitext config` and the documentation.

Types, defaults and ranges come from the annotations, meanings from the docstrings' `Attributes:` sections.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import functools
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.config import aliases, field_types, yaml_values
from bitext.pipeline.config.sections import PipelineConfig

_SCALARS = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    datetime.date: "date (YYYY-MM-DD)",
    type(None): "null",
}


_PLURALS = {"section": "sections", "whole number": "whole numbers", "choice": "choices", "number": "numbers"}


@dataclasses.dataclass(frozen=True)
class Key:
    """One configuration key.

    Attributes:
      name: the dotted name; `[]` stands for each item of a list: `example_validator.severities[].severity`.
      type: in words.
      default: as YAML; `required` if there is none; empty for a section.
      range: the allowed numbers or choices; empty: the type has no further limits.
      meaning: one or more sentences, in Markdown.
      is_section: whether it has keys of its own.
    """

    name: str
    type: str
    default: str
    range: str
    meaning: str
    is_section: bool


VARIABLES = Key(
    "variables",
    "section of names and plain values",
    "",
    "",
    "values of your own. `${name}` in any other value stands for the variable `name`, and"
    " `--set variables.name=value` replaces it. Every variable must be used.",
    True,
)


@functools.cache
def all_keys() -> tuple[Key, ...]:
    """Every key: a section is followed by its keys."""
    return (*_keys_of(PipelineConfig, "", None), VARIABLES)


def find(name: str) -> list[Key]:
    """Returns the key of that name; a section is followed by all keys inside it.

    Args:
      name: a dotted key, or the old name of a renamed key. `[]` may have an index, or be left out. A name
        inside a section of names stands for the section.

    Raises:
      ConfigError: there is no such key.
    """
    name = re.sub(r"\.\d+(?=\.|\[|$)|\[\d+\]", "[]", aliases.RENAMED.get(name, name)).strip(".")
    keys = all_keys()
    names = [key.name for key in keys]
    by_plain_name = {key.name.replace("[]", ""): key.name for key in keys}
    sections_of_names = {key.name for key in keys if key.type.startswith("section of names")}
    if (outer := name.rpartition(".")[0]) in sections_of_names:
        name = outer
    if (name := by_plain_name.get(name.replace("[]", ""), name)) in names:
        return [key for key in keys if key.name == name or re.match(rf"{re.escape(name)}(\.|\[)", key.name)]
    similar = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.75)
    similar += [key for key in keys_ending_in(name.rpartition(".")[2], "") if key not in similar]
    similar = similar or difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(similar[:3])}?" if similar else "`bitext config` prints every key"
    raise ConfigError(f"there is no configuration key {name}", hint)


def keys_ending_in(last: str, prefix: str) -> list[str]:
    """Returns up to three dotted keys with this last part: `example_gen.delimiter` for `delimiter`.

    Args:
      last: the last part.
      prefix: the key it was looked for in, with a point at the end. Keys of the same section come alone, and
        those of several other sections would be a guess. Empty: it was looked for in no section.
    """
    keys = [key.name for key in all_keys() if key.name.rpartition(".")[2] == last]
    section = prefix.partition(".")[0]
    if section != "augmentation":  # it repeats keys of other sections
        keys = [key for key in keys if not key.startswith("augmentation.")] or keys
    same = [key for key in keys if key.partition(".")[0] == section]
    others = {key.partition(".")[0] for key in keys}
    return (same or (keys if not section or len(others) == 1 else []))[:3]


def meanings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The meaning of each field, also inherited ones, from the docstrings' `Attributes:` sections.

    Paragraphs are kept.
    """
    base = struct.__base__
    is_derived = base is not None and issubclass(base, msgspec.Struct) and base is not msgspec.Struct
    texts = meanings(base) if base is not None and is_derived else {}
    _, _, attributes = inspect.cleandoc(struct.__doc__ or "").partition("Attributes:\n")
    for entry in re.split(r"\n(?=\S)", textwrap.dedent(attributes).strip("\n")):
        names, colon, text = entry.partition(":")
        if not colon:  # a base class without fields
            continue
        paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
        for name in names.split(","):
            texts[name.strip()] = "\n\n".join(filter(None, paragraphs))
    return texts


def _keys_of(struct: type[msgspec.Struct], prefix: str, defaults: Any) -> Iterator[Key]:
    """The keys of a section.

    Args:
      struct: the section's type.
      prefix: its dotted name and a dot; empty for the whole configuration.
      defaults: the section's value if the configuration omits it; None: the section is required.
    """
    texts = meanings(struct)
    for name, field in field_types.fields(struct).items():
        default = getattr(defaults, name) if defaults is not None else _default(field)
        section = field_types.struct_in(field.type)
        yield Key(
            name=f"{prefix}{name}",
            type=type_in_words(field.type),
            default=_default_in_words(default),
            range=range_in_words(field.type),
            meaning=texts.get(name, ""),
            is_section=section is not None,
        )
        if section is not None:
            inner = default if isinstance(default, section) else None
            yield from _keys_of(section, f"{prefix}{name}.", inner)
        elif item := field_types.struct_in(field_types.item_type(field.type)):
            yield from _keys_of(item, f"{prefix}{name}[].", None)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    """The default value; `msgspec.NODEFAULT`: the field is required."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _default_in_words(default: Any) -> str:
    if default is msgspec.NODEFAULT:
        return "required"
    return "" if isinstance(default, msgspec.Struct) else as_yaml(default)


def as_yaml(value: Any) -> str:
    """A value on one line, as a configuration would have it."""
    text: str = yaml.dump(
        msgspec.to_builtins(value),
        Dumper=yaml_values.Dumper,
        default_flow_style=True,
        width=10**6,
        allow_unicode=True,
    )
    return text.removesuffix("\n").removesuffix("\n...")


def type_in_words(kind: Any) -> str:
    """`whole number`, `list of text`, `path or null`, `section`, ..."""
    words: list[str] = []
    for alternative in _without_annotations(kind):
        word = _type_word(alternative)
        if word not in words:
            words.append(word)
    return " or ".join(words)


def _without_annotations(kind: Any) -> Iterator[Any]:
    """The alternatives of a union; those that have annotations keep them."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        for argument in typing.get_args(kind):
            yield from _without_annotations(argument)
    else:
        yield kind


def _type_word(kind: Any) -> str:
    if path := field_types.path_kind(kind):
        return path
    (plain,) = field_types.alternatives(kind)
    if field_types.choices(kind):
        return "choice"
    if typing.get_origin(plain) is dict:
        return f"section of names and {type_in_words(typing.get_args(plain)[1])}s"
    if (item := field_types.item_type(plain)) is not None:
        return f"list of {_PLURALS.get(words := type_in_words(item), words)}"
    return "section" if field_types.struct_in(plain) else _SCALARS[plain]


def range_in_words(kind: Any) -> str:
    """`1 to 65535`, `>= 1`, `> 0 and < 1`, `linear, cosine`; empty without a constraint."""
    item = field_types.item_type(kind)
    if typing.get_origin(kind) is dict:
        item = typing.get_args(kind)[1]
    if item is not None:
        inner = range_in_words(item)
        return f"each {inner}" if inner else ""
    listed, meta = field_types.choices(kind), field_types.constraints(kind)
    words = [*listed, *filter(None, [_limits_in_words(meta) if meta else ""])]
    return ", ".join(words)


def _limits_in_words(meta: msgspec.Meta) -> str:
    """The numbers or texts that a constraint allows; empty: any."""
    if meta.ge is not None and meta.le is not None:
        return f"{_number(meta.ge)} to {_number(meta.le)}"
    bounds = {">=": meta.ge, ">": meta.gt, "<=": meta.le, "<": meta.lt}
    words = [f"{sign} {_number(bound)}" for sign, bound in bounds.items() if bound is not None]
    if meta.pattern:
        words.append(meta.description or "text in a certain form")
    if meta.max_length is not None:
        words.append("one character" if meta.max_length == 1 else f"at most {meta.max_length} characters")
    return " and ".join(words)


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
