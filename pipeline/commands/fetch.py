"""`bitext fetch`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bitext.pipeline.commands import common
from bitext.pipeline.streams import print_output


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "fetch",
        run,
        "download an example corpus: tatoeba-es or tatoeba-uk",
        "bitext fetch tatoeba-es",
        "bitext fetch tatoeba-uk --directory corpora",
    )
    parser.add_argument("name", metavar="NAME", help="the corpus")
    parser.add_argument(
        "--directory",
        type=common.path_argument,
        default=Path("data"),
        help="the folder to write to (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Downloads the corpus and returns the exit code."""
    from bitext.pipeline.fetch import fetch

    fetch(options.name, options.directory, print_output)
    return 0
