"""Two aligned text files: line n of the target file translates line n of the source file."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bitext.components.example_gen.formats import base
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    from bitext.components.example_gen.files import Files
    from bitext.components.example_gen.rows import Ints, Rows


class Parallel(base.Format):
    """Pairs of text files with one sentence a line. The lists of both sides match file by file."""

    name = "parallel"
    fields_read = ("source_files", "target_files")

    def check_options(self, options: base.FormatOptions) -> None:
        """Checks that `header` is false."""
        super().check_options(options)
        if options.header:
            raise ValueError("format parallel has no header")

    def find(self, files: Files) -> list[base.Paths]:
        """The matched files of both sides, paired in order.

        Raises:
          DataError: a pattern matches no file, or the sides have different numbers of files.
        """
        source, target = base.matching_files(files.source_files), base.matching_files(files.target_files)
        if len(source) != len(target):
            raise DataError(
                f"source_files match {len(source)} files and target_files {len(target)}: "
                f"{', '.join(map(path_text, source))} against {', '.join(map(path_text, target))}",
                "name the same number of files on both sides, in the same order",
            )
        return list(zip(source, target, strict=True))

    def inspect(self, path: str, target_path: str | None, options: base.FormatOptions) -> tuple[int, int]:
        """Checks that both files have the same number of lines."""
        _ends_of_both(path, _target_of(path, target_path))
        return (0, 1)

    def rows(self, file: base.SourceFile, options: base.FormatOptions) -> Iterator[Rows]:
        """The rows of a pair of files, in order."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from bitext.components.example_gen.rows import Rows

        line, target_path = 1, _target_of(file.path, file.target_path)
        ends = functools.cache(lambda: _ends_of_both(file.path, target_path))
        pairs = zip(_lines(file.path, ends), _lines(target_path, ends), strict=True)
        while block := list(itertools.islice(pairs, base.BLOCK_ROWS)):
            rejected: dict[int, tuple[str, str]] = {}
            numbers = line + np.arange(len(block), dtype=np.int64)
            line += len(block)
            source, target = (pa.array(side, pa.binary()) for side in zip(*block, strict=True))
            if any(pc.any(pc.match_substring(side, "\r")).as_py() for side in (source, target)):
                block, numbers, rejected, line = _split_at_returns(block, int(numbers[0]))
                source, target = (pa.array(side, pa.binary()) for side in zip(*block, strict=True))
            yield Rows(
                numbers, (source, target), (source, target), np.full(len(block), 2, np.int64), rejected
            )


def _target_of(path: str, target_path: str | None) -> str:
    if target_path is None:
        raise ValueError(f"{path} has no target file")
    return target_path


@dataclasses.dataclass
class _Ends:
    """The line ends of a file. A last line without a line end counts.

    Attributes:
      lines: number of lines.
      feeds: number of lines if only line feeds end a line.
      returns: number of lines that end with a carriage return alone.
      first_return: number of the first of these, from 1; 0: there is none.
    """

    lines: int = 0
    feeds: int = 0
    returns: int = 0
    first_return: int = 0


def _ends_of(path: str) -> _Ends:
    ends, last = _Ends(), b"\n"
    for block in base.text_blocks(path):
        returns = block.count(b"\r")
        if returns and not ends.returns:
            ends.first_return = ends.lines + 1 + block[: block.index(b"\r")].count(b"\n")
        feeds = block.count(b"\n")
        ends.returns += returns
        ends.feeds += feeds
        ends.lines += returns + feeds
        last = block[-1:]
    ends.feeds += last != b"\n"
    ends.lines += last not in b"\r\n"
    return ends


def _ends_of_both(source: str, target: str) -> bool:
    """Decides whether carriage returns alone stand within lines of two aligned files, or end lines.

    They stand within lines if both files have the same number of line feeds, and more of them than of such
    carriage returns. Otherwise they end lines.

    Raises:
      DataError: the files then have different numbers of lines.
    """
    ends = [_ends_of(path) for path in (source, target)]
    if ends[0].feeds == ends[1].feeds and all(side.feeds > side.returns for side in ends):
        return True
    if ends[0].lines != ends[1].lines:
        returns = "; ".join(
            f"{side.returns} lines of {path_text(path)} end with a carriage return alone, the first is line"
            f" {side.first_return}"
            for side, path in zip(ends, (source, target), strict=True)
            if side.returns
        )
        raise DataError(
            f"aligned files differ in length: {path_text(source)} has {ends[0].lines} lines,"
            f" {path_text(target)} has {ends[1].lines}" + (f" ({returns})" if returns else ""),
            "line n of one file must translate line n of the other: find the first line where the files"
            " no longer correspond, and correct it",
        )
    return False


def _lines(path: str, are_within: Callable[[], bool]) -> Iterator[bytes]:
    """The lines of a file without their line ends. Carriage returns alone stay if `are_within` lines."""
    incomplete = b""
    for block in base.text_blocks(path):
        if b"\r" not in block and not incomplete:
            yield from base.split_block(block)
        elif are_within():
            *lines, incomplete = (incomplete + block).split(b"\n")
            yield from lines
        else:
            yield from base.split_block(block)
    if incomplete:  # a carriage return at its end ends it
        yield incomplete.removesuffix(b"\r")


def _split_at_returns(
    block: list[tuple[bytes, bytes]], line: int
) -> tuple[list[tuple[bytes, bytes]], Ints, dict[int, tuple[str, str]], int]:
    """Splits lines at carriage returns, and rejects the pieces unless both sides have equally many.

    Args:
      block: pairs of lines.
      line: number of the first line of the source.

    Returns:
      The pairs of pieces, the line number of each in the source file, the rejected pairs, and the number of
      the line after the block.
    """
    import numpy as np

    pairs: list[tuple[bytes, bytes]] = []
    numbers: list[int] = []
    rejected: dict[int, tuple[str, str]] = {}
    for pair in block:
        source, target = (side.split(b"\r") for side in pair)
        written = [[piece for piece in side if piece] for side in (source, target)]
        if len(source) != len(target) and all(len(pieces) == 1 for pieces in written):
            target = [written[1][0] if piece else b"" for piece in source]  # the other pieces are blank
        if len(source) != len(target):
            detail = (
                f"{len(source) - 1} carriage returns within the source, {len(target) - 1} within the target"
            )
            rejected |= dict.fromkeys(
                range(len(pairs), len(pairs) + len(source)), ("carriage_return", detail)
            )
            target = [pair[1]] + [b""] * (len(source) - 1)
        pairs += zip(source, target, strict=True)
        numbers += range(line, line + len(source))
        line += len(source)
    return pairs, np.array(numbers, np.int64), rejected, line
