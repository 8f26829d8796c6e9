"""`bitext status`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common


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
    from bitext.pipeline.reports import status

    report = status.collect(config)
    common.print_report(
        report, lambda report: options.session.with_config(status.render(report)), options.json
    )
    return 0
