"""Arguments of `bitext translate` that restrict what a translation may be."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.commands import common

if TYPE_CHECKING:
    from bitext.components.translation.constraints import ConstraintOptions


def add_to(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "--prefix",
        type=_phrase,
        metavar="TEXT",
        help="begin every translation with this text, whose last word may go on; a space at its end ends it",
    )
    parser.add_argument(
        "--require",
        type=_phrase,
        action="append",
        metavar="TEXT",
        help="write this word or phrase in every translation (repeatable)",
    )
    parser.add_argument(
        "--ban",
        type=_phrase,
        action="append",
        metavar="TEXT",
        help="write this word or phrase in no translation (repeatable)",
    )
    parser.add_argument(
        "--constraints",
        type=common.path_argument,
        metavar="FILE.jsonl",
        help='a file with one JSON object for each line of the input: {"prefix": "...", "require": ["..."],'
        ' "ban": ["..."]}, each key optional',
    )
    parser.add_argument(
        "--no-repeat-ngram",
        type=common.whole_number,
        metavar="N",
        help="write no N tokens twice in a translation",
    )
    parser.add_argument(
        "--repetition-penalty",
        type=common.number,
        metavar="X",
        help="multiply the log probability of tokens that the translation has already by X, 1 or more",
    )
    parser.add_argument(
        "--max-length-factor",
        type=common.whole_number,
        metavar="N",
        help="write at most N tokens for each token of the source, and ten more; 0: no limit (default: the"
        " model's)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object for each line, with the log probability of every token",
    )


def _phrase(text: str) -> str:
    """A text on the command line that is not blank."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def constraints(options: argparse.Namespace) -> ConstraintOptions | None:
    """Returns the constraints; None if no option needs the search with constraints.

    Raises:
      ConfigError: a number is out of range, or another option does not go with the constraints.
    """
    from bitext.components.translation.constraints import ConstraintOptions, LineConstraints

    numbers = {
        name: getattr(options, name)
        for name in ("no_repeat_ngram", "repetition_penalty", "max_length_factor")
        if getattr(options, name) is not None
    }
    of_all = LineConstraints(options.prefix or "", tuple(options.require or ()), tuple(options.ban or ()))
    given = ConstraintOptions(of_all, options.constraints, **numbers)
    if given.is_default and not options.json:
        return None
    for name, is_given in (
        ("alignments", "alignments" in options),
        ("beam-runner", options.beam_runner is not None),
    ):
        if is_given:
            raise ConfigError(
                f"--{name} does not go with constraints or --json", f"leave out --{name}, or the constraints"
            )
    return given
