"""`bitext inspect`."""

from __future__ import annotations

import argparse

from bitext.components.shared.errors import BitextError
from bitext.pipeline.commands import common, rejects, run
from bitext.pipeline.streams import print_output

LAST = "ExampleValidator"


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "inspect",
        inspect,
        "read, clean and judge the corpus without training, and show which rows are rejected and why",
        "bitext inspect my.yaml",
        "bitext inspect my.yaml --limit 50 --set example_gen.cleaning=strict",
    )
    common.add_config_arguments(parser)
    rejects.add_limit_argument(parser)
    common.add_wait_argument(parser)


def inspect(options: argparse.Namespace) -> int:
    """Runs the nodes before Transform and prints the rejected rows. Returns the exit code.

    The nodes are cached for the next `bitext run`. The rejected rows are also printed if a node stops the run
    because of them.
    """
    options.first, options.last, options.force, options.force_bless = None, LAST, [], None
    options.explain_cache, options.log_format, options.quiet = False, "human", False
    try:
        code = run.run(options)
    except BitextError:
        _print_rejects(options)
        raise
    _print_rejects(options)
    _print_left_out(options)
    return code


def _print_rejects(options: argparse.Namespace) -> None:
    """Prints the rejected rows of the newest run, if there are any."""
    from bitext.pipeline.reports import rejected

    report = rejected.collect(common.load(options), options.limit or None)
    if report["rejected"]:
        print_output(f"\n{rejected.render(report | {'corpora': []})}")  # the run has printed the table


def _print_left_out(options: argparse.Namespace) -> None:
    """Prints the training pairs that Transform will leave out, if there are any."""
    from bitext.pipeline.reports import left_out

    if text := left_out.render(common.load(options), options.limit or None):
        print_output(f"\n{text}")
