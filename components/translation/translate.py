"""Translates a file or standard input in this process: `bitext translate` without Beam."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bitext.components.shared import errors
from bitext.components.translation.lines import check_blocks, open_input, prompted, read_blocks
from bitext.components.translation.output import (
    STANDARD_INPUT,
    check_output_file,
    format_lines,
    open_output,
    same_file,
)
from bitext.components.translation.search import Search
from bitext.components.translation.sentences import (
    DEFAULT_SPLITTING,
    LongSentenceReport,
    Splitting,
    translate_blocks,
    warn_if_unmeasured,
)
from bitext.components.translation.translator import LineTranslator, find_saved_model
from bitext.components.translation.word_links import align_blocks


def print_to_stderr(text: str) -> None:
    """Prints a line on standard error at once."""
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
    warn: Callable[[str], None] = print_to_stderr,
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
    with closed_pipe_ignored(), open_input(input) as chunks, open_output(output) as write:
        translator = LineTranslator(model, search, batch_size, trusted=trusted)
        report, first_line = LongSentenceReport(warn), 1
        for block in translate_blocks(translator, input_blocks(chunks, input, translator, warn), splitting):
            write(format_lines(block.translations, first_line, search.nbest).encode())
            report.add(first_line, block.too_long)
            first_line += len(block.translations)
        report.finish()
    return 0


@dataclasses.dataclass(frozen=True)
class Alignments:
    """Where the links between words are written, and which.

    Attributes:
      output: the file; None: standard output.
      threshold: as in `word_links.align_blocks`.
    """

    output: Path | None
    threshold: float | None = None


def main_align(
    model: Path,
    input: Path | None,
    output: Path | None,
    alignments: Alignments,
    search: Search | None = None,
    batch_size: int = 64,
    *,
    splitting: Splitting = DEFAULT_SPLITTING,
    trusted: bool = False,
    warn: Callable[[str], None] = print_to_stderr,
) -> int:
    """Translates the lines of a file or of standard input, and writes the links between the words.

    If both outputs are standard output, each line has the translation, ` ||| ` and the links.

    Args: as for `main_translate`; `alignments`: where the links are written.

    Raises:
      errors.ConfigError: as `main_translate`, or both outputs are one file.
      errors.DataError: as `main_translate`, or the model has no attention.
      errors.EnvironmentFault: an output cannot be written.
    """
    find_saved_model(model)
    for path in (output, alignments.output):
        check_output_file(path, input or STANDARD_INPUT)
    if output is not None and alignments.output is not None and same_file(output, alignments.output):
        raise errors.ConfigError(
            f"the translations and the alignments have one file: {output}", "name another with --alignments"
        )
    with (
        closed_pipe_ignored(),
        open_input(input) as chunks,
        open_output(output) as write,
        open_output(alignments.output) as write_links,
    ):
        translator = LineTranslator(model, search, batch_size, trusted=trusted)
        report, first_line = LongSentenceReport(warn), 1
        blocks = input_blocks(chunks, input, translator, warn)
        for block in align_blocks(translator, blocks, splitting, alignments.threshold):
            for number, line in enumerate(block.lines, first_line):
                if line.links is None:
                    warn(f"warning: line {number}: its words cannot be told apart; it has no alignment")
            if output is None and alignments.output is None:
                write("".join(f"{line.text} ||| {line.pharaoh}\n" for line in block.lines).encode())
            else:
                write("".join(f"{line.text}\n" for line in block.lines).encode())
                write_links("".join(f"{line.pharaoh}\n" for line in block.lines).encode())
            report.add(first_line, block.too_long)
            first_line += len(block.lines)
        report.finish()
    return 0


def input_blocks(
    chunks: Iterator[bytes], input: Path | None, translator: LineTranslator, warn: Callable[[str], None]
) -> Iterator[list[bytes]]:
    """Yields the lines of an input in blocks, and prints a prompt to a person at a terminal."""
    warn_if_unmeasured(translator, warn)
    blocks = read_blocks(chunks)
    if input is None and sys.stdin.isatty():
        blocks = prompted(blocks)
    return check_blocks(blocks, input, warn)


@contextlib.contextmanager
def closed_pipe_ignored() -> Iterator[None]:
    """Context manager: ends without an error if the reader (`head`) has closed the pipe."""
    with contextlib.suppress(BrokenPipeError):
        yield
