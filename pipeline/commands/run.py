"""`bitext run`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from bitext.components.shared import storage
from bitext.components.shared.errors import REFUSED, BitextError, EnvironmentFault, LockedError
from bitext.pipeline.commands import common
from bitext.pipeline.records import Stopwatch
from bitext.pipeline.streams import print_message, print_output

if TYPE_CHECKING:
    import apache_beam

    from bitext.pipeline.config import PipelineConfig
    from bitext.pipeline.graph import Pipeline
    from bitext.pipeline.layout import Layout
    from bitext.pipeline.live import LiveFile
    from bitext.pipeline.plan import Selection
    from bitext.pipeline.reports.outcome import Outcome
    from bitext.pipeline.reports.refusal import Refusal
    from bitext.pipeline.terminal import Terminal


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "run",
        run,
        "run the pipeline; nodes whose inputs did not change are cached",
        "bitext run my.yaml",
        "bitext run my.yaml --set trainer.steps=9000 --from Trainer",
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--from", dest="first", metavar="NODE", help="start at this node, with the newest outputs before it"
    )
    parser.add_argument("--to", dest="last", metavar="NODE", help="stop after this node")
    parser.add_argument(
        "--force",
        action="append",
        default=[],
        metavar="NODE",
        help="run this node even if it is cached (repeatable)",
    )
    parser.add_argument(
        "--explain-cache", action="store_true", help="run, and print for every node why it is cached or not"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--quiet", action="store_true", help="print warnings, the result and errors only; the log has all"
    )
    output.add_argument(
        "--log-format",
        choices=("human", "json"),
        default="human",
        help="format of standard output: human, or json for one JSON object per event (default: %(default)s)",
    )
    common.add_wait_argument(parser)
    parser.add_argument(
        "--force-bless",
        type=common.reason_argument,
        metavar="REASON",
        help="bless the model whatever its scores; the reason is recorded with the verdict",
    )


def run(options: argparse.Namespace) -> int:
    """Runs the pipeline and returns the exit code."""
    from bitext.components.shared.parallel import share_cores
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries()
    share_cores()
    session: common.Session = options.session
    with contextlib.ExitStack() as stack:
        terminal = _terminal(options, stack)
        progress = stack.enter_context(_reporting_the_end(options, terminal, session))
        config = progress.config = common.load(options)
        from bitext.pipeline import root_owner
        from bitext.pipeline.beam import LOCAL
        from bitext.pipeline.graph import create_pipeline
        from bitext.pipeline.layout import Layout
        from bitext.pipeline.opening import check_no_other_root_pushes, open_store
        from bitext.pipeline.reports.refusal import refusal
        from bitext.pipeline.reports.run_page.settings import record_of_run
        from bitext.pipeline.reports.summary import summarize
        from bitext.pipeline.runner import Runner
        from bitext.pipeline.store import Store

        pipeline, layout = create_pipeline(config), Layout.of(config)
        config_file = options.config or common.DEFAULT_CONFIG
        root_owner.check(config, config_file, layout)
        selection = _selection(options, pipeline)
        is_owner_checked = _check_owner(config, pipeline, selection, terminal.say_of_run)

        def open_own_store() -> Store:
            store = open_store(config, layout, terminal.say_of_run)
            root_owner.record(config_file, layout)
            record_of_run(config, _command(options), layout, runner.log_file.stem)
            if is_owner_checked:
                check_no_other_root_pushes(config, layout, store)
            return store

        beam_pipeline, end_orphans = _beam(config, layout, terminal, lambda: runner.live)
        runner = Runner(
            pipeline,
            layout,
            open_own_store,
            beam_pipeline,
            terminal,
            config.verify_inputs,
            config.beam.runner != LOCAL,
            end_orphans,
        )
        session.log_file = runner.log_file
        result = runner.run(selection, options.wait)
        if options.log_format == "human":
            print_output("" if options.quiet else "\n", end="")
            print_output(f"{summarize(result, config.serving)}")
        refused = progress.refusal = refusal(result)
    if refused is not None:
        common.print_error(refused.message, refused.remedy, session)
        return REFUSED
    return 0


def _terminal(options: argparse.Namespace, stack: contextlib.ExitStack) -> Terminal:
    """Returns what prints the progress of the run."""
    from bitext.pipeline.terminal import JsonLines, Quiet, Terminal

    if options.log_format != "json":
        return Quiet() if options.quiet else Terminal()
    options.session.require_output()
    terminal = JsonLines(sys.stdout)
    stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # where libraries print
    return terminal


def _beam(
    config: PipelineConfig, layout: Layout, terminal: Terminal, live: Callable[[], LiveFile]
) -> tuple[Callable[[], apache_beam.Pipeline], Callable[[], None]]:
    """Returns a function that creates Beam pipelines, and one that ends what killed runs left on engines.

    Args:
      config: the configuration.
      layout: the pipeline root.
      terminal: prints the states of jobs.
      live: returns the file that says how far the run is.
    """
    from bitext.pipeline.beam import JobRecords, Watch, job_name, pipeline_factory

    watch = Watch(
        say=terminal.say,
        show=lambda state: live().show_engine(state),
        records=JobRecords(layout.jobs),
        job_name=lambda: job_name("bitext", config.name, live().run_id, live().node, token_hex(2)),
        stall_timeout=config.beam.stall_timeout,
    )
    create = pipeline_factory(config.beam.runner, config.beam.options, watch)
    return create, lambda: watch.records.end_orphans(terminal.say_of_run)


def _command(options: argparse.Namespace) -> list[str]:
    """Returns the command line that repeats the run, in words."""
    words = ["bitext", "run", *shlex.split(options.session.config_arguments or "")]
    words += ["--from", options.first] if options.first else []
    words += ["--to", options.last] if options.last else []
    words += [word for node in options.force for word in ("--force", node)]
    words += ["--force-bless", options.force_bless] if options.force_bless else []
    return words


def _selection(options: argparse.Namespace, pipeline: Pipeline) -> Selection:
    """Returns the nodes that the options select."""
    from bitext.pipeline.plan import Selection

    return Selection(
        options.first, options.last, frozenset(options.force), options.explain_cache, options.force_bless
    ).named(pipeline)


def _check_owner(
    config: PipelineConfig, pipeline: Pipeline, selection: Selection, say: Callable[[str], None]
) -> bool:
    """Checks that no other pipeline owns the serving folder; returns whether that had to be checked.

    Raises:
      ConfigError: another pipeline owns it.
    """
    from bitext.components.pusher.serving import TAKE_OVER_REMEDY, check_owner
    from bitext.pipeline.lease import announced

    if config.pusher.take_over or not _pushes(selection, pipeline):
        return False
    with announced(config.serving, say) if storage.is_remote(config.serving) else contextlib.nullcontext():
        check_owner(storage.path(config.serving), config.name, TAKE_OVER_REMEDY)
    return True


def _pushes(selection: Selection, pipeline: Pipeline) -> bool:
    """Whether a node that may publish a model runs."""
    from bitext.components.artifacts import PushedModel

    may_run = selection.nodes_of(pipeline)
    return any(
        may_run.get(node.name, False) and PushedModel in node.component.outputs.values()
        for node in pipeline.nodes
    )


@dataclasses.dataclass
class _Progress:
    """What is known of a run at its end, even if it fails early.

    Attributes:
      stopwatch: runs since the command started.
      config: the configuration; None: it could not be loaded.
      refusal: why the model was refused; None: it was not.
    """

    stopwatch: Stopwatch
    config: PipelineConfig | None = None
    refusal: Refusal | None = None


@contextlib.contextmanager
def _reporting_the_end(
    options: argparse.Namespace, terminal: Terminal, session: common.Session
) -> Iterator[_Progress]:
    """Context manager: reports the end of the run to monitoring; an exception is re-raised."""
    progress = _Progress(Stopwatch())
    try:
        yield progress
    except BaseException as error:
        with contextlib.suppress(EnvironmentFault):  # `error` gives the exit code
            _report_end(options, terminal, session, progress, error)
        raise
    _report_end(options, terminal, session, progress, None)


def _report_end(
    options: argparse.Namespace,
    terminal: Terminal,
    session: common.Session,
    progress: _Progress,
    error: BaseException | None,
) -> None:
    """Writes the metrics textfile and the last JSON line. A failure here is a warning only."""
    config, outcome, exit_code = progress.config, None, common.exit_code(error)
    if progress.refusal:
        exit_code = REFUSED
    textfile = config.metrics.textfile if config else ""
    if isinstance(error, LockedError):  # the textfile belongs to the run that holds the lock
        textfile = ""
    if config and terminal.run_id:
        _write_page(config, terminal, session)
        _tell_workers(config, error)
    if config and terminal.run_id and (textfile or options.log_format == "json"):
        outcome = _outcome(config, terminal.run_id)
    if outcome and outcome.run.finished:
        started, ended, seconds = outcome.run.started, outcome.run.finished, outcome.run.seconds
    else:
        started, ended, seconds = progress.stopwatch.started, time.time(), progress.stopwatch.seconds
    if config and textfile:
        from bitext.pipeline.reports import openmetrics

        try:
            openmetrics.write(
                Path(textfile), openmetrics.Ending(config.name, exit_code, started, ended, seconds, outcome)
            )
        except OSError as fault:
            print_message(f"warning: metrics.textfile {textfile} cannot be written: {fault.strerror}")
    message, remedy = "complete", ""
    if error is not None:
        message, remedy = common.describe(error, session)
    elif progress.refusal is not None:
        message, remedy = progress.refusal.message, progress.refusal.remedy
    terminal.run_ended(
        "run_finished" if error is None else "run_failed",
        message,
        state=outcome.run.state if outcome else None,
        exit_code=exit_code,
        seconds=round(seconds, 3),
        bleu=outcome.last("ModelEvaluation", "bleu") if outcome else None,
        blessed=outcome.blessed if outcome else None,
        pushed_version=outcome.last("PushedModel", "version") if outcome else None,
        pushed_path=outcome.pushed_path if outcome else None,
        error=message if exit_code else None,
        remedy=remedy or None,
        log=str(session.existing_log) if session.existing_log else None,
        report=str(session.report) if session.report else None,
    )
    if session.report and options.log_format == "human" and exit_code == 0:
        print_output(f"Report      {session.report}")


def _tell_workers(config: PipelineConfig, error: BaseException | None) -> None:
    """Tells the workers of a distributed training that the run has ended, which may not have trained."""
    if config.trainer.distribute.workers == 1:
        return
    from bitext.components.trainer import job
    from bitext.pipeline.layout import Layout

    try:
        job.end(Layout.of(config).job_file, job.ending_after(error))
    except (BitextError, OSError) as fault:
        print_message(f"warning: the workers are not told that the run has ended: {fault}")


def _write_page(config: PipelineConfig, terminal: Terminal, session: common.Session) -> None:
    """Writes the page of the run. A failure is a warning only."""
    from bitext.pipeline.reports import run_page

    try:
        session.report = run_page.write_for(config, str(terminal.run_id))
    except (BitextError, OSError) as fault:
        print_message(f"warning: the run has no report: {fault}")


def _outcome(config: PipelineConfig, run_id: str) -> Outcome | None:
    """The outcome of the run from the metadata store; None, after a warning, if it cannot be read."""
    from bitext.pipeline.reports.outcome import collect

    try:
        return collect(config, run_id)
    except (BitextError, OSError) as fault:
        print_message(f"warning: the record of the run cannot be read: {fault}")
        return None
