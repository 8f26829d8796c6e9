"""The reference pages, generated from the code: commands, configuration, artifacts, signatures and so on.

Each page is a function without arguments that returns Markdown. Importing this module imports no TensorFlow.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parents[2]


def _cell(text: str) -> str:
    """Text in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def commands() -> str:
    """Every command: what it does, how it is called, an example, its options."""
    from bitext.pipeline import cli

    parser = cli._parser()
    group = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    summaries = {choice.dest: choice.help for choice in group._choices_actions}
    lines = ["# Commands", "", "`bitext COMMAND --help` prints the same on the terminal.", ""]
    lines += ["| command | what it does |", "|---|---|"]
    lines += [
        f"| [`bitext {name}`](#bitext-{name}) | {_cell(summaries[name] or '')} |" for name in group.choices
    ]
    for name, command in group.choices.items():
        lines += ["", f"## bitext {name}", "", command.description or "", ""]
        usage = re.sub(r"\s+", " ", command.format_usage().removeprefix("usage: ")).strip()
        lines += ["```sh", usage, "```", ""]
        lines += [*_epilog(command.epilog or ""), "| argument | meaning |", "|---|---|"]
        formatter = command._get_formatter()
        for action in command._actions:
            if action.help != argparse.SUPPRESS:
                lines.append(f"| `{_called(action)}` | {_cell(formatter._expand_help(action))} |")
    return "\n".join(lines) + "\n"


def _called(action: argparse.Action) -> str:
    value = action.metavar or (
        "{" + ",".join(action.choices) + "}" if action.choices else action.dest.upper()
    )
    if not action.option_strings:
        return str(value)
    shown = "" if action.nargs == 0 else f" [{value}]" if action.nargs == "?" else f" {value}"
    return ", ".join(f"{option}{shown}" for option in action.option_strings)


def _epilog(text: str) -> Iterator[str]:
    """The examples of a command's epilog, in a block."""
    match = re.search(r"^examples?:\n((?:  .*\n?)+)", text, flags=re.MULTILINE)
    if match:
        yield from ["Example:", "", "```sh", inspect.cleandoc(match[1]), "```", ""]


def configuration() -> str:
    """Every key of a configuration: type, default, range, meaning."""
    from bitext.pipeline.config import PipelineConfig

    lines = ["# Configuration", ""]
    lines += ["One YAML file describes one pipeline. `bitext config CONFIG` prints it with all defaults.", ""]
    lines += list(_section("", PipelineConfig, 2))
    return "\n".join(lines) + "\n"


def _section(prefix: str, kind: type, level: int) -> Iterator[str]:
    meanings = attributes(kind)
    inner: list[tuple[str, type]] = []
    rows: list[str] = []
    for field in msgspec.structs.fields(kind):
        name = f"{prefix}{field.encode_name}"
        struct = _struct_of(field.type)
        if struct is not None:
            inner.append((name, struct))
            continue
        default = _default(field)
        rows.append(
            f'| <span id="{name}">`{field.encode_name}`</span> | {_type(field.type)} | {default} '
            f"| {_cell(meanings.get(field.name, ''))} |"
        )
    title = prefix.removesuffix(".") or "The pipeline"
    yield from [f"{'#' * min(level, 4)} {title}", ""]
    summary = (inspect.getdoc(kind) or "").split("\n\n")[0]
    yield from [summary, ""]
    if rows:
        yield from ["| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    for name, struct in inner:
        yield from _section(f"{name}.", struct, level + 1)


def _struct_of(kind: Any) -> type | None:
    """The struct that a field's type is, or contains; None if there is none."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    for argument in typing.get_args(kind):
        if (struct := _struct_of(argument)) is not None:
            return struct
    return None


def _type(kind: Any) -> str:
    """A type in the words of YAML, with its range."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _type(arguments[0]) + _range(arguments[1:])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if a is type(None) else _type(a) for a in arguments)
    if origin in (tuple, list):
        return f"list of {_type(arguments[0])}"
    return {bool: "true or false", int: "integer", float: "number", str: "text"}.get(kind, str(kind))


def _range(annotations: tuple[Any, ...]) -> str:
    parts = []
    for meta in annotations:
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if (bound := getattr(meta, name, None)) is not None:
                parts.append(f"{sign} {bound:g}")
    return f" {', '.join(parts)}" if parts else ""


def _default(field: Any) -> str:
    if field.default is not msgspec.NODEFAULT:
        value = msgspec.to_builtins(field.default)
    elif field.default_factory is not msgspec.NODEFAULT:
        value = msgspec.to_builtins(field.default_factory())
    else:
        return "required"
    text = msgspec.json.encode(value).decode()
    return "empty" if text in ('""', "[]") else f"`{text}`"


def attributes(kind: type) -> dict[str, str]:
    """The `Attributes:` of a class's docstring, by name."""
    match = re.search(r"^Attributes:\n(.*?)(?=^\S|\Z)", inspect.getdoc(kind) or "", re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    if match:
        for entry in re.split(r"^ {2}(?=\S)", match[1], flags=re.MULTILINE)[1:]:
            names, _, meaning = entry.partition(":")
            found.update((name.strip(), " ".join(meaning.split())) for name in names.split(","))
    return found


def artifacts() -> str:
    """Every kind of artifact with its file tree."""
    lines = [
        "# Artifacts",
        "",
        "Each output of a component is a folder: `<root>/<node>/<output>/<execution id>/`.",
        "",
    ]
    tree = ast.parse((ROOT / "components" / "artifacts" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and (text := ast.get_docstring(node)):
            lines += [f"## {node.name}", "", _literal_blocks(text), ""]
    return "\n".join(lines) + "\n"


def _literal_blocks(text: str) -> str:
    """A docstring whose literal blocks (`::`) become fenced blocks."""
    result: list[str] = []
    block: list[str] | None = None
    for line in [*text.splitlines(), ""]:
        if block is not None:
            if line.strip() and not line.startswith(" ") and block and block[0].startswith(" "):
                result += _fenced(block)
                block = None
            else:
                block.append(line)
                continue
        if line.endswith("::"):
            result += [line[:-1], ""]
            block = []
        else:
            result.append(line)
    if block is not None:
        result += _fenced(block)
    return "\n".join(result).strip()


def _fenced(block: list[str]) -> list[str]:
    return ["```text", inspect.cleandoc("\n" + "\n".join(block)), "```", ""]


def exit_codes() -> str:
    """The exit codes of the command."""
    from bitext.pipeline import cli

    lines = ["# Exit codes", "", "| code | meaning |", "|---|---|"]
    for line in cli.EXIT_CODES.splitlines()[1:]:
        code, _, meaning = line.strip().partition(" ")
        lines.append(f"| {code} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def signatures() -> str:
    """The signatures of an exported model."""
    return "# Signatures\n"


def metrics() -> str:
    """The OpenMetrics names."""
    return "# Metrics\n"


def python_api() -> str:
    """The Python API."""
    return "# Python API\n"


def index() -> str:
    """The list of the reference pages."""
    lines = ["# Reference", "", "Generated from the code at each build.", ""]
    for name, render in PAGES.items():
        if name != "index":
            title, summary = render().split("\n", 1)[0].removeprefix("# "), inspect.getdoc(render) or ""
            lines.append(f"* [{title}]({name}.md): {summary[0].lower()}{summary[1:].splitlines()[0]}")
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "index": index,
    "commands": commands,
    "configuration": configuration,
    "artifacts": artifacts,
    "signatures": signatures,
    "exit-codes": exit_codes,
    "metrics": metrics,
    "python-api": python_api,
}
