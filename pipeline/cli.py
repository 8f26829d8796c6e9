"""The `bitext` command: the parser, the exit codes and the error messages."""

from __future__ import annotations

import argparse
import atexit
import difflib
import gc
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bitext.components.shared.errors import BitextError, ConfigError, exit_codes
from bitext.pipeline import streams
from bitext.pipeline.commands import (
    config,
    export,
    fetch,
    lineage,
    rollback,
    run,
    status,
    translate,
    verify,
)
from bitext.pipeline.commands import gc as gc_command
from bitext.pipeline.commands.common import Session, Terminated, describe, exit_code, print_error

RESEND_SECONDS = 0.1
"""Seconds until a discarded interruption is sent again."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns the exit code. An error is one message on standard error."""
    session = Session(streams.open_closed_streams())
    atexit.register(gc.freeze)  # skips the final garbage collection, which takes 1 s with TensorFlow
    previous = _raise_on_sigterm()
    try:
        return _run(arguments, session)
    except (BitextError, KeyboardInterrupt) as error:
        print_error(*describe(error, session), session)
        return exit_code(error)
    except BrokenPipeError as error:  # the reader (`head`) closed the pipe
        streams.discard(sys.stdout)
        if session.log_file:
            print_error(
                "the reader of standard output closed the pipe, so the run ended",
                "the same command continues where this one stopped",
                session,
            )
        return exit_code(error)
    except Exception as error:  # noqa: BLE001  (the top of the program: the traceback goes to the log)
        session.log_file = _log_traceback(error, session)
        print_error(*describe(error, session), session)
        return exit_code(error)
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
            sys.unraisablehook = sys.__unraisablehook__


def _run(arguments: Sequence[str] | None, session: Session) -> int:
    """Parses the command line, runs the command and writes out what it printed."""
    try:
        options = _parse(arguments)
    except SystemExit:  # --help, --version, or a command line that cannot be parsed
        with streams.writing_output(sys.stdout):
            sys.stdout.flush()
        raise
    options.session = session
    code: int = options.run(options)
    with streams.writing_output(sys.stdout):
        sys.stdout.flush()
    return code


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line. An unknown word is reported by the parser of its command."""
    parser = build_parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        kind = "unknown option" if unknown[0].startswith("-") else "unexpected argument"
        getattr(options, "parser", parser).error(f"{kind} {unknown[0]}")
    if not hasattr(options, "run"):
        parser.error("name a COMMAND")
    return options


def _raise_on_sigterm() -> signal._HANDLER:
    """Makes SIGTERM raise `Terminated`; returns the previous handler, None outside the main thread."""

    def handler(number: int, frame: object) -> NoReturn:
        raise Terminated

    try:
        previous = signal.signal(signal.SIGTERM, handler)
    except ValueError:  # not the main thread: the surrounding program handles signals
        return None
    sys.unraisablehook = _interrupt_again
    return previous


def _interrupt_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Sends an interruption again that Python has discarded.

    Python discards an exception that a signal handler raises in a finalizer or in the callback of a weak
    reference. The signal is sent from a thread, a moment later, so that it arrives in other code.
    """
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    number = signal.SIGTERM if issubclass(unraisable.exc_type, Terminated) else signal.SIGINT
    threading.Timer(RESEND_SECONDS, os.kill, (os.getpid(), number)).start()


def _log_traceback(error: Exception, session: Session) -> Path:
    """Writes the traceback to the log of the run, or to a new temporary file, and returns the path."""
    if path := session.existing_log:
        innermost = "".join(traceback.format_exception(error)[-2:])
        if innermost not in path.read_text(encoding="utf-8", errors="replace"):
            with path.open("a", encoding="utf-8") as log:
                traceback.print_exception(error, file=log)
        return path
    with tempfile.NamedTemporaryFile(
        "w", prefix="bitext-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    return Path(file.name)


class _Parser(argparse.ArgumentParser):
    """Reports an invalid command line in the format of all errors: a message, what to do, exit code 2."""

    def error(self, message: str) -> NoReturn:
        self._refuse(message, f"{self.prog} --help")

    def _refuse(self, message: str, remedy: str) -> NoReturn:
        streams.print_message(f"error: {message}")
        streams.print_message(f"what to do: {remedy}")
        sys.exit(ConfigError.exit_code)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Refuses a value that is not one of the action's choices, and names the most similar choice."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        if isinstance(action.choices, dict):  # the commands
            message = f"there is no command {value!r}; the commands are {', '.join(choices)}"
        else:
            name = "/".join(action.option_strings) or action.metavar or action.dest
            message = f"argument {name}: must be {' or '.join(choices)}; received {value!r}"
        similar = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"did you mean {similar[0]}? " if similar else ""
        self._refuse(message, f"{hint}{self.prog} --help")


class _Version(argparse.Action):
    """Prints the version. It is looked up only for `--version`."""

    def __init__(self, option_strings: list[str], dest: str, help: str):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"bitext {version('bitext')}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(
        prog="bitext",
        description="Trains translation models from parallel text and publishes those that pass evaluation.",
        epilog=_exit_codes_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in (run, config, status, lineage, rollback, gc_command, verify, export, fetch, translate):
        command.add_to(commands)
    return parser


def _exit_codes_help() -> str:
    return "\n".join(["exit codes:", *(f"  {row.code:<4} {row.meaning}" for row in exit_codes())])
