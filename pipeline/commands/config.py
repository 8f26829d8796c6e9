"""`bitext config`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common
from bitext.pipeline.streams import print_output


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "config",
        run,
        "print the configuration with every default and the meaning of every key",
        "bitext config my.yaml --set trainer.steps=9000",
        "bitext config --explain trainer.steps",
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--explain",
        action="append",
        metavar="KEY",
        help="print type, default, range and meaning of a key, or of a section's keys (repeatable); takes no"
        " CONFIG",
    )


def run(options: argparse.Namespace) -> int:
    """Prints the configuration or explains a key, and returns the exit code."""
    from bitext.components.shared.errors import ConfigError
    from bitext.pipeline.config import reference, writing

    session: common.Session = options.session
    session.require_output()
    if options.explain is None:
        print_output(writing.dump(common.load(options)), end="", exact=True)
        return 0
    if options.config or options.root or options.set:
        raise ConfigError(
            "--explain explains a key of every configuration, so it takes no CONFIG, --root or --set",
            f"bitext config {' '.join(f'--explain {key}' for key in options.explain)}",
        )
    keys = [key for name in options.explain for key in reference.find(name)]
    print_output(writing.explain(list(dict.fromkeys(keys))))
    return 0
