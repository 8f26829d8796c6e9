"""Two aligned text files: line n of the target file translates line n of the source file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bitext.components.example_gen.formats import base
from bitext.components.shared import reading
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    from bitext.components.example_gen.files import Files
    from bitext.components.example_gen.rows import Rows


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
                f"{', '.join(source)} against {', '.join(target)}",
                "name the same number of files on both sides, in the same order",
            )
        return list(zip(source, target, strict=True))

    def inspect(self, path: str, target_path: str | None, options: base.FormatOptions) -> tuple[int, int]:
        """Checks that both files have the same number of lines."""
        source, target = path, _target_of(path, target_path)
        lines = [_count_lines(path) for path in (source, target)]
        if lines[0] != lines[1]:
            raise DataError(
                f"aligned files differ in length: {source} has {lines[0]} lines, {target} has {lines[1]}",
                "line n of one file must translate line n of the other: find the first line where the files"
                " no longer correspond, and correct it",
            )
        return (0, 1)

    def rows(self, file: base.SourceFile, options: base.FormatOptions) -> Iterator[Rows]:
        """The rows of a pair of files, in order."""
        import numpy as np
        import pyarrow as pa

        from bitext.components.example_gen.rows import Rows

        line, target_path = 1, _target_of(file.path, file.target_path)
        pairs = zip(base.text_lines(file.path), base.text_lines(target_path), strict=True)
        while block := list(itertools.islice(pairs, base.BLOCK_ROWS)):
            source, target = (pa.array(side, pa.binary()) for side in zip(*block, strict=True))
            numbers = line + np.arange(len(block), dtype=np.int64)
            line += len(block)
            yield Rows(numbers, (source, target), (source, target), np.full(len(block), 2, np.int64))


def _target_of(path: str, target_path: str | None) -> str:
    if target_path is None:
        raise ValueError(f"{path} has no target file")
    return target_path


def _count_lines(path: str) -> int:
    """The number of lines of a text file; a last line without a line feed counts."""
    lines, last_byte = 0, b"\n"
    for chunk in reading.read_chunks(path, base.BLOCK_BYTES):
        lines += chunk.count(b"\n")
        last_byte = chunk[-1:]
    return lines + (last_byte != b"\n")
