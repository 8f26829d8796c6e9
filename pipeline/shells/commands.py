"""The commands of a parser with their options and arguments, as the completion scripts need them."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Literal

from bitext.pipeline.commands import common

Kind = Literal["nothing", "words", "file", "config", "folder", "keys", "setting"]
"""What completes a value: nothing, one of its words, a file, a configuration file, a folder, a configuration
key, or a key with `=`."""


@dataclasses.dataclass(frozen=True)
class Value:
    """What can follow an option, or stand at a position.

    Attributes:
      name: how the help names it.
      kind: what completes it.
      words: its possible values, for the kinds `words` and `keys`.
    """

    name: str
    kind: Kind
    words: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Option:
    """An option.

    Attributes:
      flags: its spellings: `-h`, `--help`.
      help: what it does, in one line.
      value: what follows it; None: nothing.
      is_repeatable: whether it may be given more than once.
    """

    flags: tuple[str, ...]
    help: str
    value: Value | None
    is_repeatable: bool = False


@dataclasses.dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
      path: its words: `bitext show data`.
      options: its options.
      positions: its arguments in order. The last one may be repeated.
      subcommands: the commands that can follow, with their help.
    """

    path: str
    options: tuple[Option, ...]
    positions: tuple[Value, ...]
    subcommands: dict[str, str]


def commands_of(parser: argparse.ArgumentParser) -> list[Command]:
    """Returns the commands of a parser, its own command first."""
    positions: list[Value] = []
    options: list[Option] = []
    subparsers: dict[str, argparse.ArgumentParser] = {}
    helps: dict[str, str] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            subparsers = dict(action.choices)
            helps = {choice.dest: _one_line(choice.help, parser) for choice in action._choices_actions}
        elif action.option_strings:
            value = None if action.nargs == 0 else _value(action)
            repeatable = isinstance(action, argparse._AppendAction)
            flags = tuple(action.option_strings)
            options.append(Option(flags, _one_line(action.help, parser, action), value, repeatable))
        else:
            positions.append(_value(action))
    own = Command(parser.prog, tuple(options), tuple(positions), helps)
    return [own, *(command for sub in subparsers.values() for command in commands_of(sub))]


def _value(action: argparse.Action) -> Value:
    """What completes the value of an option or argument."""
    name = str(action.metavar or action.dest.upper())
    if action.choices is not None:
        return Value(name, "words", tuple(map(str, action.choices)))
    if name == "NODE":
        return Value(name, "words", node_names())
    if name == "CONFIG":
        return Value(name, "config")
    if name in ("A.B=C", "KEY"):
        is_setting = "=" in name
        return Value(name, "setting") if is_setting else Value(name, "keys", config_keys())
    if "FOLDER" in name:
        return Value(name, "folder")
    is_path = action.type in (common.path_argument, common.path_or_stream)
    return Value(name, "file" if is_path or "FILE" in name else "nothing")


def config_keys() -> tuple[str, ...]:
    """The keys that have a value and a name of their own, which no item of a list has."""
    from bitext.pipeline.config import reference

    return tuple(key.name for key in reference.all_keys() if not key.is_section and "[]" not in key.name)


def node_names() -> tuple[str, ...]:
    """The names of all nodes, in the order in which they run."""
    from bitext.components.example_gen import Parameters as ExampleGenParameters
    from bitext.components.example_gen.files import Files
    from bitext.components.statistics_gen import RequestParameters
    from bitext.pipeline.config import (
        Augmentation,
        Monolingual,
        MonolingualFiles,
        PipelineConfig,
        resolve_defaults,
    )
    from bitext.pipeline.graph import create_pipeline

    text = MonolingualFiles(files=("d.txt",))
    with_all = PipelineConfig(
        name="all",
        example_gen=ExampleGenParameters(files=("a.tsv",), golden=Files(files=("b.tsv",))),
        request_log=RequestParameters(files=("c.jsonl",)),
        augmentation=Augmentation(monolingual=Monolingual(source=text, target=text)),
    )
    return tuple(node.name for node in create_pipeline(resolve_defaults(with_all)).nodes)


def _one_line(
    text: str | None, parser: argparse.ArgumentParser, action: argparse.Action | None = None
) -> str:
    """The help of an option or command in one line, without what stands in brackets at its end."""
    if not text or text == argparse.SUPPRESS:
        return ""
    if action is not None:
        text = parser._get_formatter()._expand_help(action)
    return " ".join(text.split()).partition(" (default")[0]
