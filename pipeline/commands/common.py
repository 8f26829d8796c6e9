"""Shared code of the commands: the session, exit codes and messages of errors, common options."""

from __future__ import annotations

import argparse
import dataclasses
import glob
import json
import math
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitext.components.shared.addresses import is_remote, mistyped_address
from bitext.components.shared.errors import (
    INTERRUPTED,
    TERMINATED,
    BitextError,
    ConfigError,
    MissingFileError,
)
from bitext.components.shared.numbered import folder_number
from bitext.components.shared.path_lengths import length_problem
from bitext.components.shared.storage import path as storage_path
from bitext.pipeline import streams
from bitext.pipeline.interruptions import Terminated, ending, signal_of
from bitext.pipeline.streams import print_output

if TYPE_CHECKING:
    from bitext.pipeline.config import PipelineConfig

Commands = Any
"""What `ArgumentParser.add_subparsers` returns; argparse keeps the type private."""

DEFAULT_CONFIG = Path(__file__).parents[1] / "configs" / "tatoeba.yaml"


@dataclasses.dataclass
class Session:
    """State of one `bitext` process.

    Attributes:
      closed_streams: the standard streams that the caller closed: `stdin`, `stdout`, `stderr`.
      log_file: the log file of the run, once it is known. The file need not exist.
      report: the page of the run, once it is written.
      config: the configuration file, once it is known.
      config_arguments: CONFIG, `--root` and `--set` as the user gave them, for the shell; None: not read yet.
    """

    closed_streams: frozenset[str] = frozenset()
    log_file: Path | None = None
    report: Path | None = None
    config: Path | None = None
    config_arguments: str | None = None

    def with_config(self, text: str) -> str:
        """Replaces CONFIG in a remedy, such as `bitext run CONFIG`, by what the user gave."""
        if self.config_arguments is None:
            return text
        given = f" {self.config_arguments}" if self.config_arguments else ""
        return re.sub(r" CONFIG\b", lambda _: given, text)

    def beside_config(self, pattern: str) -> Path | None:
        """Returns a file that a relative path or pattern names beside the configuration, if there is one."""
        if self.config is None or os.path.isabs(pattern) or is_remote(pattern):
            return None
        found = glob.glob(re.sub(r"\{[^{}]*\}", "*", str(self.config.parent / pattern)), recursive=True)
        return Path(min(found)) if found else None

    def require_input(self) -> None:
        """Raises ConfigError if standard input, which is to be read, is closed."""
        if "stdin" in self.closed_streams:
            raise ConfigError("standard input is closed", "name a FILE, or leave standard input open")

    def require_output(self) -> None:
        """Raises ConfigError if standard output, which takes the result, is closed."""
        if "stdout" in self.closed_streams:
            raise ConfigError("standard output is closed", "redirect it to a file or to /dev/null")

    @property
    def existing_log(self) -> Path | None:
        """The log file, if it exists."""
        return self.log_file if self.log_file and self.log_file.is_file() else None


def exit_code(error: BaseException | None) -> int:
    """The exit code of the process after `error`, or without one."""
    if error is None:
        return 0
    if isinstance(error, BitextError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return (TERMINATED if isinstance(error, Terminated) else INTERRUPTED).code
    return 1


def describe(error: BaseException, session: Session) -> tuple[str, str]:
    """The message of an error, and the remedy."""
    beside = session.beside_config(error.pattern) if isinstance(error, MissingFileError) else None
    if session.config and beside:
        return (
            f"{error}; beside the configuration there is {beside}",
            f"paths are relative to the current folder, {Path.cwd()}: start the command in"
            f" {session.config.parent}, or write the path of {beside} in the configuration",
        )
    if isinstance(error, BitextError):
        return session.with_config(str(error)), session.with_config(error.remedy)
    if isinstance(error, KeyboardInterrupt):
        remedy = "the same command continues where this one stopped" if session.log_file else ""
        return ending(signal_of(error)), remedy
    return f"{type(error).__name__}: {error}", "the traceback is in the log"


def print_error(message: str, remedy: str, session: Session) -> None:
    """Prints an error, or why a model was refused, to standard error."""
    streams.print_message(f"error: {message}")
    if remedy:
        streams.print_message(f"what to do: {remedy}")
    if session.existing_log:
        streams.print_message(f"log: {session.existing_log}")
    if session.report:
        streams.print_message(f"report: {session.report}")


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], summary: str, *examples: str
) -> argparse.ArgumentParser:
    """Adds a command to the parser.

    Args:
      commands: the subparsers.
      name: the command's name.
      run: does the work and returns the exit code.
      summary: one line for the list of commands and the top of the command's help.
      examples: command lines shown below the options.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog="\n".join(["examples:", *(f"  {example}" for example in examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def whole_number(text: str) -> int:
    """A whole number on the command line."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number; received {text!r}") from None


def version(text: str) -> int:
    """The number of a pushed version on the command line."""
    number = folder_number(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"must be the number of a pushed version; received {text!r}")
    return number


