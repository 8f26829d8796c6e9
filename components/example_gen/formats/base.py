"""The base classes of input formats, and how text files are read.

The configuration is checked with these classes, so their modules do not import numpy and pyarrow at the top:
only the methods that read rows import them.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from bitext.components.example_gen.formats import content, decoding, parts
from bitext.components.example_gen.formats.parts import Counted, Part
from bitext.components.shared import chunk_ranges, encodings, file_kinds, reading
from bitext.components.shared.chunk_ranges import Block, Chunks
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    from bitext.components.example_gen.files import Files
    from bitext.components.example_gen.rows import Rows

BLOCK_BYTES = 1 << 22
"""Text files are read in blocks of this size."""
BLOCK_ROWS = 1 << 15
"""Maximum number of rows in a block, for formats that are parsed row by row."""
MOST_BLOCK_BYTES = 1 << 24
"""A block of such a format ends after so many bytes, even if it has fewer rows."""

LEAST_FOREIGN_LINES = 10
"""A file with fewer lines that are not UTF-8 is read, and these lines are rejected."""

DEFAULTS: dict[str, object] = {
    "delimiter": ",",
    "encoding": decoding.UTF_8,
    "header": False,
    "inline_markup": "drop",
    "source_column": 0,
    "source_language": None,
    "target_column": 1,
    "target_language": None,
}
"""The defaults of the options of a format."""

Row = TypeVar("Row")
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
      numbered: what the numbers of its rows count, see `Format.numbered`.
      stamps: of the source and the target file before they were read; see `reading.file_stamp`.
      part: the part of the file to read; None: all of it.
    """

    index: int
    label: str
    path: str
    target_path: str | None
    split: str | None
    columns: tuple[int, int]
    numbered: str = "line"
    stamps: tuple[reading.Stamp | None, reading.Stamp | None] = (None, None)
    part: Part | None = None


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
    @property
    def encoding(self) -> str: ...
    @property
    def source_language(self) -> str | None: ...
    @property
    def target_language(self) -> str | None: ...
    @property
    def inline_markup(self) -> str: ...


class Format(abc.ABC):
    """An input format.

    To add one: a module with a subclass in this package, and an entry in `FORMATS` of `__init__.py`.

    Attributes:
      name: value of `example_gen.format` that selects it.
      fields_read: fields of `Files` that it reads.
      keys_of_layout: keys of `example_gen` that say how a row is written, for messages.
      options_read: fields of `FormatOptions` that it reads. The others must have their defaults.
    """

    name: ClassVar[str]
    fields_read: ClassVar[tuple[str, ...]] = ("files",)
    keys_of_layout: ClassVar[tuple[str, ...]] = ("format",)
    options_read: ClassVar[frozenset[str]] = frozenset({"encoding"})

    def numbered(self, path: str) -> str:
        """What the numbers of the rows of a file count: `line`, or a `unit`, `row` or `message`."""
        return "line"

    def fields_for(self, files: Files) -> tuple[str, ...]:
        """The fields of `Files` that are read, of a split or corpus with these files."""
        return self.fields_read

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
        fields = self.fields_for(files)
        extra = [name for name in given if name not in fields]
        empty = [name for name in fields if name not in given]
        problem = f"{' and '.join(empty)} {'are' if empty[1:] else 'is'} empty" if empty else ""
        if extra:
            problem = f"{' and '.join(extra)} must be left out"
        if problem:
            takes = f"format {self.name} takes {' and '.join(fields)}, and {problem}"
            raise ValueError(f"{where}: {takes}" if where else takes)

    def check_options(self, options: FormatOptions) -> None:
        """Checks that the options are read, `header` and the columns.

        Raises:
          ValueError: the format cannot be read with these options.
        """
        for key, default in DEFAULTS.items():
            if key not in self.options_read and getattr(options, key) != default:
                hint = "; give format csv to read columns with this delimiter" if key == "delimiter" else ""
                raise ValueError(f"format {self.name} has no {key}{hint}")
        if "header" not in self.options_read:
            return
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

    def header_cells(self, file: SourceFile, options: FormatOptions) -> tuple[str, ...]:
        """What the first row has in the columns of source and target, if it is left out as a header."""
        return ()

    def is_divisible(self, file: SourceFile, options: FormatOptions) -> bool:
        """Whether parts of a file can be read by themselves, if it is large."""
        return False

    def counter(self, file: SourceFile, options: FormatOptions) -> Format:
        """The format whose `count` and `divide` are for a file."""
        return self

    def count(self, path: str, chunks: Chunks) -> Counted:
        """Counts the lines of a range of a divisible file.

        Raises:
          DataError: the file cannot be read.
          chunk_ranges.LineTooLongError: it has a line that is too long.
        """
        return parts.count(blocks_to_count(path, chunks), chunks)

    def divide(self, counted: Sequence[Sequence[Counted]]) -> list[Part]:
        """The parts of a divisible file that give the same rows as the whole file; none: it is not divisible.

        Args:
          counted: what was counted in the ranges of the file; of aligned files, in those of both.
        """
        return parts.by_ranges(counted[0])

    @abc.abstractmethod
    def rows(self, file: SourceFile, options: FormatOptions) -> Iterator[Rows]:
        """The rows of a file or of its part, without a header, in order and in blocks that are not empty.

        A row that cannot be read is rejected with its line number (`Rows.rejected`); the rows after it are
        read.

        Raises:
          DataError: the file cannot be read.
        """


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


