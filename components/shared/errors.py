"""Errors that a person can act on, and the exit codes of the `bitext` command."""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import ClassVar

REFUSED = 4
"""The exit code of a complete run whose model was refused. This is not an error."""


class Action(enum.StrEnum):
    """What a scheduler should do after the command ended."""

    CONTINUE = "continue"
    RETRY = "try again later"
    STOP = "do not try again; a person must act"


@dataclasses.dataclass(frozen=True)
class ExitCode:
    """One exit code.

    Attributes:
      code: the number.
      meaning: what happened.
      action: what a scheduler should do.
    """

    code: int
    meaning: str
    action: Action


NOTE = "bitext-error: "
"""Begins the note that carries an error as text."""


class Notes:
    """Whether each new error gets a note that carries it as text: on the workers of a Beam engine.

    An engine returns the traceback of a worker's error as text. The note, a line of JSON, is part of it, so
    the caller can raise the same error again.
    """

    are_added: ClassVar[bool] = False


class BitextError(Exception):
    """Base of the errors that are reported without a traceback.

    `str(error)` says what is wrong and where. A subclass sets its own attributes, numbers or strings, before
    it calls this constructor.

    Attributes:
      remedy: what to do next; empty: unknown.
      exit_code: the exit code of the process.
      meaning: what the exit code means.
      action: what a scheduler should do.
    """

    exit_code: ClassVar[int] = 1
    meaning: ClassVar[str] = "unexpected error; the traceback is in the log file that is named"
    action: ClassVar[Action] = Action.RETRY

    def __init__(self, message: str, remedy: str = ""):
        super().__init__(message)
        self.remedy = remedy
        if Notes.are_added:
            self.add_note(NOTE + as_json(self))


class ConfigError(BitextError):
    """The configuration or the command line is invalid."""

    exit_code = 2
    meaning = "invalid configuration or command line"
    action = Action.STOP


class DataError(BitextError):
    """The data is missing, malformed, or violates the schema."""

    exit_code = 3
    meaning = "data that is missing, damaged, or violates the schema"
    action = Action.STOP


class MissingFileError(DataError):
    """No file has a path of the configuration, or matches a pattern of it.

    Attributes:
      pattern: the path or pattern.
    """

    def __init__(self, message: str, remedy: str, pattern: str):
        self.pattern = pattern
        super().__init__(message, remedy)


class LockedError(BitextError):
    """Another run of the same pipeline, or into the same output, is in progress."""

    exit_code = 5
    meaning = "another run of the same pipeline, or into the same output, is in progress"


class EnvironmentFault(BitextError):
    """The machine or its network fails: disk full, read-only folder, no network."""

    exit_code = 6
    meaning = "environment error (disk full, read-only folder, no network)"


class TrainingError(BitextError):
    """The training diverged: the loss is not finite, or ten times that of chance."""

    exit_code = 7
    meaning = "training diverged: the loss is not finite, or ten times that of chance"
    action = Action.STOP


def as_json(error: BitextError) -> str:
    """Returns an error as one line of JSON. Its types are named from its own to `BitextError`."""
    types = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, BitextError)]
    fields = {name: value for name, value in vars(error).items() if not name.startswith("_")}
    return json.dumps({"types": types, "message": str(error), "fields": fields}, default=str)


def from_json(text: str) -> BitextError | None:
    """Returns the error at the start of `text`, which `as_json` wrote; None if it is damaged.

    The text is not trusted: it chooses one of the loaded subclasses of `BitextError`, and gives it strings
    and numbers. An unknown type becomes its nearest known base.
    """
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
        types, message, fields = value["types"], value["message"], value["fields"]
        kinds = _kinds()
        kind = next((kinds[name] for name in types if name in kinds), BitextError)
        error = kind.__new__(kind)
        Exception.__init__(error, str(message))
        own = {k: v for k, v in fields.items() if k.isidentifier() and not hasattr(kind, k)}
        plain = {k: v for k, v in own.items() if isinstance(v, str | int | float | bool | None)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    error.__dict__.update({"remedy": "", **plain})
    error.remedy = str(error.remedy)
    return error


def _kinds() -> dict[str, type[BitextError]]:
    """The loaded error types by name."""
    kinds, pending = {}, [BitextError]
    while pending:
        kind = pending.pop()
        kinds[kind.__name__] = kind
        pending += kind.__subclasses__()
    return kinds


INTERRUPTED = ExitCode(130, "interrupted (Ctrl-C); the same command continues", Action.RETRY)
TERMINATED = ExitCode(143, "terminated (SIGTERM); the same command continues", Action.RETRY)


def exit_codes() -> tuple[ExitCode, ...]:
    """Returns all exit codes of the command in ascending order, for `bitext --help` and the documentation."""
    errors = (BitextError, ConfigError, DataError, LockedError, EnvironmentFault, TrainingError)
    rows = [ExitCode(error.exit_code, error.meaning, error.action) for error in errors]
    outcomes = [
        ExitCode(0, "success", Action.CONTINUE),
        ExitCode(
            REFUSED, "complete, but the model was refused: not pushed, or not exported", Action.CONTINUE
        ),
        INTERRUPTED,
        TERMINATED,
    ]
    return tuple(sorted(rows + outcomes, key=lambda row: row.code))
