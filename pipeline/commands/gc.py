"""`bitext gc`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common
from bitext.pipeline.streams import print_output


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "gc",
        run,
        "remove outputs of old runs, except those that the served model or the cache needs",
        "bitext gc my.yaml --keep 5 --dry-run",
        "bitext gc my.yaml --keep 5",
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--keep", type=common.whole_number, required=True, metavar="N", help="number of complete runs to keep"
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be removed")
    common.add_wait_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Removes outputs and returns the exit code."""
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries()
    config = common.load(options)
    from bitext.pipeline import housekeeping

    collected = housekeeping.collect(config, options.keep, options.dry_run, options.wait, print_output)
    print_output(housekeeping.render(collected))
    return 0
