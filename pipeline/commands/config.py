"""`bitext config`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "config",
        run,
        "print the configuration with every default filled in",
        "bitext config my.yaml",
        "bitext config my.yaml --set trainer.steps=9000",
    )
    common.add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the configuration and returns the exit code."""
    from bitext.pipeline.config import dump

    print(dump(common.load(options)), end="")
    return 0
