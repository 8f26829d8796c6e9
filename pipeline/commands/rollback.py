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
        'bitext rollback my.yaml --reason "also wrong" --from-version 4',
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--reason",
        required=True,
        type=common.reason_argument,
        metavar="TEXT",
        help="the reason, which is recorded",
    )
    parser.add_argument(
        "--from-version",
        type=common.version,
        metavar="N",
        help="withdraw version N, which must be the newest; needed if a rollback made it",
    )
    common.add_wait_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Rolls back and returns the exit code."""
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries()
    config = common.load(options)
    from bitext.pipeline import rollback

    record, is_new = rollback.roll_back(
        config, options.reason, options.wait, options.from_version, print_output
    )
    print_output(rollback.render(record, is_new))
    return 0