def in_blocks(rows: Iterable[Row], size: Callable[[Row], int]) -> Iterator[list[Row]]:
    """Gathers rows in blocks of at most `BLOCK_ROWS` rows and about `MOST_BLOCK_BYTES`.

    A block ends after each multiple of `BLOCK_ROWS` rows.

    Args:
      rows: rows that are no longer than `reading.MAX_LINE_BYTES`, or little longer.
      size: returns the bytes of a row.
    """
    block: list[Row] = []
    total = 0
    for number, row in enumerate(rows, 1):
        block.append(row)
        total += size(row)
        if number % BLOCK_ROWS == 0 or total >= MOST_BLOCK_BYTES:
            yield block
            block, total = [], 0
    if block:
        yield block


def text_blocks(
    path: str,
    encoding: str = decoding.UTF_8,
    block_bytes: int | None = None,
    chunks: Chunks | None = None,
) -> Iterator[bytes]:
    """The text of a file as UTF-8, cut at line ends, without a byte order mark; no block is empty.

    Blocks have about `BLOCK_BYTES`; or `block_bytes`, and then the encoding is not judged.

    CRLF and CR CR LF become LF: every carriage return that is left ends a line alone (`reading`). Lines over
    `reading.MAX_LINE_BYTES` are cut: their rows are rejected as `row_too_long`.

    Args:
      path: the file.
      encoding: its encoding.
      block_bytes: see above.
      chunks: the range of chunks of `BLOCK_BYTES` to read of a file in UTF-8; None: all of it.

    Raises:
      DataError: the file cannot be read, is no text, or is text in another encoding: half of the lines of a
        block that are not ASCII, a tenth of all and at least `LEAST_FOREIGN_LINES` cannot be decoded.
    """
    check = functools.partial(content.check_text, encoding=encoding)
    if chunks is None:
        read = reading.read_chunks(path, block_bytes or BLOCK_BYTES, check)
        if not decoding.is_utf8(encoding):
            read = decoding.to_utf8(read, path, encoding)
        texts = enumerate(reading.whole_lines(read))
        blocks: Iterator[Block] = (Block(text, 0, not index) for index, text in texts)
    else:
        blocks = chunk_ranges.line_blocks(path, chunks, BLOCK_BYTES, check)
    for block in map(_normalized, blocks):
        if block_bytes is None and not encodings.is_utf8(block.text):
            _check_encoding(block.text, path, encoding)
        if block.text:
            yield block.text


def _normalized(block: Block) -> Block:
    """A block without a byte order mark, and without carriage returns before a line feed."""
    text = block.text.removeprefix(reading.BYTE_ORDER_MARK) if block.is_first else block.text
    if b"\r" in text:
        text = reading.without_returns(text)
    return block if text is block.text else dataclasses.replace(block, text=text)


def blocks_to_count(path: str, chunks: Chunks) -> Iterator[Block]:
    """The blocks of a range of a file, as of `text_blocks`, whose encoding is not judged."""
    blocks = map(_normalized, chunk_ranges.line_blocks(path, chunks, BLOCK_BYTES))
    return (block for block in blocks if block.text)


def text_head(path: str, encoding: str = decoding.UTF_8) -> bytes:
    """The first whole lines of a text file, at least `file_kinds.HEAD_BYTES` if it has so many bytes."""
    lines: list[bytes] = []
    for block in text_blocks(path, encoding, file_kinds.HEAD_BYTES):
        lines.append(block)
        if sum(map(len, lines)) >= file_kinds.HEAD_BYTES:
            break
    return b"".join(lines)


def _check_encoding(block: bytes, path: str, encoding: str) -> None:
    """Checks that a block with lines that cannot be decoded is not text in another encoding."""
    counts = encodings.LineCounts()
    counts.add(split_block(block))
    if not counts.is_foreign(LEAST_FOREIGN_LINES):
        return
    of_lines = f"{counts.invalid:,} of {counts.lines:,} lines are not"
    if not decoding.is_utf8(encoding):
        raise DataError(
            f"{path_text(path)} is not {encoding} text: {of_lines}",
            "correct example_gen.encoding; without it, an error names the encoding that is likely",
        )
    likely = encodings.likely_encoding(counts.sample)
    raise DataError(
        f"{path_text(path)} is not UTF-8 text: {of_lines}" + (f"; it looks like {likely}" if likely else ""),
        decoding.remedy(likely, path),
    )


def text_lines(path: str, encoding: str = decoding.UTF_8) -> Iterator[bytes]:
    """The lines of a text file without their line ends (LF, CR or CRLF). See `text_blocks`."""
    for block in text_blocks(path, encoding):
        yield from split_block(block)


def split_block(block: bytes) -> list[bytes]:
    """The lines of a block of `text_blocks` without their line ends."""
    return block.replace(b"\r", b"\n").removesuffix(b"\n").split(b"\n")
