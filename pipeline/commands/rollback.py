"""`bitext rollback`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common
from bitext.pipeline.streams import print_output


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "rollback",
        run,
        "serve the previous model again and withdraw the newest for good",
        'bitext rollback my.yaml --reason "wrong numbers in dates"',
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--reason",
        required=True,
        type=common.reason_argument,
        metavar="TEXT",
        help="the reason, which is recorded",
    )
    common.add_wait_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Rolls back and returns the exit code."""
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries()
    config = common.load(options)
    from bitext.pipeline import rollback

    print_output(rollback.render(rollback.roll_back(config, options.reason, options.wait)))
    return 0
