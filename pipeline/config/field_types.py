"""Inspects the types of configuration fields: sections, lists, choices and paths."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from bitext.components.shared.numbered import folder_number


def alternatives(kind: Any) -> Iterator[Any]:
    """Yields the types of a union, without annotations; for any other type, the type itself."""
    if typing.get_origin(kind) is typing.Annotated:
        yield from alternatives(kind.__origin__)
    elif typing.get_origin(kind) in (typing.Union, types.UnionType):
        for argument in typing.get_args(kind):
            yield from alternatives(argument)
    else:
        yield kind


def constraints(kind: Any) -> msgspec.Meta | None:
    """The `msgspec.Meta` of a type or of one of its alternatives."""
    if typing.get_origin(kind) is typing.Annotated:
        return next((extra for extra in kind.__metadata__ if isinstance(extra, msgspec.Meta)), None)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next(filter(None, map(constraints, typing.get_args(kind))), None)
    return None


def struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """The struct among the alternatives of a type; None: the field is not a section."""
    for alternative in alternatives(kind):
        if isinstance(alternative, type) and issubclass(alternative, msgspec.Struct):
            return alternative
    return None


def in_full(value: Any, kind: Any) -> Any:
    """The value with a text that is the short form of a section written as the section."""
    key = getattr(struct_in(kind), "short_form", "")
    return {key: value} if key and isinstance(value, str) else value


def item_type(kind: Any) -> Any:
    """The type of the items if the type, or one of its alternatives, is a list; else None."""
    for alternative in alternatives(kind):
        if typing.get_origin(alternative) in (tuple, list):
            return typing.get_args(alternative)[0]
    return None


def mapped_type(kind: Any) -> Any:
    """The type of the values, where the type or an alternative of it is a mapping; else None."""
    for alternative in alternatives(kind):
        if typing.get_origin(alternative) is dict:
            return typing.get_args(alternative)[1]
    return None


def choices(kind: Any) -> list[str]:
    """The values that a type allows: of literal types, or of `Meta(extra={"choices": ...})`."""
    meta = constraints(kind)
    if meta and meta.extra and "choices" in meta.extra:
        return [str(value) for value in meta.extra["choices"]]
    return [
        str(value)
        for alternative in alternatives(kind)
        if typing.get_origin(alternative) is typing.Literal
        for value in typing.get_args(alternative)
    ]


def is_local_path(kind: Any) -> bool:
    """Whether the values of a type are paths of this machine only."""
    meta = constraints(kind)
    return bool(meta and (meta.extra or {}).get("local"))


def path_kind(kind: Any) -> str:
    """The kind of path that a text is (see `components.shared.path_types`); empty: it is not a path."""
    meta = constraints(kind)
    return str((meta.extra or {}).get("path", "")) if meta else ""


def fields(struct: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of a section by name."""
    return {field.name: field for field in msgspec.structs.fields(struct)}


def type_of(struct: type[msgspec.Struct], key: str) -> Any:
    """The type at a dotted key, in which an index stands for an item of a list; None: no such key."""
    kind: Any = struct
    for name in key.split("."):
        if folder_number(name) is not None:
            kind = item_type(kind)
        elif (mapped := mapped_type(kind)) is not None:
            kind = mapped
        else:
            section = struct_in(kind)
            field = fields(section).get(name) if section else None
            kind = field.type if field else None
    return kind
