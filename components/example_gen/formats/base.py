"""The base classes of input formats, and how text files are read.

The configuration is checked with these classes, so their modules do not import numpy and pyarrow at the top:
only the methods that read rows import them.
"""

from __future__ import annotations

import abc
import codecs
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Protocol

from bitext.components.shared import reading
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    from bitext.components.example_gen.files import Files
    from bitext.components.example_gen.rows import Rows

BLOCK_BYTES = 1 << 22
"""Text files are read in blocks of this size."""
BLOCK_ROWS = 1 << 15
"""Maximum number of rows in a block, for formats that are parsed row by row."""

Paths = tuple[str, str | None]
"""The path of a file; or the paths of a source file and of the target file aligned with it."""


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """One file to read, or one pair of aligned files.

    Attributes:
      index: position of the file in the corpus, from 0.
      label: prefix of the example ids: the file's name, or its path if another file has the same name. A span
        comes first: `span-7/spa.tsv`.
      path: path of the file; of an aligned pair, of the source file.
      target_path: path of the aligned target file, or None.
      split: split of all rows of the file; None if each row's split is decided by a hash.
      columns: indices of the source and the target column.
    """

    index: int
    label: str
    path: str
    target_path: str | None
    split: str | None
    columns: tuple[int, int]


class FormatOptions(Protocol):
    """What a format reads of ExampleGen's parameters: `Parameters` documents the fields."""

    @property
    def header(self) -> bool: ...
    @property
    def delimiter(self) -> str: ...
    @property
    def source_column(self) -> int | str: ...
    @property
    def target_column(self) -> int | str: ...


class Format(abc.ABC):
    """An input format.

    To add one: a module with a subclass in this package, and an entry in `FORMATS` of `__init__.py`.

    Attributes:
      name: value of `example_gen.format` that selects it.
      fields_read: fields of `Files` that it reads.
      keys_of_layout: keys of `example_gen` that say how a row is written, for messages.
    """

    name: ClassVar[str]
    fields_read: ClassVar[tuple[str, ...]] = ("files",)
    keys_of_layout: ClassVar[tuple[str, ...]] = ("format",)

    def check_files(self, files: Files, where: str) -> None:
        """Checks that a configuration gives the fields of `Files` that this format reads, and no others.

        Args:
          files: the files of a split, or of the corpus.
          where: key of `files` below `example_gen`, for the message; empty: `example_gen` itself.

        Raises:
          ValueError: a field is missing, or is given and not read.
        """
        names = type(files).__struct_fields__
        given = [name for name in names if getattr(files, name)]
        extra = [name for name in given if name not in self.fields_read]
        empty = [name for name in self.fields_read if name not in given]
        problem = f"{' and '.join(empty)} {'are' if empty[1:] else 'is'} empty" if empty else ""
        if extra:
            problem = f"{' and '.join(extra)} must be left out"
        if problem:
            takes = f"format {self.name} takes {' and '.join(self.fields_read)}, and {problem}"
            raise ValueError(f"{where}: {takes}" if where else takes)

    def check_options(self, options: FormatOptions) -> None:
        """Checks `header` and the columns.

        Raises:
          ValueError: the format cannot be read with these options.
        """
        for key in ("source_column", "target_column"):
            if isinstance(getattr(options, key), str) and not options.header:
                raise ValueError(f"{key} is a name, so header must be true")

    def find(self, files: Files) -> list[Paths]:
        """The files that the paths and globs of `files` match, in order, each once.

        Raises:
          DataError: a path or glob matches no file.
        """
        return [(path, None) for path in matching_files(files.files)]

    def inspect(self, path: str, target_path: str | None, options: FormatOptions) -> tuple[int, int]:
        """Checks a file, or an aligned pair of files, before its rows are read.

        Returns:
          Indices of the source and the target column.

        Raises:
          DataError: the file cannot be read, its header lacks a column, or the files are not aligned.
        """
        return (0, 1)

    @abc.abstractmethod
    def rows(self, file: SourceFile, options: FormatOptions) -> Iterator[Rows]:
        """The rows of a file, without its header, in order and in blocks that are not empty.

        A row that cannot be read is rejected with its line number (`Rows.rejected`); the rows after it are
        read.

        Raises:
          DataError: the file cannot be read.
        """


class Table(Format):
    """A text format whose rows have columns. The first line may be a header with their names."""

    keys_of_layout: ClassVar[tuple[str, ...]] = ("format", "source_column", "target_column")

    def check_options(self, options: FormatOptions) -> None:
        """Checks `header` and the columns."""
        super().check_options(options)
        if options.source_column == options.target_column:
            raise ValueError(f"source_column and target_column are the same: {options.source_column!r}")

    @abc.abstractmethod
    def header(self, line: str, options: FormatOptions) -> list[str]:
        """The column names in the first line of a file."""

    def inspect(self, path: str, target_path: str | None, options: FormatOptions) -> tuple[int, int]:
        """Looks up columns that are given by name in the header. Returns the indices of both columns."""
        columns = (options.source_column, options.target_column)
        names: list[str] = []
        if any(isinstance(column, str) for column in columns):
            line = next(text_lines(path), b"").decode("utf-8", "backslashreplace").rstrip("\r")
            names = [name.strip() for name in self.header(line, options)]
        source, target = (
            self._index_of(column, names, path, key)
            for key, column in zip(("source_column", "target_column"), columns, strict=True)
        )
        return source, target

    def _index_of(self, column: int | str, names: list[str], path: str, key: str) -> int:
        if isinstance(column, int):
            return column
        if column not in names:
            others = "".join(
                f", correct example_gen.{other}"
                for other in self.keys_of_layout
                if other not in ("source_column", "target_column")
            )
            raise DataError(
                f"{path} has no column {column!r}; its header names {', '.join(map(repr, names))}",
                f"set example_gen.{key} to one of these names{others}, or correct the first line of the file",
            )
        return names.index(column)


def matching_files(patterns: tuple[str, ...]) -> list[str]:
    """The files that paths and globs match, in the order given and sorted within a glob, each once.

    Raises:
      DataError: a path or glob matches no file.
    """
    remedy = (
        "correct the paths in example_gen (relative paths start at the current folder);"
        " `bitext fetch tatoeba-es` downloads data/spa.tsv"
    )
    paths = [path for pattern in patterns for path in reading.find_files(pattern, remedy)]
    return list(dict.fromkeys(paths))


def text_blocks(path: str) -> Iterator[bytes]:
    """The bytes of a text file, cut at line ends, without a byte order mark; no block is empty.

    Raises:
      DataError: the file cannot be read, or begins with the byte order mark of UTF-16 or UTF-32.
    """
    for index, block in enumerate(reading.whole_lines(reading.read_chunks(path, BLOCK_BYTES))):
        if index == 0 and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
            raise DataError(
                f"{path} is UTF-16 or UTF-32 text", f"convert it to UTF-8: iconv -f UTF-16 -t UTF-8 {path}"
            )
        if text := block if index else block.removeprefix(reading.BYTE_ORDER_MARK):
            yield text


def text_lines(path: str) -> Iterator[bytes]:
    """The lines of a text file without their line feeds."""
    for block in text_blocks(path):
        yield from reading.split_lines(block)
