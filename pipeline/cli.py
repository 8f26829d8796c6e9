"""The `bitext` command: the parser, the exit codes and the error messages."""

from __future__ import annotations

import argparse
import atexit
import gc
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bitext.components.shared.errors import BitextError, ConfigError, exit_codes
from bitext.components.shared.path_lengths import too_long_error
from bitext.components.shared.storage import network_fault
from bitext.components.shared.suggestions import similar
from bitext.pipeline import streams
from bitext.pipeline.commands import (
    common,
    compare,
    completion,
    config,
    doctor,
    evaluate,
    export,
    fetch,
    history,
    init,
    inspect,
    lineage,
    rejects,
    report,
    rollback,
    run,
    score,
    serve,
    show,
    status,
    train_worker,
    translate,
    tune,
    verify,
)
from bitext.pipeline.commands import gc as gc_command
from bitext.pipeline.commands.common import Session, describe, exit_code, print_error
from bitext.pipeline.interruptions import Interruptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns the exit code. An error is one message on standard error."""
    session = Session(streams.open_closed_streams())
    atexit.register(gc.freeze)  # skips the final garbage collection, which takes 1 s with TensorFlow
    with Interruptions() as interruptions:
        try:
            return _run_and_report(arguments, session, interruptions)
        except KeyboardInterrupt as error:
            interruptions.ignore()
            print_error(*describe(error, session), session)
            return exit_code(error)


def _run_and_report(arguments: Sequence[str] | None, session: Session, interruptions: Interruptions) -> int:
    """Runs the command, reports an error, and returns the exit code. An interruption is raised."""
    try:
        return _run(arguments, session)
    except BrokenPipeError as error:  # the reader (`head`) closed the pipe
        interruptions.ignore()
        streams.discard(sys.stdout)
        if session.log_file:
            print_error(
                "the reader of standard output closed the pipe, so the run ended",
                "the same command continues where this one stopped",
                session,
            )
            return exit_code(error)
        return 0
    except Exception as error:  # noqa: BLE001  (the top of the program: the traceback goes to the log)
        interruptions.ignore()
        known = error if isinstance(error, BitextError) else too_long_error(error) or network_fault(error)
        if known is None:
            interruptions.raise_again()
            session.log_file = _log_traceback(error, session)
        print_error(*describe(known or error, session), session)
        return exit_code(known or error)


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
    arguments = sys.argv[1:] if arguments is None else arguments
    common.check_set_arguments(arguments)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        kind = "unknown option" if unknown[0].startswith("-") else "unexpected argument"
        getattr(options, "parser", parser).error(f"{kind} {unknown[0]}")
    if not hasattr(options, "run"):
        parser.error("name a COMMAND")
    return options


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
        meant = similar(str(value), choices)
        hint = f"did you mean {meant}? " if meant else ""
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
    parser.set_defaults(whole_parser=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in (
        init,
        inspect,
        run,
        tune,
        train_worker,
        config,
        status,
        history,
        compare,
        rejects,
        show,
        report,
        lineage,
        rollback,
        gc_command,
        verify,
        doctor,
        export,
        fetch,
        translate,
        evaluate,
        score,
        serve,
        completion,
    ):
        command.add_to(commands)
    return parser


def _exit_codes_help() -> str:
    return "\n".join(["exit codes:", *(f"  {row.code:<4} {row.meaning}" for row in exit_codes())])
