"""The reference pages, generated from the code: commands, configuration, artifacts, signatures and so on.

Each page is a function without arguments that returns Markdown. This module imports no TensorFlow;
`signatures` starts a process that does, once for each version of the model's code.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from docs.tools.docstrings import entries, markdown, sentence, table

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "reference"
MODEL_CODE = ("components/seq2seq", "components/text", "docs/tools/signatures.py")
"""What the signatures depend on."""

API = {
    "Configuration": ("bitext.pipeline.config:load", "bitext.pipeline.config:dump"),
    "Pipeline": ("bitext.pipeline.graph:create_pipeline",),
    "Components": (
        "bitext.components.component:Component",
        "bitext.components.component:Context",
        "bitext.components.component:Parameters",
    ),
    "Artifacts": ("bitext.components.artifacts:Artifact",),
    "Errors": (
        "bitext.components.shared.errors:BitextError",
        "bitext.components.shared.errors:ConfigError",
        "bitext.components.shared.errors:DataError",
        "bitext.components.shared.errors:LockedError",
        "bitext.components.shared.errors:EnvironmentFault",
        "bitext.components.shared.errors:TrainingError",
    ),
}


def commands() -> str:
    """Every command with an example and its options."""
    from bitext.pipeline import cli

    parser = cli.build_parser()
    group = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    summaries = {choice.dest: choice.help or "" for choice in group._choices_actions}
    lines = ["# Commands", "", "`bitext COMMAND --help` prints the same on the terminal.", ""]
    lines += table(
        "command",
        "what it does",
        rows=((f"[`bitext {name}`](#bitext-{name})", sentence(summaries[name])) for name in group.choices),
    )
    for name, command in _with_inner(group.choices):
        lines += [
            f"{'##' if ' ' not in name else '###'} bitext {name}",
            "",
            command.description or "",
            "",
            *_examples(command.epilog or ""),
        ]
        usage = re.sub(r"\s+", " ", command.format_usage().removeprefix("usage: ")).strip()
        wrapped = textwrap.fill(usage, 84, subsequent_indent="    ", break_on_hyphens=False)
        lines += ["Usage:", "", "```text", wrapped, "```", ""]
        formatter = command._get_formatter()
        actions = (a for a in command._actions if not isinstance(a, argparse._SubParsersAction))
        rows = ((f"`{_called(a)}`", sentence(formatter._expand_help(a))) for a in actions)
        lines += table("argument", "meaning", rows=rows)
    return "\n".join(lines)


def _with_inner(commands: Mapping[str, Any]) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yields the commands, each followed by the commands inside it: `show`, `show data`."""
    for name, command in commands.items():
        yield name, command
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from ((f"{name} {inner}", parser) for inner, parser in action.choices.items())


def _called(action: argparse.Action) -> str:
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    value = str(action.metavar or choices)
    if not action.option_strings:
        return value
    shown = "" if action.nargs == 0 else f" [{value}]" if action.nargs == "?" else f" {value}"
    return ", ".join(f"{option}{shown}" for option in action.option_strings)


def _examples(epilog: str) -> Iterator[str]:
    """The examples of a command's epilog, in a block."""
    match = re.search(r"^examples?:\n((?:  .*\n?)+)", epilog, flags=re.MULTILINE)
    if match is None:
        raise ValueError(f"a command has no example: {epilog!r}")
    yield from ["```sh", inspect.cleandoc(match[1]), "```", ""]


def configuration() -> str:
    """Every configuration key: type, default, range, meaning."""
    from bitext.pipeline.config import reference

    intro = """\
# Configuration

A configuration is one YAML file. `bitext config CONFIG` prints it with every default and meaning;
`bitext config --explain KEY` explains one key. The files in `pipeline/configs/` are complete examples.

An unknown key, a wrong type or an impossible combination is an error that names the file and the line.
`--set KEY=VALUE` replaces one value on the command line. Relative paths start at the folder in which the
command is called.
"""
    keys = reference.all_keys()
    sections = {key.name: key for key in keys if key.is_section or any(_inside(k, key) for k in keys)}
    lines = [intro, *_keys("", keys)]
    for name, section in sections.items():
        depth = min(2 + name.count("."), 4)
        lines += [f"{'#' * depth} {name} {{ #{name} }}", "", sentence(section.meaning), ""]
        lines += _keys(name, keys)
    return "\n".join(lines)


