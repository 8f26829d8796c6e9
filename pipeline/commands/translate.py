"""`bitext translate`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.commands import common, constraint_arguments, model_arguments
from bitext.pipeline.streams import print_message

if TYPE_CHECKING:
    from bitext.components.translation.search import Search
    from bitext.components.translation.sentences import Splitting
    from bitext.pipeline.bars import Printer


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "translate",
        run,
        "translate the lines of standard input or of a file",
        'echo "Where is the station?" | bitext translate --model serving/toy',
        "bitext translate --model serving/toy input.txt --output output.txt",
    )
    parser.add_argument(
        "input",
        nargs="?",
        type=common.path_or_stream,
        metavar="FILE",
        help="a file with one sentence a line, plain, .gz, .bz2, .xz or .zst (default or -: standard input)",
    )
    parser.add_argument(
        "--output",
        type=common.path_or_stream,
        help="the file to write, complete or not at all, compressed if its name ends in .gz, .bz2, .xz or"
        " .zst; a pipe or a device is written into (default or -: standard output)",
    )
    _add_alignment_arguments(parser)
    model_arguments.add_model(parser)
    model_arguments.add_search(parser)
    parser.add_argument(
        "--nbest",
        type=common.whole_number,
        default=1,
        help="number of translations per line, each with its score",
    )
    constraint_arguments.add_to(parser)
    model_arguments.add_splitting(parser)
    model_arguments.add_batch_size(parser)
    parser.add_argument(
        "--beam-runner",
        metavar="NAME",
        help="translate a FILE of more than 1 MiB into --output with this Apache Beam runner (direct: in this"
        " process); after an interruption the same command translates only the missing part",
    )
    parser.add_argument(
        "--beam-option",
        action="append",
        default=[],
        metavar="K=V",
        help="an option of the Beam runner (repeatable)",
    )
    parser.add_argument(
        "--shared-folder",
        metavar="FOLDER",
        help="a folder that all workers of the Beam runner see, such as s3://bucket/temporary: the model, the"
        " input and the translations are exchanged there (default: they see the disk of this machine)",
    )


def _add_alignment_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--alignments",
        type=common.path_or_stream,
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="write which word of the line each word of the translation comes from, as 0-0 1-2, one line a"
        " line; - : to standard output, after ||| behind a translation there",
    )
    parser.add_argument(
        "--alignment-threshold",
        type=_share,
        metavar="SHARE",
        help="link all pairs of words with this share of the attention or more (default: link each word of"
        " the translation to the word with the largest share)",
    )


def _share(text: str) -> float:
    """A share on the command line."""
    share = common.number(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1; received {text!r}")
    return share


def run(options: argparse.Namespace) -> int:
    """Translates and returns the exit code."""
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries(native_errors=False)
    from bitext.components.translation.output import STANDARD_INPUT, check_output_file
    from bitext.components.translation.translate import Alignments, main_align, main_translate
    from bitext.pipeline import bars

    session: common.Session = options.session
    if options.input is None:
        session.require_input()
    if options.output is None:
        session.require_output()
    _check_alignments(options)
    constraints = constraint_arguments.constraints(options)
    uses_beam = _uses_beam(options)
    search = model_arguments.search(options, options.nbest)
    check_output_file(options.output, options.input or STANDARD_INPUT)
    model = model_arguments.model(options)
    model_arguments.import_tensorflow()
    splitting = model_arguments.splitting(options)
    places = model, options.input, options.output
    others: Any = {"splitting": splitting, "trusted": options.trust_model}
    with bars.drawn("sentences", is_wanted=_leaves_the_terminal(options)) as warn:
        if "alignments" in options:
            alignments = Alignments(options.alignments, options.alignment_threshold)
            return main_align(*places, alignments, search, options.batch_size, **others, warn=warn)
        if constraints is not None:
            from bitext.components.translation.translate_constrained import main_constrained

            others |= {"as_json": options.json, "warn": warn}
            return main_constrained(*places, constraints, search, options.batch_size, **others)
        if not uses_beam:
            return main_translate(*places, search, options.batch_size, **others, warn=warn)
        _translate_with_beam(options, model, search, splitting, warn)
    return 0


def _leaves_the_terminal(options: argparse.Namespace) -> bool:
    """Whether neither the sentences nor the translations are on the terminal, so that a bar may be there."""
    results = [options.output, *([options.alignments] if "alignments" in options else [])]
    is_written = all(results) or not sys.stdout.isatty()
    return is_written and (options.input is not None or not sys.stdin.isatty())


def _check_alignments(options: argparse.Namespace) -> None:
    """Raises ConfigError if other options do not go with the alignments."""
    if "alignments" not in options:
        if options.alignment_threshold is not None:
            raise ConfigError(
                "--alignment-threshold is given without --alignments", "name a file with --alignments"
            )
        return
    if options.alignments is None:
        options.session.require_output()
    for name, is_given in (("nbest", options.nbest != 1), ("beam-runner", options.beam_runner is not None)):
        if is_given:
            raise ConfigError(
                f"--alignments is given with --{name}; alignments are those of the best translation of a"
                " line, made in this process",
                f"leave out --{name} or --alignments",
            )


def _uses_beam(options: argparse.Namespace) -> bool:
    """Returns whether a Beam runner is named and the file is large enough for Beam."""
    from bitext.components.translation.bulk import WORTHWHILE_BYTES

    if options.beam_runner is None:
        for name in ("beam-option", "shared-folder"):
            if getattr(options, name.replace("-", "_")):
                raise ConfigError(f"--{name} is given without --beam-runner", "add --beam-runner direct")
        return False
    if options.input is None or options.output is None:
        raise ConfigError(
            "--beam-runner translates a file into another, not standard input or output",
            "name both: bitext translate FILE --output FILE --beam-runner direct",
        )
    if not options.input.is_file():  # the code without Beam reports it
        return False
    size: int = options.input.stat().st_size
    if size <= WORTHWHILE_BYTES:
        print_message(
            f"{options.input} has {size:,} bytes; up to {WORTHWHILE_BYTES:,} are translated without Beam"
        )
    return size > WORTHWHILE_BYTES


def _translate_with_beam(
    options: argparse.Namespace, model: Path, search: Search, splitting: Splitting, printer: Printer
) -> None:
    """Translates with Beam and prints the progress to standard error."""
    from bitext.components.shared import storage
    from bitext.pipeline.beam import Watch, errors_unwrapped, pipeline_factory
    from bitext.pipeline.config import Beam, runner_name
    from bitext.pipeline.terminal import log, log_shown

    try:
        settings = Beam(runner=options.beam_runner, options=tuple(f"--{o}" for o in options.beam_option))
    except ValueError as error:
        raise ConfigError(str(error), "correct --beam-runner or --beam-option") from error
    with log_shown(), errors_unwrapped():
        from bitext.components.translation.bulk.executor import translate_file

        translate_file(
            model,
            options.input,
            options.output,
            search,
            pipeline_factory(
                runner_name(settings.runner),
                settings.options,
                Watch(print_message, stall_timeout=settings.stall_timeout),
            ),
            batch_size=options.batch_size,
            splitting=splitting,
            trusted=options.trust_model,
            shared_folder=storage.path(options.shared_folder) if options.shared_folder else None,
            say=dataclasses.replace(printer, write=log.info),
        )
