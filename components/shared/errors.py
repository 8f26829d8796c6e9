"""Errors a person can act on. Each names the thing, says what to do, and carries the process's exit code."""

from __future__ import annotations


class BitextError(Exception):
    """Base. `str(error)` is the message, `remedy` what to do next, `exit_code` how the process ends."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = ""):
        super().__init__(message)
        self.remedy = remedy


class ConfigError(BitextError):
    """The configuration or the command line cannot be used."""

    exit_code = 2


class DataError(BitextError):
    """The data is missing, malformed, or violates the schema."""

    exit_code = 3


class NotBlessedError(BitextError):
    """The run is complete, and its model was refused; nothing was pushed."""

    exit_code = 4


class LockedError(BitextError):
    """Another run of the same pipeline, or into the same output, is under way."""

    exit_code = 5


class EnvironmentFault(BitextError):
    """The machine is in the way: a full disk, a read-only folder, a missing network."""

    exit_code = 6


class TrainingError(BitextError):
    """Training cannot go on: a loss that is not finite."""

    exit_code = 7
