"""Errors that a person can act on, and the exit codes of the `bitext` command."""

from __future__ import annotations

import dataclasses
import enum
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


class BitextError(Exception):
    """Base of the errors that are reported without a traceback.

    `str(error)` says what is wrong and where.

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
        super().__init__(message, remedy)
        self.pattern = pattern


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