def _inside(key: Any, section: Any) -> bool:
    return key.name.startswith((f"{section.name}.", f"{section.name}[]."))


def _keys(section: str, keys: Iterable[Any]) -> list[str]:
    """The table of the keys directly inside a section."""
    rows = []
    for key in keys:
        outer, _, name = key.name.rpartition(".")
        if outer.removesuffix("[]") != section:
            continue
        shown = f"[`{name}`](#{key.name})" if key.is_section else f'<span id="{key.name}">`{name}`</span>'
        default = "" if key.is_section else f"`{key.default}`" if key.default != "required" else "required"
        kind = key.type if not key.range else f"{key.type}: {key.range}"
        rows.append((shown, kind, default, sentence(key.meaning)))
    return table("key", "type and range", "default", "meaning", rows=rows) if rows else []


def artifacts() -> str:
    """Every kind of artifact: its files and their content."""
    package = importlib.import_module("bitext.components.artifacts")
    lines = [
        "# Artifacts",
        "",
        "Each output of a component is a folder `<root>/<node>/<output>/<execution id>/`. File names are",
        "those of TFX, so TFDV, TensorBoard and TensorFlow Serving read them. In Python, each kind is a",
        "class with methods that read and write its files (`bitext.components.artifacts`).",
        "",
    ]
    for name in dict.fromkeys(kind.__module__ for kind in package.KINDS):  # in the order of the pipeline
        module = importlib.import_module(name)
        for kind in _defined(module, package.Artifact):
            if kind not in package.KINDS:
                continue
            lines += [f"## {kind.__name__}", "", markdown(inspect.getdoc(kind) or ""), ""]
        for payload in _defined(module, msgspec.Struct):
            lines += _payload(payload)
    return "\n".join(lines)


def _defined(module: types.ModuleType, base: type) -> list[type]:
    """The public subclasses of a class that a module defines, in order."""
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__
    ]


def _payload(struct: type[msgspec.Struct]) -> list[str]:
    from bitext.pipeline.config.reference import meanings

    summary = (inspect.getdoc(struct) or "").split("\n\n")[0]
    texts = meanings(struct) if "Attributes:" in (struct.__doc__ or "") else {}
    rows = [
        (f"`{field.encode_name}`", sentence(texts.get(field.name, "")))
        for field in msgspec.structs.fields(struct)
    ]
    return [f"### {struct.__name__}", "", summary, "", *table("field", "meaning", rows=rows)]


def exit_codes() -> str:
    """What each exit code means, and what a scheduler does."""
    from bitext.components.shared import errors

    lines = ["# Exit codes", "", "A call by `make` replaces every code other than 0 by `make`'s own.", ""]
    rows = [(str(row.code), row.meaning, str(row.action)) for row in errors.exit_codes()]
    return "\n".join([*lines, *table("code", "meaning", "what a scheduler does", rows=rows)])


def signatures() -> str:
    """The signatures of an exported model: inputs and outputs with dtypes and shapes."""
    described = json.loads(_signatures())
    lines = [
        "# Signatures",
        "",
        "Inputs and outputs by name, as an exported model declares them. B: sentences, N: translations of",
        "a sentence, S: source tokens, T: target tokens, V: target vocabulary, D: encoder units, U: decoder",
        "units, K: width of the keys.",
        "",
    ]
    lines += table(
        "signature",
        "what it returns",
        rows=((f"[`{name}`](#{name})", s["summary"]) for name, s in described.items()),
    )
    for name, signature in described.items():
        lines += [f"## {name}", "", signature["summary"], ""]
        for way in ("inputs", "outputs"):
            rows = ((f"`{t['name']}`", f"`{t['type']}`", t["meaning"]) for t in signature[way])
            rendered = table(way.removesuffix("s"), "type", "meaning", rows=rows)
            lines += rendered if signature[way] else [f"No {way}.", ""]
    return "\n".join(lines)


