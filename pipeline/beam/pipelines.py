"""Creates the Beam pipelines of components: in this process, or on another engine."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.beam.failures import reporting_engine_failure

if TYPE_CHECKING:
    import apache_beam

LOCAL = "DirectRunner"
"""The name of the runner inside this process."""
QUIET_SECONDS = 10.0
"""Seconds that a pipeline runs on another engine before a line announces the wait."""


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
