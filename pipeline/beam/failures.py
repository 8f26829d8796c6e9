"""Errors of Beam and of Beam functions, without Beam's wrapping."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import logging
import re
from collections.abc import Iterator

from bitext.components.shared import errors
from bitext.components.shared.errors import NOTE, BitextError, DataError, EnvironmentFault, from_json
from bitext.pipeline.beam.engine import Engine
from bitext.pipeline.beam.installation import INSTALL, installation_fault

WHILE_RUNNING = " [while running '"
"""Beam adds this and the name of the step to the message of an error in a Beam function."""
_LONGEST_MESSAGE = 500
"""The most characters of an engine's message that are shown. The log has the whole message."""
_OWN_ERROR = re.compile(
    rf"^{re.escape(errors.__name__)}\.(\w+): (.*?)(?= \[while running '|\n\n(?:During|The above) |\Z)",
    re.DOTALL | re.MULTILINE,
)
"""An error of this program in the traceback that an engine returns as text."""
_FAILED_STEP = re.compile(rf"^(\S.*{re.escape(WHILE_RUNNING)}[^']*'.*)$", re.MULTILINE)
"""The last line of the traceback of an error in a Beam function."""
_UNLIKE_MODULE = re.compile(
    r"(?:AttributeError: (?:Can't get attribute '[^']*' on <module |module )"
    r"|ImportError: cannot import name '\w+' from )'(bitext[\w.]*)'"
)
"""A worker's module of bitext lacks a name: what unpickling or an import says."""
_MISSING_MODULE = re.compile(r"\bModuleNotFoundError: No module named '([\w.]+)'")


@contextlib.contextmanager
def reporting_engine_failure(engine: Engine) -> Iterator[None]:
    """Context manager: re-raises the failure of a Beam engine as an EnvironmentFault that names the engine.

    The same error is raised again that a component raised in a Beam function.

    Raises:
      EnvironmentFault: the engine failed, or a worker lacks a package or has another version of it.
      BitextError: a Beam function raised it.
      RuntimeError: a Beam function raised another error; the traceback of the worker is in its cause.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, BitextError):
            raise
        text = text_of(error)
        if own := installation_fault(text) or carried_error(text) or missing_package(text, engine):
            raise own from error
        if failed_steps := _FAILED_STEP.findall(text):
            raise RuntimeError(failed_steps[-1]) from error
        message = " ".join(_summary(text).split()) or "it does not answer"
        raise EnvironmentFault(
            f"Beam's {engine.name} failed: {type(error).__name__}: {message[:_LONGEST_MESSAGE]}",
            f"check that it is running and reachable (see `beam`); the cause is in {engine.logs}",
        ) from error


def _summary(text: str) -> str:
    """Returns the message of a failure: of a traceback, the last lines that are not indented."""
    _, is_traceback, after = text.rpartition("Traceback (most recent call last):")
    if not is_traceback:
        return text
    lines = [line for line in after.splitlines() if line.strip()]
    message = itertools.dropwhile(lambda line: line.startswith(" "), lines)
    return "\n".join(message) or text


def text_of(error: BaseException) -> str:
    """Returns the text of an error; of a gRPC error, what the other side said."""
    details = getattr(error, "details", None)
    return str(details()) if callable(details) else str(error)


def carried_error(text: str) -> BitextError | None:
    """Returns the error of this program in the traceback that an engine returns as text, or None.

    There may be several: causes, copies that Beam made with ` [while running '<step>']` in the message, and
    those of other bundles. The last original is the one that ended the job.
    """
    found = [error for part in text.split(NOTE)[1:] if (error := from_json(part))]
    originals = [error for error in found if WHILE_RUNNING not in str(error)]
    if originals:
        return originals[-1]
    if matches := _OWN_ERROR.findall(text):  # the note was cut off
        name, message = matches[-1]
        kind = getattr(errors, name, BitextError)
        return (DataError if kind is errors.MissingFileError else kind)(message)
    return None


def missing_package(text: str, engine: Engine) -> EnvironmentFault | None:
    """Returns the error about a module that a worker lacks and this process has, or None."""
    if unlike := _UNLIKE_MODULE.findall(text):
        return EnvironmentFault(
            f"a worker of Beam's {engine.name} has another version of bitext: its module {unlike[-1]}"
            " differs",
            INSTALL,
        )
    if not (matches := _MISSING_MODULE.findall(text)):
        return None
    name = matches[-1]
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        return None
    return EnvironmentFault(
        f"a worker of Beam's {engine.name} cannot import {name}, which is installed here", INSTALL
    )


@contextlib.contextmanager
def errors_unwrapped() -> Iterator[None]:
    """Context manager: re-raises a BitextError or interrupt of a Beam function without Beam's wrapping.

    It also turns off Beam's log of the same error.
    """
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    try:
        yield
    except Exception as error:
        if own := raised_in_beam(error):
            raise own from error
        raise


def raised_in_beam(error: BaseException) -> BitextError | KeyboardInterrupt | None:
    """Returns the BitextError or interrupt that Beam wrapped, or None.

    Beam raises a copy of it, or a RuntimeError, with the message and ` [while running '<step>']`. The copy
    lacks the remedy, and has the original as its cause.
    """
    cause: BaseException | None = error
    while cause is not None and WHILE_RUNNING in str(cause):
        cause = cause.__cause__ or cause.__context__
    return cause if cause is not error and isinstance(cause, BitextError | KeyboardInterrupt) else None