def number(text: str) -> float:
    """A number on the command line."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number; received {text!r}") from None


def path_argument(text: str) -> Path:
    """A path on the command line. The shell expands `~` in `--output ~/x`, but not in `--output=~/x`."""
    if not text:
        raise argparse.ArgumentTypeError("a path must not be empty")
    path = os.path.expanduser(text)
    if is_remote(text) or mistyped_address(text):
        raise argparse.ArgumentTypeError(f"must be a path of this machine; received {text!r}")
    if problem := length_problem(path):
        raise argparse.ArgumentTypeError(f"{problem}; name a shorter one")
    return Path(path)


def page_argument(text: str) -> Path:
    """The HTML file to write. Pages are not written to standard output, which has the path or the report."""
    if text == "-":
        raise argparse.ArgumentTypeError("a page is written to a file, not to standard output: name one")
    path = path_argument(text)
    if not path.parent.is_dir():
        problem = "is no folder" if path.parent.exists() else "does not exist: create it"
        raise argparse.ArgumentTypeError(f"the folder {path.parent} {problem}")
    return path


def run_argument(text: str) -> str:
    """A run on the command line."""
    if not text.strip():
        raise argparse.ArgumentTypeError("a run must not be empty; `bitext status CONFIG` lists them")
    return text


def path_or_stream(text: str) -> Path | None:
    """A local or remote path on the command line, or None for `-`: standard input or output."""
    return None if text == "-" else storage_path(text) if is_remote(text) else path_argument(text)


def reason_argument(text: str) -> str:
    """A reason on the command line, which is recorded and so must not be blank."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the reason must not be empty: it is recorded")
    return text


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds CONFIG, `--root` and `--set`, which `load` reads."""
    parser.add_argument(
        "config",
        nargs="?",
        type=path_argument,
        metavar="CONFIG",
        help="configuration file (default: Tatoeba English-Spanish)",
    )
    parser.add_argument(
        "--root",
        type=lambda text: text if is_remote(text) else str(path_argument(text)),
        metavar="FOLDER",
        help="the pipeline root; replaces the configuration's",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A.B=C",
        help="set a value of the configuration (repeatable)",
    )


def check_set_arguments(arguments: Sequence[str]) -> None:
    """Refuses `--set a.b 5` and `--set a={b: 5}`, the ends of which argparse would take for CONFIG.

    Raises:
      ConfigError: the argument of a `--set` has no `=`, or brackets that it does not close, and the rest of
        the value follows it.
    """
    words = list(arguments)
    for index, word in enumerate(words[:-2]):
        key, value = words[index + 1], words[index + 2]
        if word == "--":
            return
        if word != "--set" or key.startswith("-"):
            continue
        if "=" in key:
            _check_brackets(key, words[index + 2 :])
            continue
        if value == "=" and index + 3 < len(words):
            value = words[index + 3]
        value = value.removeprefix("=")
        if not value.startswith("-") and not value.endswith((".yaml", ".yml")):
            raise ConfigError(
                f"--set {key} {value}: a key and its value are one word, a.b=value",
                f"write --set {shlex.quote(f'{key}={value}')}",
            )


def _check_brackets(override: str, following: Sequence[str]) -> None:
    """Refuses a list or section that the shell divided at a blank: `--set a={b: 1}` without quotes."""
    if _depth(override) <= 0:
        return
    for count in range(1, len(following) + 1):
        whole = " ".join([override, *following[:count]])
        if _depth(whole) == 0:
            raise ConfigError(
                f"--set {whole}: the shell divides this value at its blanks",
                f"write --set {shlex.quote(whole)}",
            )


def _depth(text: str) -> int:
    """Returns the number of brackets that a text opens and does not close."""
    return sum(map(text.count, "[{")) - sum(map(text.count, "]}"))


def config_file(options: argparse.Namespace) -> Path:
    """Returns the configuration file, and records for messages what CONFIG, `--root` and `--set` are."""
    words = [str(options.config)] if options.config else []
    words += ["--root", options.root] if options.root else []
    words += [word for override in options.set for word in ("--set", override)]
    options.session.config_arguments = shlex.join(words)
    options.session.config = options.config or DEFAULT_CONFIG
    return Path(options.session.config)


def load(options: argparse.Namespace) -> PipelineConfig:
    """Loads the configuration that CONFIG, `--root` and `--set` describe."""
    from bitext.pipeline import config

    return config.load(config_file(options), options.set, options.root)


def add_wait_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--wait`."""
    parser.add_argument(
        "--wait",
        nargs="?",
        type=seconds_argument,
        const=math.inf,
        default=0.0,
        metavar="SECONDS",
        help="wait up to SECONDS for another run of this pipeline to end; without a number, without limit"
        " (default: do not wait, exit code 5)",
    )


def seconds_argument(text: str) -> float:
    """A number of seconds on the command line."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(
            f"must be a number of seconds; received {text!r} (CONFIG comes before --wait)"
        )
    return seconds


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--trust-model`."""
    parser.add_argument(
        "--trust-model",
        action="store_true",
        help="load the model even if its graph has operations that read or write files, use the network, call"
        " Python, or are unknown: it can then do what this user can (default: refuse it)",
    )


def add_json_argument(parser: argparse.ArgumentParser, contents: str = "") -> None:
    """Adds `--json`."""
    parser.add_argument("--json", action="store_true", help=f"print one JSON object{contents}")


def print_report(report: Any, render: Callable[[Any], str], as_json: bool) -> None:
    """Prints a report as JSON or as `render` formats it."""
    if as_json:
        print_output(json.dumps(report, indent=2), exact=True)
    else:
        print_output(render(report))
