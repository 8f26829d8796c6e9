"""Reads YAML. Plain scalars are read as in YAML 1.2's core schema, with stricter rules.

YAML 1.1, which PyYAML implements, reads `no` as false, `010` as 8, `1:30` as 90, `1_000` as 1000 and
`2026-01-31` as a date. Here only these plain scalars are not text:

* `null`, `Null`, `NULL` and an empty value: nothing (`~` is text: it is a home directory in a path);
* `true` and `false`, also capitalized or in capitals;
* decimal integers without leading zeros;
* decimal fractions and powers of ten: `0.5`, `.5`, `1e-3`.

Anchors, aliases and merge keys (`<<`) work, within a limit on the number of values that they expand to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

MAX_VALUES = 20_000
"""Values in a file after the expansion of aliases."""
MAX_DEPTH = 30
"""Sections and lists inside each other."""

_TAG = "tag:yaml.org,2002:"
_INTEGER = r"[-+]?(?:0|[1-9][0-9]*)"
_FRACTION = rf"(?:{_INTEGER}(?:\.[0-9]*)?|[-+]?\.[0-9]+)(?:[eE][-+]?[0-9]+)?"


class YamlError(Exception):
    """The text cannot be read.

    Attributes:
      problem: what is wrong.
      line: its 1-based line; None: unknown.
    """

    def __init__(self, problem: str, line: int | None = None):
        super().__init__(problem)
        self.problem, self.line = problem, line


@dataclasses.dataclass
class Parsed:
    """The values of a YAML text.

    Attributes:
      value: nested dicts with text keys, lists, and scalars; None for an empty text.
      lines: the 1-based line of every dotted key; of an item of a list `<key>.<index>`.
      written: the text, as written, of every scalar that is not text.
    """

    value: Any = None
    lines: dict[str, int] = dataclasses.field(default_factory=dict)
    written: dict[str, str] = dataclasses.field(default_factory=dict)


def parse(text: str, prefix: str = "") -> Parsed:
    """Reads a YAML text.

    Args:
      text: one YAML document.
      prefix: the dotted key that the text is the value of; empty: the text is a whole configuration.

    Raises:
      YamlError: it is not YAML, is too large, or has something that a configuration cannot have.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(_in_words(error, text), mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(f"the character U+{int(error.character):04X} is not allowed in YAML", line) from None
    except RecursionError:
        raise YamlError("sections or lists are nested too deeply") from None
    builder = _Builder()
    if node is not None:
        builder.parsed.value = builder.build(node, prefix, 0)
    return builder.parsed


def text_after_value(text: str) -> str:
    """What follows the value of a one-line YAML text: a comment, which `--set` does not take."""
    node = yaml.compose(text, Loader=_Loader)
    return text[node.end_mark.index if node else 0 :].strip()


class _Loader(yaml.SafeLoader):
    """Tags plain scalars as the module's docstring says."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _name, _pattern, _first in (
    ("null", r"null|Null|NULL|", ["n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INTEGER, list("-+0123456789")),
    ("float", _FRACTION, list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _first)


class Dumper(yaml.SafeDumper):
    """Quotes text that a reader of YAML 1.1 or `parse` would take for something else."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Escapes the line breaks that only YAML knows; PyYAML would fold them."""
        style = '"' if re.search("[\x85\u2028\u2029]", data) else None
        return self.represent_scalar(_TAG + "str", data, style=style)


Dumper.add_representer(str, Dumper.represent_str)
Dumper.add_implicit_resolver(_TAG + "float", re.compile(f"^(?:{_FRACTION})$"), list("-+.0123456789"))


class _Builder:
    """Turns nodes into values and records their lines."""

    def __init__(self) -> None:
        self.parsed = Parsed()
        self._count = 0
        self._open: set[int] = set()

    def build(self, node: yaml.Node, dotted: str, depth: int) -> Any:
        """The value of a node, which is at the dotted key."""
        if isinstance(node, yaml.ScalarNode):
            self._count_node(node)
            return self._scalar(node, dotted)
        with self._entered(node, depth):
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, dotted, depth)
            return self._list(node, dotted, depth)

    @contextlib.contextmanager
    def _entered(self, node: yaml.Node, depth: int) -> Iterator[None]:
        """Context manager: checks the limits, and that the node does not contain itself."""
        self._count_node(node)
        line = node.start_mark.line + 1
        if id(node) in self._open:
            raise YamlError("an alias refers to the section or list that it is in", line)
        if depth > MAX_DEPTH:
            raise YamlError("sections or lists are nested too deeply", line)
        self._open.add(id(node))
        try:
            yield
        finally:
            self._open.remove(id(node))

    def _count_node(self, node: yaml.Node) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise YamlError(
                f"more than {MAX_VALUES:,} values, with those that aliases repeat", node.start_mark.line + 1
            )

    def _list(self, node: yaml.Node, dotted: str, depth: int) -> list[Any]:
        _check_tag(node, "seq")
        values = []
        for index, item in enumerate(node.value):
            key = _join(dotted, str(index))
            self.parsed.lines[key] = item.start_mark.line + 1
            values.append(self.build(item, key, depth + 1))
        return values

    def _mapping(self, node: yaml.MappingNode, dotted: str, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, (key_node, value_node) in self._items(node, depth).items():
            key = _join(dotted, name)
            self.parsed.lines[key] = key_node.start_mark.line + 1
            values[name] = self.build(value_node, key, depth + 1)
        return values

    def _items(self, node: yaml.MappingNode, depth: int) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Returns key and value nodes by key. A merged section adds the keys that are not given already."""
        _check_tag(node, "map")
        items: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlError(
                    "a section or a list cannot be a key; text that begins with { or [ needs quotes", line
                )
            if key_node.tag == _TAG + "merge":
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            elif key_node.value in items:
                raise YamlError(f"the key {key_node.value!r} is given twice", line)
            else:
                items[key_node.value] = key_node, value_node
        for section in merged:
            if not isinstance(section, yaml.MappingNode):
                raise YamlError("<< needs a section, or a list of sections", section.start_mark.line + 1)
            with self._entered(section, depth + 1):
                items = self._items(section, depth + 1) | items
        return items

    def _scalar(self, node: yaml.ScalarNode, dotted: str) -> Any:
        line = node.start_mark.line + 1
        kind = node.tag.removeprefix(_TAG)
        try:
            if node.style in ("|", ">") and not node.value:
                raise YamlError(
                    f"{node.style} begins a text of several lines, and none follows; {_QUOTE}", line
                )
            if kind == "str":
                return node.value
            self.parsed.written[dotted] = node.value
            if kind == "null":
                return None
            if kind == "bool":
                return {"true": True, "false": False}[node.value.lower()]
            if kind == "int":
                return _within_64_bits(int(node.value), line)
            if kind == "float":
                number = float(node.value)
                if not math.isfinite(number):
                    raise YamlError(f"{node.value} is too large for a number", line)
                return number
        except (ValueError, KeyError):
            raise YamlError(f"{node.value!r} cannot be read as {kind}; in quotes it is text", line) from None
        raise YamlError(f"the tag {node.tag} is not supported; {_QUOTE}", line)


def _within_64_bits(number: int, line: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise YamlError(f"{number} is too large for a number; in quotes it is text", line)
    return number


def _check_tag(node: yaml.Node, kind: str) -> None:
    if node.tag != _TAG + kind:
        raise YamlError(f"the tag {node.tag} is not supported; {_QUOTE}", node.start_mark.line + 1)


def _join(dotted: str, key: str) -> str:
    return f"{dotted}.{key}" if dotted else key


_QUOTE = "quote text that begins with one of * & ! | > % @ `"
_READS = {"alias": "*", "anchor": "&", "tag": "!", "directive": "%"}
"""What YAML reads after a special character, by the last word of PyYAML's `while scanning an alias`."""


def _in_words(error: yaml.MarkedYAMLError, text: str) -> str:
    """Returns PyYAML's message, with the remedy for common mistakes.

    Args:
      error: the error.
      text: the text that is read.
    """
    problem = str(error.problem or error.context)
    if special := _READS.get(str(error.context).split(" ")[-1]):
        return f"{special} has a meaning in YAML; quote text that begins with {special}"
    if problem.startswith("found undefined alias"):
        return f"{problem.removeprefix('found ')}; quote text that begins with *"
    if problem.startswith("expected ',' or") and "!" in text:  # a tag may have commas and brackets in it
        return f"{problem}; close the bracket, and quote text that begins with !"
    if problem == "but found another document":
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        return f"the file has a second document, which begins with --- at line {line}; leave it out"
    if r"'\t'" in problem:
        column = error.problem_mark.column + 1 if error.problem_mark else 0
        return f"a tab in column {column}; indent with spaces, and quote text that begins with one"
    if "cannot start any token" in problem:
        return f"{problem}; quote text that begins with it"
    if problem == "mapping values are not allowed here":
        return "a colon too many, or wrong indentation; quote text that has ': ' in it"
    return problem
