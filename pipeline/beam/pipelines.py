"""Creates the Beam pipelines of components: in this process, or on another engine."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bitext.components.shared.errors import ConfigError, Notes
from bitext.pipeline.beam import job_service
from bitext.pipeline.beam.engine import Engine
from bitext.pipeline.beam.failures import reporting_engine_failure
from bitext.pipeline.beam.installation import add_check
from bitext.pipeline.beam.job import Job, Watch, signal_handlers_kept
from bitext.pipeline.waiting import announced_after

if TYPE_CHECKING:
    import apache_beam

LOCAL = "DirectRunner"
"""The name of the runner inside this process."""
ANSWER_SECONDS = 60.0
"""The longest wait for a job service to answer."""
QUIET_SECONDS = 30.0
"""Seconds without an answer of an engine before a line announces the wait."""


def pipeline_factory(
    runner: str = LOCAL, options: Sequence[str] = (), watch: Watch | None = None
) -> Callable[[], apache_beam.Pipeline]:
    """Returns a function that creates the Beam pipeline for components. It imports Beam when it is called.

    `DirectRunner` is the Fn API runner inside this process. By that name Beam itself would try Prism first,
    a binary that it downloads. The Fn API runner needs no download, and its errors carry the traceback of
    the worker that failed.

    Args:
      runner: the name of a Beam runner.
      options: flags for Beam, `--name=value` each.
      watch: how jobs on another engine are watched; None: by default.
    """
    if runner == LOCAL:
        return lambda: _local_pipeline(options)
    return lambda: _remote_pipeline(runner, options, watch or Watch())


def _local_pipeline(options: Sequence[str]) -> apache_beam.Pipeline:
    import apache_beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    flags = PipelineOptions([*options, "--direct_running_mode=in_memory"])
    return apache_beam.Pipeline(runner=FnApiRunner(), options=flags)


def _remote_pipeline(runner: str, options: Sequence[str], watch: Watch) -> apache_beam.Pipeline:
    import apache_beam
    from apache_beam.options.pipeline_options import PipelineOptions

    engine, job = Engine.of(runner, options), Job(Engine.of(runner, options), watch)

    class RemotePipeline(apache_beam.Pipeline):  # type: ignore[misc]  # Beam is untyped
        """A pipeline whose `run` waits for the engine and names the engine in errors."""

        def run(self, *args: Any, **kwargs: Any) -> Any:
            with reporting_engine_failure(engine), _notes_off_at_the_end():
                _add_checks(self)
                with _announcing_wait(engine, watch.say), signal_handlers_kept(), _canceling(job):
                    if engine.endpoint:  # Beam itself waits for minutes
                        job_service.connect(engine.endpoint, ANSWER_SECONDS)
                    result = super().run(*args, **kwargs)
                job.wait(result)
                return result

    others = [option for option in options if not option.startswith("--job_name=")]
    try:
        pipeline = RemotePipeline(
            options=PipelineOptions([f"--runner={runner}", f"--job_name={job.name}", *others])
        )
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"beam.runner {runner}: {error}",
            "correct beam.runner and beam.options, or install the runner's package",
        ) from error
    _observe(pipeline.runner, job)
    return pipeline


def job_name(*parts: str) -> str:
    """Returns the name of a job: the parts, in the letters that all engines allow."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def _observe(runner: Any, job: Job) -> None:
    """Makes a portable runner report to `job` what it sends to its job service. Others do not change."""
    from apache_beam.runners.portability.portable_runner import PortableRunner

    if not isinstance(runner, PortableRunner):
        return
    create = runner.create_job_service_handle
    runner.create_job_service_handle = lambda service, options: create(job.observed(service), options)


def _add_checks(pipeline: apache_beam.Pipeline) -> None:
    """Adds the check of a worker's installation to each DoFn and CombineFn."""
    from apache_beam.pipeline import PipelineVisitor

    class Adding(PipelineVisitor):  # type: ignore[misc]  # Beam is untyped
        """Visits each step."""

        def visit_transform(self, step: Any) -> None:
            """Adds the check to the function of a step that has one."""
            function = getattr(step.transform, "fn", None)
            if isinstance(function, apache_beam.DoFn | apache_beam.CombineFn):
                add_check(function)

        def enter_composite_transform(self, step: Any) -> None:
            """Adds the check to the function of a composite step, as a combination is."""
            self.visit_transform(step)

    import apache_beam

    pipeline.visit(Adding())


@contextlib.contextmanager
def _notes_off_at_the_end() -> Iterator[None]:
    """Context manager: with `--environment_type=LOOPBACK`, the check has turned notes on in this process."""
    try:
        yield
    finally:
        Notes.are_added = False


@contextlib.contextmanager
def _canceling(job: Job) -> Iterator[None]:
    """Context manager: cancels a job if its submission is interrupted or fails."""
    try:
        yield
    except BaseException:
        job.cancel()
        raise


def _announcing_wait(engine: Engine, say: Callable[[str], None]) -> contextlib.AbstractContextManager[None]:
    """Context manager: prints a line if an engine does not take a job for `QUIET_SECONDS`."""
    line = f"waiting for Beam's {engine.name} to take the job; the cause may be in {engine.logs}"
    return announced_after(QUIET_SECONDS, say, line)
