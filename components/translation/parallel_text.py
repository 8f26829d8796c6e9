"""Text files whose lines belong together: sources, references, hypotheses, the pairs of `bitext score`.

Lines are read as `bitext translate` reads them. What it only warns of is refused here: a line that is not
UTF-8, or is too long, would be scored as another text.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from bitext.components.shared import encodings, reading
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.translation.lines import open_input, read_blocks

STANDARD_INPUT = "standard input"


@dataclasses.dataclass(frozen=True)
class TextFile:
    """A file with one text a line.

    Attributes:
      path: the file, plain, .gz, .bz2, .xz or .zst; None: standard input.
    """

    path: Path | None

    @property
    def name(self) -> str:
        """Its name in messages."""
        return STANDARD_INPUT if self.path is None else path_text(str(self.path))

    def place(self, line: int) -> str:
        """A line in a message: `news.de:17`."""
        return f"{self.name}, line {line}" if self.path is None else f"{self.name}:{line}"

    def blocks(self) -> Iterator[list[str]]:
        """Yields blocks of lines, without line ends and without a byte order mark.

        Raises:
          DataError: the file cannot be read, is no text, or a line is not UTF-8 or longer than
            `reading.MAX_LINE_BYTES`.
        """
        first_line = 1
        with open_input(self.path) as chunks:
            for block in read_blocks(chunks):
                if first_line == 1 and block:
                    block[0] = block[0].removeprefix(reading.BYTE_ORDER_MARK)
                self._check(block, first_line)
                yield [line.decode() for line in block]
                first_line += len(block)

    def lines(self) -> list[str]:
        """Reads all lines. Raises DataError as `blocks`, and if there is no line."""
        lines = list(itertools.chain.from_iterable(self.blocks()))
        if not lines:
            raise self.empty()
        return lines

    def empty(self) -> DataError:
        """Returns the error for a file without lines."""
        return DataError(f"{self.name} is empty", "name a text file with one sentence a line")

    def _check(self, block: Sequence[bytes], first_line: int) -> None:
        for index in (index for index, line in enumerate(block) if reading.is_cut(line)):
            raise DataError(
                f"{self.place(first_line + index)}: the line is longer than {reading.MAX_LINE_BYTES:,} bytes",
                "write one sentence a line",
            )
        counts = encodings.LineCounts()
        if invalid := counts.add(block):
            encoding = encodings.likely_encoding(counts.sample)
            problem = encodings.fault(block[invalid[0]])
            raise DataError(
                f"{self.place(first_line + invalid[0])}: not UTF-8: {problem}"
                + (f"; it looks like {encoding}" if encoding else ""),
                encodings.remedy(encoding, None if self.path is None else str(self.path)),
            )


def check_one_standard_input(files: Sequence[TextFile]) -> None:
    """Raises ConfigError if more than one file is standard input."""
    if sum(file.path is None for file in files) > 1:
        raise ConfigError("standard input (-) is named for several files", "name a file for all but one")


def check_equal_lengths(
    files: Sequence[TextFile], counts: Sequence[int], has_blank_end: Sequence[bool]
) -> None:
    """Raises DataError if files do not have equally many lines.

    Args:
      files: the files.
      counts: number of lines of each.
      has_blank_end: whether the last line of each is blank.
    """
    for file, count, blank in zip(files[1:], counts[1:], has_blank_end[1:], strict=True):
        if count == counts[0]:
            continue
        longer, is_blank = (file, blank) if count > counts[0] else (files[0], has_blank_end[0])
        remedy = "line N of one file belongs to line N of the other; find the line that is missing or divided"
        if is_blank and abs(count - counts[0]) == 1:
            remedy = f"the last line of {longer.name} is blank: remove it"
        raise DataError(f"{files[0].name} has {counts[0]:,} lines and {file.name} has {count:,}", remedy)


def read_parallel(files: Sequence[TextFile]) -> list[list[str]]:
    """Reads the lines of files that belong together.

    Returns:
      The lines of each file; all have equally many, at least one.

    Raises:
      ConfigError: several files are standard input.
      DataError: as `TextFile.lines`, or the files have different numbers of lines.
    """
    check_one_standard_input(files)
    texts = [file.lines() for file in files]
    check_equal_lengths(files, [len(lines) for lines in texts], [not lines[-1].strip() for lines in texts])
    return texts
