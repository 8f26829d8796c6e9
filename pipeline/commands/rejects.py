"""`bitext rejects`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common

LIMIT = 10


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "rejects",
        run,
        "show the rows of the corpus that did not become examples, and why",
        "bitext rejects my.yaml",
        "bitext rejects my.yaml --reason length_ratio --limit 0",
    )
    add_arguments(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds CONFIG, `--run`, `--reason`, `--limit` and `--json`."""
    common.add_config_arguments(parser)
    parser.add_argument(
        "--run",
        dest="run_id",
        type=common.run_argument,
        metavar="RUN",
        help="the run: an id, the beginning of one, `last`, `previous` or `served`"
        " (default: the newest that has read a corpus)",
    )
    parser.add_argument(
        "--reason",
        action="append",
        default=[],
        metavar="NAME",
        help="show only rows that were rejected for this reason (repeatable)",
    )
    add_limit_argument(parser)
    common.add_json_argument(parser)


def add_limit_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--limit`."""
    parser.add_argument(
        "--limit",
        type=limit,
        default=LIMIT,
        metavar="N",
        help="the most rows that are shown of each reason; 0: all (default: %(default)s)",
    )


def limit(text: str) -> int:
    """A number of rows or runs on the command line; 0 is allowed."""
    number = common.whole_number(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more; received {text!r}")
    return number


def run(options: argparse.Namespace) -> int:
    """Prints the report and returns the exit code."""
    from bitext.pipeline.terminal import quiet_libraries

    options.session.require_output()
    quiet_libraries()
    config = common.load(options)
    from bitext.pipeline.reports import rejected

    report = rejected.collect(config, options.limit or None, options.reason, options.run_id)
    common.print_report(
        report,
        lambda report: options.session.with_config(rejected.render(report, options.reason)),
        options.json,
    )
    return 0
