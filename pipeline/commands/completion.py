"""`bitext completion`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common
from bitext.pipeline.streams import print_output


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "completion",
        run,
        "print a script for `source <(bitext completion bash)` that completes commands, options and files",
        "bitext completion bash",
        "bitext completion zsh",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")


def run(options: argparse.Namespace) -> int:
    """Prints the script and returns the exit code."""
    options.session.require_output()
    from bitext.pipeline import shells

    print_output(shells.script(options.shell, options.whole_parser), end="", exact=True)
    return 0
