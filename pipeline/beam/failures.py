"""Errors of Beam and of Beam functions, without Beam's wrapping."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

from bitext.components.shared import errors
from bitext.components.shared.errors import BitextError, EnvironmentFault

_LONGEST_MESSAGE = 500
"""The most characters of an engine's message that are shown. The log has the whole message."""
_OWN_ERROR = re.compile(
    rf"^{re.escape(errors.__name__)}\.(\w+): (.*?)(?= \[while running '|\n\n(?:During|The above) |\Z)",
    re.DOTALL | re.MULTILINE,
)
"""An error of this program in the traceback that an engine returns as text."""


@contextlib.contextmanager
def reporting_engine_failure(engine: str) -> Iterator[None]:
    """Context manager: re-raises the failure of a Beam engine as an EnvironmentFault that names the engine.

    A BitextError that a Beam function raised is re-raised with its type and message, without its remedy.
    Other errors of Beam functions are not changed: their text has the traceback.

    Raises:
      EnvironmentFault: the engine failed.
      BitextError: a Beam function raised it.
    """
    try:
        yield
    except Exception as error:
        text = str(error)
        if matches := _OWN_ERROR.findall(text):
            name, message = matches[-1]
            raise getattr(errors, name, BitextError)(message) from error
        if isinstance(error, BitextError) or "[while running '" in text:
            raise
        details = getattr(error, "details", None)  # of a gRPC error
        message = " ".join((str(details()) if callable(details) else text).split()) or "it does not answer"
        raise EnvironmentFault(
            f"Beam's {engine} failed: {type(error).__name__}: {message[:_LONGEST_MESSAGE]}",
            "check that it is running and reachable (see `beam`); its own log, that of the job server and the"
            " workers, has the cause",
        ) from error


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
    while cause is not None and "[while running '" in str(cause):
        cause = cause.__cause__ or cause.__context__
    return cause if cause is not error and isinstance(cause, BitextError | KeyboardInterrupt) else None
