"""Translates a file or standard input in this process: `bitext translate` without Beam."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from bitext.components.translation.lines import check_blocks, open_input, prompted, read_blocks
from bitext.components.translation.output import STANDARD_INPUT, check_output_file, open_output
from bitext.components.translation.search import Search
from bitext.components.translation.sentences import (
    DEFAULT_SPLITTING,
    LongSentenceReport,
    Splitting,
    translate_blocks,
    warn_if_unmeasured,
)
from bitext.components.translation.translator import (
    LineTranslator,
    find_saved_model,
    format_lines,
)


def _print_to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main_translate(
    model: Path,
    input: Path | None,
    output: Path | None,
    search: Search | None = None,
    batch_size: int = 64,
    *,
    splitting: Splitting = DEFAULT_SPLITTING,
    trusted: bool = False,
    warn: Callable[[str], None] = _print_to_stderr,
) -> int:
    """Translates the lines of a file or of standard input.

    Args:
      model: as for `find_saved_model`.
      input: a file with one sentence a line, plain, .gz, .bz2, .xz or .zst; None: standard input.
      output: the file to write, as for `open_output`; None: standard output.
      search: options of the beam search; None: the model's default search.
      batch_size: maximum number of lines in one call of the model.
      splitting: how lines are split into sentences.
      trusted: as for `LineTranslator`.
      warn: prints one line about text that is too long or not UTF-8.

    Returns:
      The exit code of the process.

    Raises:
      errors.ConfigError: the batch size is not positive, or the output cannot be written there.
      errors.DataError: the model or the input cannot be read.
      errors.EnvironmentFault: the output cannot be written.
    """
    search = search or Search()
    find_saved_model(model)
    check_output_file(output, input or STANDARD_INPUT)
    try:
        with open_input(input) as chunks, open_output(output) as write:
            translator = LineTranslator(model, search, batch_size, trusted=trusted)
            blocks = read_blocks(chunks)
            if input is None and sys.stdin.isatty():
                blocks = prompted(blocks)
            blocks = check_blocks(blocks, input, warn)
            warn_if_unmeasured(translator, warn)
            report = LongSentenceReport(warn)
            first_line = 1
            for block in translate_blocks(translator, blocks, splitting):
                write(format_lines(block.translations, first_line, search.nbest).encode())
                report.add(first_line, block.too_long)
                first_line += len(block.translations)
            report.finish()
    except BrokenPipeError:  # the reader (`head`) has closed the pipe
        pass
    return 0
