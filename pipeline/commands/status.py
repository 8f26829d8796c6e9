"""`bitext status`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from bitext.pipeline.commands import common
from bitext.pipeline.streams import print_output


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "status",
        run,
        "show the last runs, their scores, and the pushed model",
        "bitext status my.yaml",
        "bitext status my.yaml --json",
    )
    common.add_config_arguments(parser)
    common.add_json_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the report and returns the exit code."""
    from bitext.pipeline.terminal import quiet_libraries

    options.session.require_output()
    quiet_libraries()
    config = common.load(options)
    from bitext.pipeline.reports import status, status_table

    report = status.collect(config)
    width = 0 if options.json else _terminal_width()
    if width >= status_table.MIN_WIDTH:
        print_output(options.session.with_config(status.render(report, width)), exact=True)
    else:
        common.print_report(
            report, lambda report: options.session.with_config(status.render(report)), options.json
        )
    return 0


def _terminal_width() -> int:
    """The width of the terminal that shows standard output, in columns; 0: it is no terminal."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return 0
    return shutil.get_terminal_size().columns
