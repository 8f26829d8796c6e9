"""Changes values in the text of a YAML file, and keeps its comments and layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from bitext.pipeline.config import reference

_INDENT = 2


class CannotEdit(Exception):
    """The text has a form in which the value cannot be changed in place."""


def with_value(text: str, key: str, value: Any) -> str:
    """Returns the text with a value at a dotted key, which is changed or added.

    A key is added to the innermost section around it that exists. Anchors are not followed: a caller must
    compare what the text says with what it should say.

    Raises:
      CannotEdit: the value or a section around it has a form that is not supported.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CannotEdit(str(error)) from error
    node: yaml.Node | None = root
    names = key.split(".")
    for depth, name in enumerate(names):
        if not isinstance(node, yaml.MappingNode):
            raise CannotEdit(f"{'.'.join(names[:depth])} is no section")
        found = [inner for own, inner in node.value if getattr(own, "value", None) == name]
        if not found:
            return _insert(text, node, names[depth:], value, is_root=node is root)
        node = found[-1]
    return _replace(text, node, value)


def _replace(text: str, node: yaml.Node | None, value: Any) -> str:
    is_inline = isinstance(node, yaml.ScalarNode) and node.style in (None, "'", '"')
    if node is None or not (is_inline or getattr(node, "flow_style", False)):
        raise CannotEdit("the value has several lines")
    start, end = node.start_mark.index, node.end_mark.index
    if start == end:  # `key:` without a value
        raise CannotEdit("the value is empty")
    return f"{text[:start]}{_inline(value)}{text[end:]}"


def _insert(text: str, section: yaml.MappingNode, names: Sequence[str], value: Any, *, is_root: bool) -> str:
    """Returns the text with a key that the section does not have."""
    if section.flow_style:
        position = section.start_mark.index + 1
        more = ", " if section.value else ""
        return f"{text[:position]}{_nested(names, value)}{more}{text[position:]}"
    if is_root:
        end = "" if text.endswith("\n") or not text else "\n"
        return f"{text}{end}{_block(names, value, 0)}"
    first = section.value[0][0].start_mark
    line = first.index - first.column
    return f"{text[:line]}{_block(names, value, first.column)}{text[line:]}"


def _inline(value: Any) -> str:
    return reference.as_yaml(value)


def _nested(names: Sequence[str], value: Any) -> str:
    """Returns `a: {b: 1}`."""
    text = f"{names[-1]}: {_inline(value)}"
    for name in reversed(names[:-1]):
        text = f"{name}: {{{text}}}"
    return text


def _block(names: Sequence[str], value: Any, column: int) -> str:
    """Returns sections inside each other, each on a line of its own, with the value in the last one."""
    lines = [f"{' ' * (column + _INDENT * depth)}{name}:" for depth, name in enumerate(names)]
    lines[-1] += f" {_inline(value)}"
    return "\n".join(lines) + "\n"
