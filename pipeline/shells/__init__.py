"""Shell completion: scripts for bash, zsh and fish, made from the parser of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from bitext.pipeline.shells import bash, fish, zsh
from bitext.pipeline.shells.commands import Command, commands_of

WRITERS: dict[str, Callable[[list[Command]], str]] = {
    "bash": bash.script,
    "zsh": zsh.script,
    "fish": fish.script,
}
"""The writer of the script of each shell."""


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """Returns the completion script of a shell."""
    return WRITERS[shell](commands_of(parser))
