"""Translates a file or standard input with constraints: `bitext translate --ban` and others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bitext.components.text.normalization import is_blank
from bitext.components.translation.constrained import (
    ConstrainedTranslator,
    ScoredTranslation,
    Sentence,
)
from bitext.components.translation.constraints import ConstraintOptions, ConstraintReader, LineConstraints
from bitext.components.translation.lines import open_input
from bitext.components.translation.output import STANDARD_INPUT, check_output_file, format_lines, open_output
from bitext.components.translation.search import Search
from bitext.components.translation.sentences import (
    DEFAULT_SPLITTING,
    MAX_REPORTED,
    LongSentenceReport,
    Splitting,
    join,
    sentences_of,
    too_long,
)
from bitext.components.translation.translate import closed_pipe_ignored, input_blocks, print_to_stderr
from bitext.components.translation.translator import LineTranslator, Translation, find_saved_model


def main_constrained(
    model: Path,
    input: Path | None,
    output: Path | None,
    options: ConstraintOptions,
    search: Search | None = None,
    batch_size: int = 64,
    *,
    as_json: bool = False,
    splitting: Splitting = DEFAULT_SPLITTING,
    trusted: bool = False,
    warn: Callable[[str], None] = print_to_stderr,
) -> int:
    """Translates the lines of a file or of standard input with constraints.

    A line with a prefix or required phrases is not split into sentences. A line without a translation that
    meets its constraints gives an empty line, and a warning.

    Args: as for `main_translate`; `options`: the constraints; `as_json`: whether each line of output is a
      JSON object with the tokens of the translations.

    Raises:
      errors.ConfigError: as `main_translate`, or the model refuses the constraints of a line.
      errors.DataError: as `main_translate`, or the file of constraints does not fit.
      errors.EnvironmentFault: the output cannot be written.
    """
    find_saved_model(model)
    check_output_file(output, input or STANDARD_INPUT)
    with (
        closed_pipe_ignored(),
        open_input(input) as chunks,
        _chunks(options.file) as of_constraints,
        open_output(output) as write,
    ):
        translator = LineTranslator(model, search, batch_size, trusted=trusted)
        constrained = ConstrainedTranslator(translator, options)
        reader, report, unmet = (
            ConstraintReader(options, of_constraints),
            LongSentenceReport(warn),
            _Unmet(warn),
        )
        first_line = 1
        for block in input_blocks(chunks, input, translator, warn):
            units = _units(translator, block, reader.read(len(block)), splitting, first_line)
            results = iter(constrained.translate([sentence for line in units for sentence in line]))
            by_line = [[(sentence, next(results)) for sentence in line] for line in units]
            unmet.add(by_line, first_line)
            if as_json:
                numbered = enumerate(by_line, first_line)
                write("".join(_json_line(constrained, *each) for each in numbered).encode())
            else:
                joined = [_joined(line, translator.search.nbest) for line in by_line]
                write(format_lines(joined, first_line, translator.search.nbest).encode())
            report.add(first_line, too_long(translator, [[each.text for each in line] for line in units]))
            first_line += len(block)
        reader.finish()
        report.finish()
        unmet.finish()
    return 0


_Line = Sequence[tuple[Sentence, list[ScoredTranslation]]]


@contextlib.contextmanager
def _chunks(path: Path | None) -> Iterator[Iterator[bytes] | None]:
    """Context manager: opens the file of constraints, if there is one."""
    if path is None:
        yield None
        return
    with open_input(path) as chunks:
        yield chunks


def _units(
    translator: LineTranslator,
    block: Sequence[bytes],
    constraints: Sequence[LineConstraints],
    splitting: Splitting,
    first_line: int,
) -> list[list[Sentence]]:
    """Returns the sentences of each line of a block with their constraints, none of a blank line."""
    is_split = [not each.is_of_line for each in constraints]
    divided = iter(
        sentences_of(
            translator, [line for line, split in zip(block, is_split, strict=True) if split], splitting
        )
    )
    units = []
    for number, (line, split, own) in enumerate(zip(block, is_split, constraints, strict=True), first_line):
        texts = next(divided) if split else [] if is_blank(line.decode("utf-8", "replace")) else [line]
        units.append([Sentence(text, number, own) for text in texts])
    return units


def _joined(line: _Line, nbest: int) -> list[Translation]:
    """Returns the translations of a line; an empty one if a sentence has none."""
    translations = [found for _, found in line]
    if not all(translations):
        return [Translation("", 0.0)] if nbest == 1 else []
    return join(translations, nbest)


class _Unmet:
    """Reports lines without a translation, one by one, and their number at the end."""

    def __init__(self, warn: Callable[[str], None]):
        self._warn, self._count = warn, 0

    def add(self, lines: Sequence[_Line], first_line: int) -> None:
        """Reports the lines of a block."""
        for number, line in enumerate(lines, first_line):
            if not all(found for _, found in line):
                self._count += 1
                if self._count <= MAX_REPORTED:
                    self._warn(
                        f"warning: line {number:,}: no translation that meets its constraints was found"
                    )

    def finish(self) -> None:
        """Reports the number of lines, if there are any."""
        if self._count:
            self._warn(
                f"warning: {self._count:,} line{'s' * (self._count > 1)} without a translation; a larger"
                " --beam-size finds more"
            )


def _json_line(translator: ConstrainedTranslator, number: int, line: _Line) -> str:
    """Formats the translations of a line as a JSON object."""

    def as_object(found: ScoredTranslation) -> dict[str, Any]:
        return {
            "text": found.text,
            "score": found.score,
            "log_prob": found.log_prob,
            "finished": found.is_finished,
            "tokens": translator.tokens(found),
        }

    sentences = [
        {
            "source": sentence.text.decode("utf-8", "replace"),
            "translations": [as_object(each) for each in found],
        }
        for sentence, found in line
    ]
    return msgspec.json.encode({"line": number, "sentences": sentences}).decode() + "\n"
