"""The base class of the formats whose rows have columns."""

from __future__ import annotations

import abc
from typing import ClassVar

from bitext.components.example_gen.formats import guards, text_columns
from bitext.components.example_gen.formats.base import Format, FormatOptions, SourceFile
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

MAX_HEADER_CHARACTERS = 10_000


class Table(Format):
    """A text format whose rows have columns. The first line may be a header with their names."""

    keys_of_layout: ClassVar[tuple[str, ...]] = ("format", "source_column", "target_column")
    options_read = frozenset({"encoding", "header", "source_column", "target_column"})

    def check_options(self, options: FormatOptions) -> None:
        """Checks `header` and the columns."""
        super().check_options(options)
        if options.source_column == options.target_column:
            raise ValueError(f"source_column and target_column are the same: {options.source_column!r}")

    @abc.abstractmethod
    def header(self, path: str, options: FormatOptions) -> list[str]:
        """The column names in the first row of a file; none if the file is empty."""

    @abc.abstractmethod
    def sample(self, path: str, options: FormatOptions) -> list[list[str]]:
        """The first rows, at most `guards.SAMPLE_ROWS`, with a header.

        Raises:
          DataError: the file cannot be read as this format.
        """

    def inspect(self, path: str, target_path: str | None, options: FormatOptions) -> tuple[int, int]:
        """Looks up columns that are given by name in the header, and checks the first rows.

        Returns:
          Indices of both columns.

        Raises:
          DataError: the header lacks a column, or the first rows look like another format, like a header that
            is not declared, or lack a column.
        """
        rows = self.sample(path, options)
        columns = (options.source_column, options.target_column)
        names: list[str] = []
        if any(isinstance(column, str) for column in columns):
            names = [name.strip() for name in self.header(path, options)]
            if sum(map(len, names)) > MAX_HEADER_CHARACTERS:
                raise DataError(
                    f"{path_text(path)}: the first line is no header: it is longer than"
                    f" {MAX_HEADER_CHARACTERS:,} characters",
                    "correct the first line of the file, or set example_gen.header to false",
                )
        source, target = (
            self._index_of(column, names, path, key)
            for key, column in zip(("source_column", "target_column"), columns, strict=True)
        )
        if not options.header:
            guards.check_header(rows, (source, target), path)
        guards.check_columns(rows, (source, target), path, self.name, self.delimiter(options))
        if not names:  # the columns are numbers, which may be those of other columns
            text_columns.check(rows[options.header :], (source, target), path)
        return source, target

    def header_cells(self, file: SourceFile, options: FormatOptions) -> tuple[str, ...]:
        """The cells of the header in the columns of source and target, if these are numbers."""
        if not options.header or any(
            isinstance(column, str) for column in (options.source_column, options.target_column)
        ):
            return ()
        cells = self.header(file.path, options)
        return tuple(cells[column].strip() for column in file.columns if column < len(cells))

    def delimiter(self, options: FormatOptions) -> str:
        """The character between columns."""
        return "\t"

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
                f"{path_text(path)} has no column {column!r}; its header names {', '.join(map(repr, names))}",
                f"set example_gen.{key} to one of these names{others}, or correct the first line of the file",
            )
        return names.index(column)
