"""Two aligned text files: line n of the target file translates line n of the source file."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from bitext.components.example_gen.formats import base, content, decoding, parts
from bitext.components.example_gen.formats.parts import Counted, Part
from bitext.components.shared import reading
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    from bitext.components.example_gen.files import Files
    from bitext.components.example_gen.rows import Rows


_Pair: TypeAlias = tuple[bytes, bytes]


class Parallel(base.Format):
    """Pairs of text files with one sentence a line. The lists of both sides match file by file."""

    name = "parallel"
    fields_read = ("source_files", "target_files")

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
        """Checks that both files are no other format, and have the same number of lines if they are small.

        The lines of large files are counted by the workers.
        """
        for side in (path, _target_of(path, target_path)):
            content.check_rows(base.text_head(side, options.encoding), side)
        if not _is_large(path, _target_of(path, target_path)):
            _ends_of_both(path, _target_of(path, target_path), options.encoding)
        return (0, 1)

    def is_divisible(self, file: base.SourceFile, options: base.FormatOptions) -> bool:
        """Whether the files are UTF-8."""
        return decoding.is_utf8(options.encoding)

    def divide(self, counted: Sequence[Sequence[Counted]]) -> list[Part]:
        """Parts with the same lines of both files; none if a carriage return alone is in one of them."""
        if any(each.returns for side in counted for each in side):
            return []  # it may stand within a line
        source, target = (sum(sum(each.lines) for each in side) for side in counted)
        return parts.by_lines(counted, base.BLOCK_ROWS) if source == target else []

    def rows(self, file: base.SourceFile, options: base.FormatOptions) -> Iterator[Rows]:
        """The rows of a pair of files, in order."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from bitext.components.example_gen.rows import Rows

        line, target_path, encoding = 1, _target_of(file.path, file.target_path), options.encoding
        ends = functools.cache(lambda: _ends_of_both(file.path, target_path, encoding))
        if file.part is None:
            if _is_large(file.path, target_path):
                ends()
            pairs = itertools.zip_longest(
                _lines(file.path, ends, encoding), _lines(target_path, ends, encoding)
            )
        else:
            line = file.part.line
            pairs = itertools.zip_longest(
                _lines_of_part(file.path, 0, file.part), _lines_of_part(target_path, 1, file.part)
            )
        for block in base.in_blocks(pairs, _pair_bytes):
            if None in block[-1]:
                raise _changed(file.path, target_path)
            source, target = (pa.array(side, pa.binary()) for side in zip(*block, strict=True))
            if not any(pc.any(pc.match_substring(side, "\r")).as_py() for side in (source, target)):
                numbers = line + np.arange(len(block), dtype=np.int64)
                line += len(block)
                yield Rows(numbers, (source, target), (source, target), np.full(len(block), 2, np.int64))
                continue
            for pieces in base.in_blocks(_split_at_returns(block, line), lambda p: _pair_bytes(p.pair)):
                source, target = (pa.array([p.pair[i] for p in pieces], pa.binary()) for i in (0, 1))
                yield Rows(
                    np.array([piece.line for piece in pieces], np.int64),
                    (source, target),
                    (source, target),
                    np.full(len(pieces), 2, np.int64),
                    {row: ("carriage_return", p.detail) for row, p in enumerate(pieces) if p.detail},
                )
            line += sum(1 + _returns(line_of_source) for line_of_source, _ in block)
        parts.check_lines(file.part, line, file.path, file.target_path)


def _is_large(path: str, target_path: str) -> bool:
    return any(parts.size_of(side) > parts.LARGE_BYTES for side in (path, target_path))


def _lines_of_part(path: str, side: int, part: Part) -> Iterator[bytes]:
    """The lines of one side of a part, which have no carriage return."""
    blocks = base.text_blocks(path, chunks=part.chunks[side])
    lines = itertools.chain.from_iterable(map(base.split_block, blocks))
    return itertools.islice(lines, part.skipped[side], part.skipped[side] + part.lines)


def _pair_bytes(pair: _Pair) -> int:
    return len(pair[0] or b"") + len(pair[1] or b"")


def _changed(source: str, target: str) -> DataError:
    return DataError(
        f"{path_text(source)} or {path_text(target)} changed while they were read: they no longer have the"
        " same number of lines",
        "run it again when no program writes into these files",
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


def _ends_of(path: str, encoding: str) -> _Ends:
    ends, last = _Ends(), b"\n"
    for block in base.text_blocks(path, encoding):
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


def _ends_of_both(source: str, target: str, encoding: str) -> bool:
    """Decides whether carriage returns alone stand within lines of two aligned files, or end lines.

    They stand within lines if both files have the same number of line feeds, and more of them than of such
    carriage returns. Otherwise they end lines.

    Raises:
      DataError: the files then have different numbers of lines.
    """
    ends = [_ends_of(path, encoding) for path in (source, target)]
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


class _CutLine(bytes):
    """A line that is longer than a row may be, without its end.

    Attributes:
      returns: number of carriage returns in the whole line.
    """

    returns = 0


def _returns(line: bytes) -> int:
    return line.returns if isinstance(line, _CutLine) else line.count(b"\r")


def _lines(path: str, are_within: Callable[[], bool], encoding: str) -> Iterator[bytes]:
    """The lines of a file without their line ends. Carriage returns alone stay if `are_within` lines."""
    incomplete = b""
    for block in base.text_blocks(path, encoding):
        if b"\r" not in block and not incomplete:
            yield from base.split_block(block)
        elif are_within():
            first, *others = block.split(b"\n")
            lines = [_joined(incomplete, first), *(_joined(b"", line) for line in others)]
            incomplete = lines.pop()
            yield from lines
        else:
            yield from base.split_block(block)
    if incomplete:  # a carriage return at its end ends it
        yield incomplete if isinstance(incomplete, _CutLine) else incomplete.removesuffix(b"\r")


def _joined(begin: bytes, end: bytes) -> bytes:
    """Joins two parts of a line, and cuts the line if it is too long."""
    size = reading.MAX_LINE_BYTES + 1
    if len(begin) + len(end) <= size:
        return begin + end
    line = _CutLine(begin[:size] + end[: max(0, size - len(begin))])
    line.returns = _returns(begin) + end.count(b"\r")
    return line


@dataclasses.dataclass(frozen=True)
class _Piece:
    """A pair of pieces of two lines.

    Attributes:
      pair: the pieces.
      line: the number of the line in the source file.
      detail: why they are no pair; empty: they are one.
    """

    pair: _Pair
    line: int
    detail: str = ""


def _split_at_returns(block: list[_Pair], line: int) -> Iterator[_Piece]:
    """Splits lines at carriage returns, and rejects the pieces unless both sides have equally many.

    A pair with a line that is too long is not split.

    Args:
      block: pairs of lines.
      line: number of the first line of the source.
    """
    for pair in block:
        source, target = (side.split(b"\r") for side in pair)
        written = [[piece for piece in side if piece] for side in (source, target)]
        detail = ""
        if any(map(reading.is_cut, pair)):
            source, target = [pair[0]], [pair[1]]
        elif len(source) != len(target) and all(len(pieces) == 1 for pieces in written):
            target = [written[1][0] if piece else b"" for piece in source]  # the other pieces are blank
        elif len(source) != len(target):
            detail = (
                f"{len(source) - 1} carriage returns within the source, {len(target) - 1} within the target"
            )
            target = [pair[1]] + [b""] * (len(source) - 1)
        for number, pieces in enumerate(zip(source, target, strict=True), line):
            yield _Piece(pieces, number, detail)
        line += 1 + _returns(pair[0])
