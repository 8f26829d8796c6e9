"""`bitext report`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common
from bitext.pipeline.streams import print_message, print_output


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "report",
        run,
        "write the report of a run again: data, training, translations and lineage on one HTML page",
        "bitext report my.yaml --open",
        "bitext report my.yaml --run 20260131T120000Z-1a2b --output report.html",
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--run",
        dest="run_id",
        type=common.run_argument,
        metavar="RUN",
        help="the run: an id, the beginning of one, `last`, `previous` or `served` (default: the newest)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a web browser")
    parser.add_argument(
        "--output",
        type=common.page_argument,
        metavar="FILE",
        help="the file to write (default: reports/RUN.html below the pipeline root)",
    )


def run(options: argparse.Namespace) -> int:
    """Writes the page, prints its path and returns the exit code."""
    from bitext.components.shared.errors import ConfigError
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries()
    config = common.load(options)
    from bitext.pipeline.completion import complete_interrupted
    from bitext.pipeline.reports import run_page
    from bitext.pipeline.reports.writing import open_page

    complete_interrupted(config)
    record = run_page.load(config, options.run_id)
    if record is None:
        given = f"--run {options.run_id}: " if options.run_id else ""
        raise ConfigError(
            f"{given}no run yet of pipeline {config.name!r}", "start one with `bitext run CONFIG`"
        )
    path = run_page.write(record, options.output)
    print_output(f"Report      {path}")
    if problem := run_page.problem(record):
        print_message(f"warning: {problem}")
    if options.open:
        open_page(path)
    return 0
