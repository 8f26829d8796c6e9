"""`bitext score`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bitext.pipeline.commands import common, model_arguments
from bitext.pipeline.streams import print_message

if TYPE_CHECKING:
    from bitext.components.translation.forced_decoding import PairScore
    from bitext.components.translation.score_files import Total


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "score",
        run,
        "give the log probability of translations, line by line (forced decoding)",
        "bitext score news.en news.es --model serving/toy",
        "cut -f 2 pairs.tsv | bitext score news.en - --output scores.tsv",
    )
    for name, meaning in (("source", "the source sentences"), ("target", "the translation of each")):
        parser.add_argument(
            name,
            type=common.path_or_stream,
            metavar=name.upper(),
            help=f"{meaning}, one a line, plain, .gz, .bz2, .xz or .zst; - : standard input",
        )
    parser.add_argument(
        "--output",
        type=common.path_or_stream,
        metavar="FILE",
        help="the file to write, complete or not at all (default or -: standard output)",
    )
    model_arguments.add_model(parser)
    model_arguments.add_batch_size(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object for each pair, and one with the sums"
    )


def run(options: argparse.Namespace) -> int:
    """Scores the pairs and returns the exit code."""
    from bitext.pipeline.terminal import quiet_libraries

    quiet_libraries(native_errors=False)
    from bitext.components.translation.output import STANDARD_INPUT, check_output_file, open_output
    from bitext.components.translation.parallel_text import TextFile, check_one_standard_input
    from bitext.components.translation.score_files import Total, score_files

    files = [TextFile(options.source), TextFile(options.target)]
    check_one_standard_input(files)
    for file in files:
        check_output_file(options.output, file.path or STANDARD_INPUT)
        if file.path is None:
            options.session.require_input()
    if options.output is None:
        options.session.require_output()
    model = model_arguments.model(options)
    model_arguments.import_tensorflow()
    from bitext.components.translation.translator import LineTranslator

    translator = LineTranslator(model, batch_size=options.batch_size, trusted=options.trust_model)
    total, line = Total(), 1
    lines: Callable[[Sequence[PairScore], int], str] = json_lines if options.json else tab_separated
    with open_output(options.output) as write:
        for scores in score_files(translator, files[0], files[1], print_message):
            write(lines(scores, line).encode())
            total.add(scores)
            line += len(scores)
        if options.json:
            write(json_total(total).encode())
    if not options.json:
        print_message(in_words(total))
    return 0


def tab_separated(scores: Sequence[PairScore], _: int) -> str:
    """Formats scores as lines of log probability, mean and length."""
    return "".join(f"{score.log_prob:.4f}\t{score.mean:.4f}\t{score.length}\n" for score in scores)


def json_lines(scores: Sequence[PairScore], first_line: int) -> str:
    """Formats scores as JSON objects, one a line."""
    import msgspec

    rows = (
        {"line": line, "log_prob": score.log_prob, "mean": score.mean, "length": score.length}
        for line, score in enumerate(scores, first_line)
    )
    return "".join(msgspec.json.encode(row).decode() + "\n" for row in rows)  # null: not finite


def json_total(total: Total) -> str:
    """Formats the sums as a JSON object, the last line."""
    import msgspec

    sums = {"pairs": total.pairs, "log_prob": total.log_prob, "length": total.length}
    row = {"total": {**sums, "perplexity": total.perplexity}}
    return msgspec.json.encode(row).decode() + "\n"


def in_words(total: Total) -> str:
    """Returns the sums in words."""
    if not total.length:
        return "all lines are blank"
    perplexity = f"{total.perplexity:.2f}" if math.isfinite(total.perplexity) else "not finite"
    return (
        f"{total.pairs:,} pairs, {total.length:,} target tokens: log probability {total.log_prob:.2f},"
        f" {total.log_prob / total.length:.4f} per token, perplexity {perplexity}"
    )
