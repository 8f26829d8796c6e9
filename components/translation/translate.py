"""Translates a file or standard input in this process: `bitext translate` without Beam."""

from __future__ import annotations

import sys
from pathlib import Path

from bitext.components.translation.lines import open_input, prompted, read_blocks
from bitext.components.translation.output import check_output_file, open_output
from bitext.components.translation.search import Search
from bitext.components.translation.translator import (
    LineTranslator,
    find_saved_model,
    format_lines,
    translate_lines,
)


def main_translate(
    model: Path, input: Path | None, output: Path | None, search: Search | None = None, batch_size: int = 64
) -> int:
    """Translates the lines of a file or of standard input.

    Args:
      model: as for `find_saved_model`.
      input: a file with one sentence a line, plain, .gz, .bz2 or .zst; None: standard input.
      output: the file to write, as for `open_output`; None: standard output.
      search: options of the beam search; None: the model's default search.
      batch_size: maximum number of lines in one call of the model.

    Returns:
      The exit code of the process.

    Raises:
      errors.ConfigError: the batch size is not positive, or the output cannot be written there.
      errors.DataError: the model or the input cannot be read.
      errors.EnvironmentFault: the output cannot be written.
    """
    search = search or Search()
    find_saved_model(model)
    check_output_file(output, input)
    try:
        with open_input(input) as chunks, open_output(output) as write:
            translator = LineTranslator(model, search, batch_size)
            blocks = read_blocks(chunks)
            if input is None and sys.stdin.isatty():
                blocks = prompted(blocks)
            first_line = 1
            for results in translate_lines(translator, blocks):
                write(format_lines(results, first_line, search.nbest).encode())
                first_line += len(results)
    except BrokenPipeError:  # the reader (`head`) has closed the pipe
        pass
    return 0
