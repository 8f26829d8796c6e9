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
        "download corpora: Tatoeba, or translations of LibreOffice, pretix and Django",
        "bitext fetch tatoeba-es",
        "bitext fetch libreoffice-th pretix-th --directory corpora",
    )
    parser.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="a corpus: tatoeba-es, tatoeba-uk, or libreoffice-, pretix- or django- and a language;"
        " without a name, the command lists the corpora",
    )
    parser.add_argument(
        "--directory",
        type=common.path_argument,
        default=Path("data"),
        help="the folder to write to (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Downloads the corpora, or lists them, and returns the exit code."""
    from bitext.pipeline.fetch import check_name, fetch, overview

    for name in options.names:  # all of them before the first download
        check_name(name)
    for name in options.names:
        fetch(name, options.directory, print_output)
    if not options.names:
        for line in overview():
            print_output(line)
    return 0
