"""Beam's runners and options, and wrapped errors. No other module knows them."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bitext.components.shared import errors
from bitext.components.shared.errors import BitextError, ConfigError, EnvironmentFault

if TYPE_CHECKING:
    import apache_beam

LOCAL = "DirectRunner"
"""The name of the runner inside this process."""
QUIET_SECONDS = 10.0
"""Seconds that a pipeline runs on another engine before a line announces the wait."""
_LONGEST_MESSAGE = 500
"""The most characters of an engine's message that are shown. The log has the whole message."""
_OWN_ERROR = re.compile(
    rf"^{re.escape(errors.__name__)}\.(\w+): (.*?)(?= \[while running '|\n\n(?:During|The above) |\Z)",
    re.DOTALL | re.MULTILINE,
)
"""An error of this program in the traceback that an engine returns as text."""


def pipeline_factory(
    runner: str = LOCAL, options: Sequence[str] = (), say: Callable[[str], None] = print
) -> Callable[[], apache_beam.Pipeline]:
    """Returns a function that creates the Beam pipeline for components. It imports Beam when it is called.

    `DirectRunner` is the Fn API runner inside this process. By that name Beam itself would try Prism first,
    a binary that it downloads. The Fn API runner needs no download, and its errors carry the traceback of
    the worker that failed.

    Args:
      runner: the name of a Beam runner.
      options: flags for Beam, `--name=value` each.
      say: prints a line if another engine runs for long.
    """
    if runner == LOCAL:
        return lambda: _local_pipeline(options)
    return lambda: _remote_pipeline(runner, options, say)


def _local_pipeline(options: Sequence[str]) -> apache_beam.Pipeline:
    import apache_beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    flags = PipelineOptions([*options, "--direct_running_mode=in_memory"])
    return apache_beam.Pipeline(runner=FnApiRunner(), options=flags)


def _remote_pipeline(runner: str, options: Sequence[str], say: Callable[[str], None]) -> apache_beam.Pipeline:
    import apache_beam
    from apache_beam.options.pipeline_options import PipelineOptions

    engine = engine_name(runner, options)

    class RemotePipeline(apache_beam.Pipeline):  # type: ignore[misc]  # Beam is untyped
        """A pipeline whose `run` waits for the engine and names the engine in errors."""

        def run(self, *args: Any, **kwargs: Any) -> Any:
            with _announcing_wait(engine, say), reporting_engine_failure(engine):
                result = super().run(*args, **kwargs)
                result.wait_until_finish()
                return result

    try:
        return RemotePipeline(options=PipelineOptions([f"--runner={runner}", *options]))
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"beam.runner {runner}: {error}",
            "correct beam.runner and beam.options, or install the runner's package",
        ) from error


def engine_name(runner: str, options: Sequence[str]) -> str:
    """Returns the runner's name, with its address if an option gives it."""
    for option in options:
        name, _, value = option.partition("=")
        if name in ("--job_endpoint", "--flink_master", "--spark_master_url") and value:
            return f"{runner} at {value}"
    return runner


@contextlib.contextmanager
def _announcing_wait(engine: str, say: Callable[[str], None]) -> Iterator[None]:
    """Context manager: prints a line if it takes longer than `QUIET_SECONDS`."""
    line = f"waiting for Beam's {engine}; its own log and web page show its progress"
    timer = threading.Timer(QUIET_SECONDS, say, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


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