def _signatures() -> str:
    """The description of the signatures as JSON: from the cache, or from a newly exported model."""
    from bitext.components.shared.files import folder_digest

    digests = [
        folder_digest(ROOT / path) if (ROOT / path).is_dir() else _digest(ROOT / path) for path in MODEL_CODE
    ]
    cached = CACHE / f"signatures-{_digest_of(digests)}.json"
    if not cached.is_file():
        done = subprocess.run(
            [sys.executable, "-m", "docs.tools.signatures"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        CACHE.mkdir(parents=True, exist_ok=True)
        cached.write_text(done.stdout, encoding="utf-8")
    return cached.read_text(encoding="utf-8")


def _digest(path: Path) -> str:
    return _digest_of([path.read_text(encoding="utf-8")])


def _digest_of(texts: list[str]) -> str:
    import hashlib

    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def metrics() -> str:
    """The OpenMetrics names of a run."""
    openmetrics = importlib.import_module(OPENMETRICS)
    outcome = mock.MagicMock()
    outcome.nodes.return_value = {"Trainer": []}
    ending = openmetrics.Ending("name", 0, 0.0, 1.0, 1.0, outcome)
    rows = []
    for name, meaning, samples in openmetrics._families(ending, 0.0):
        labels = {label for known, _ in samples for label in known}
        rows.append(
            (f"`{name}`", ", ".join(f"`{label}`" for label in ["pipeline", *sorted(labels)]), meaning)
        )
    lines = [
        "# Metrics",
        "",
        "A run writes these gauges to the file that `metrics.textfile` names, in OpenMetrics text format.",
        "A value that the run did not reach is left out.",
        "",
    ]
    return "\n".join([*lines, *table("metric", "labels", "meaning", rows=rows)])


OPENMETRICS = "bitext.pipeline.reports.openmetrics"


def python_api() -> str:
    """The classes and functions for programs that extend or call bitext."""
    lines = [
        "# Python API",
        "",
        "bitext is an application first: the commands and the SavedModel are its interface. These names are",
        "for programs that call it, and for new components. Everything else may change in any version.",
        "",
    ]
    for title, names in API.items():
        lines += [f"## {title}", ""]
        for name in names:
            module, _, attribute = name.partition(":")
            value = getattr(importlib.import_module(module), attribute)
            imported = f"from {module} import {attribute}"
            lines += [f"### {attribute}", "", "```python", imported, "", _declaration(value), "```", ""]
            lines += [_api_text(value), ""]
    return "\n".join(lines)


def _declaration(value: Any) -> str:
    if inspect.isclass(value):
        bases = [base.__name__ for base in value.__bases__ if base is not object]
        return f"class {value.__name__}({', '.join(bases)})" if bases else f"class {value.__name__}"
    tree = ast.parse(inspect.getsource(value)).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise TypeError(f"{value} is no function")
    returns = f" -> {ast.unparse(tree.returns)}" if tree.returns else ""
    arguments = re.split(r", (?=\w+: )", ast.unparse(tree.args))
    return "\n    ".join([f"def {tree.name}(", *(f"{argument}," for argument in arguments)]) + f"\n){returns}"


def _api_text(value: Any) -> str:
    """The docstring of a class or a function, its sections as tables, and a class's public methods."""
    docstring = inspect.getdoc(value) or ""
    parts = [markdown(docstring)]
    for section in ("Attributes", "Args", "Returns", "Raises"):
        match = re.search(rf"^{section}:\n((?:^(?: .*)?\n?)+)", docstring, re.MULTILINE)
        if match:
            parts.append(f"**{section}**")
            parts.append("\n".join(table("name", "meaning", rows=entries(match[1]))))
    if inspect.isclass(value):
        rows = [
            (f"`{name}`", (inspect.getdoc(member) or "").split("\n\n")[0])
            for name, member in vars(value).items()
            if not name.startswith("_")
            and (inspect.isfunction(member) or isinstance(member, (property, classmethod)))
        ]
        if rows:
            parts += ["**Methods**", "\n".join(table("name", "meaning", rows=rows))]
    return "\n\n".join(parts)


def index() -> str:
    """The list of the reference pages."""
    lines = ["# Reference", "", "These pages are generated from the code.", ""]
    rows = [
        (f"[{render().split(chr(10), 1)[0].removeprefix('# ')}]({name}.md)", inspect.getdoc(render) or "")
        for name, render in PAGES.items()
        if name != "index"
    ]
    return "\n".join([*lines, *table("page", "content", rows=rows)])


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
