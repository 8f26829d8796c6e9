"""`bitext lineage`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "lineage",
        run,
        "show the data, parameters and libraries that a pushed version was made from",
        "bitext lineage 3 my.yaml",
        "bitext lineage 3 my.yaml --json",
    )
    parser.add_argument("version", type=_version, metavar="VERSION", help="the pushed version")
    common.add_config_arguments(parser)
    common.add_json_argument(parser, " with all parameters")


def _version(text: str) -> int:
    """The number of a pushed version."""
    try:
        return common.version(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error} (VERSION comes before CONFIG)") from None


def run(options: argparse.Namespace) -> int:
    """Prints the report and returns the exit code."""
    from bitext.pipeline.terminal import quiet_libraries

    options.session.require_output()
    quiet_libraries()
    config = common.load(options)
    from bitext.pipeline.reports import lineage

    report = lineage.collect(config, options.version)
    common.print_report(report, lineage.render, options.json)
    return 0
