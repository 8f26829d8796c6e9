"""Finds and reads local and remote files: decompresses by file name, splits at line ends.

A line ends with a line feed, a carriage return, or both (LF, CR, CRLF), as in Python's text mode. Several
carriage returns before a line feed are one line end: a file that was converted twice has CR CR LF. No other
character ends a line: not vertical tab, form feed, U+0085, U+2028 or U+2029.

The memory is limited whatever a file contains: the end of a line over `MAX_LINE_BYTES` is not kept.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TypeAlias

from bitext.components.shared import archives, decompression, file_kinds, storage
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError, MissingFileError
from bitext.components.shared.files import local_files, not_a_file

Stamp: TypeAlias = tuple[int, int]
"""Size in bytes, and time of the last change in nanoseconds."""
ENDINGS = tuple(file_kinds.COMPRESSED)
"""Endings of the names of compressed files."""
_HEAD_BYTES = 512
_ARCHIVE_BYTES = 1 << 20
_RETURNS = re.compile(rb"(?<!\r)\r++\n")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_LINE_BYTES = 1 << 20
"""A longer line is cut. It stays longer than this, so that `is_cut` knows it."""
_MORE_BYTES = 8
"""A cut line has at most so many bytes more: a character or a byte order mark less, it still is too long."""


def matching_files(pattern: str) -> list[str]:
    """Returns the files that a local or remote path or pattern matches, sorted; may be empty.

    `ARCHIVE//MEMBER` names files in a ZIP or tar archive; both parts may be globs.

    Raises:
      DataError: an archive is damaged or has no matching member.
      ConfigError: nobody knows the file system of a remote pattern, or its package is not installed.
      EnvironmentFault: the file system of a remote pattern cannot be reached.
    """
    if parts := archives.split_path(pattern):
        return [path for archive in matching_files(parts[0]) for path in _members(archive, parts[1])]
    return storage.matching(pattern) if storage.is_remote(pattern) else local_files(pattern)


def find_files(pattern: str, remedy: str) -> list[str]:
    """Returns the files that a local or remote path or pattern matches, sorted; at least one.

    Args:
      pattern: the path or pattern.
      remedy: what a person can do if it matches no file.

    Raises:
      DataError: the pattern matches no file, or cannot be looked up.
    """
    matched_paths = matching_files(pattern)
    if not matched_paths:
        raise not_a_file(pattern) or MissingFileError(
            f"no file matches {path_text(pattern)}", remedy, pattern
        )
    return matched_paths


def file_stamp(path: str) -> Stamp | None:
    """The size and the time of the last change of a local file; None for others, and for a missing file."""
    path = archives.container(path)
    if storage.is_remote(path):
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def remote_stamp(path: str) -> Stamp | None:
    """The size of a remote file, and a number that identifies its content; None if it does not exist."""
    try:
        size, fingerprint = storage.size_and_fingerprint(path)
    except FileNotFoundError:
        return None
    return size, int(fingerprint[:16], 16)


Check: TypeAlias = Callable[[bytes, str], None]
"""Checks the first decompressed bytes of a file: (bytes, path)."""


def read_chunks(path: str, size: int, check: Check = file_kinds.check_text) -> Iterator[bytes]:
    """Yields the bytes of a local or remote file in chunks, decompressed. See `stream_chunks`.

    Raises:
      DataError: the file cannot be read, or its compressed stream is damaged or truncated.
    """
    parts = archives.split_path(path)
    try:
        opened = storage.open_file(parts[0] if parts else path)
        with opened as file, storage.reporting_faults(path):
            if parts is None:
                yield from stream_chunks(file, path, size, check)
            else:
                members = archives.read_member(*parts, file, _tar_chunks(parts[0]), size)
                yield from text_chunks(members, path, size, check)
    except (OSError, *decompression.ERRORS) as error:
        raise DataError(
            f"cannot read {path_text(path)}: {error}", "check that the file is whole and readable"
        ) from error


def _members(archive: str, pattern: str) -> list[str]:
    try:
        with storage.open_file(archive) as file:
            return archives.matching_members(archive, pattern, file, _tar_chunks(archive))
    except (OSError, *decompression.ERRORS) as error:
        raise DataError(
            f"cannot read {path_text(archive)}: {error}", "check that the file is whole and readable"
        ) from error


def _tar_chunks(archive: str) -> archives.Chunks:
    """Yields the bytes of a tar archive, decompressed by its name."""
    name = archives.compression_name(archive)

    def chunks(file: BinaryIO) -> Iterator[bytes]:
        compressed = iter(lambda: file.read(_ARCHIVE_BYTES), b"")
        return decompression.decompressed(compressed, name) if name.endswith(ENDINGS) else compressed

    return chunks


def stream_chunks(
    stream: BinaryIO, path: str, size: int, check: Check = file_kinds.check_text
) -> Iterator[bytes]:
    """Yields the bytes of a text file in chunks of `size` bytes; the last chunk may be smaller.

    Beam's decompression is not used, because it does not report a truncated stream.

    Args:
      stream: the stream.
      path: its name. If it ends with one of `ENDINGS`, the bytes are decompressed.
      size: bytes in a chunk.
      check: raises a DataError if the first bytes are not what is expected; by default text in UTF-8.

    Raises:
      DataError: the stream cannot be read, is damaged or truncated, is not compressed as its name says, or is
        not what `check` expects.
    """

    def chunks() -> Iterator[bytes]:
        with storage.reporting_faults(path):
            yield from iter(lambda: stream.read(size), b"")

    return text_chunks(chunks(), path, size, check)


def text_chunks(
    chunks: Iterator[bytes], path: str, size: int, check: Check = file_kinds.check_text
) -> Iterator[bytes]:
    """Decompresses and checks the chunks of a file. See `stream_chunks`."""
    try:
        if path.endswith(ENDINGS):
            head, compressed = _with_head(chunks)
            if not head:
                raise EOFError("the compressed stream ends too early")
            file_kinds.check_compression(head, path)
            chunks = of_size(decompression.decompressed(compressed, path), size)
        head, chunks = _with_head(chunks)
        check(head, path)
        yield from chunks
    except (OSError, *decompression.ERRORS) as error:
        raise DataError(
            f"cannot read {path_text(path)}: {error}", "check that the file is whole and readable"
        ) from error


def _with_head(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, at least `_HEAD_BYTES` if there are so many; and all chunks, with these bytes."""
    first: list[bytes] = []
    while sum(map(len, first)) < _HEAD_BYTES and (chunk := next(chunks, b"")):
        first.append(chunk)
    return b"".join(first), itertools.chain(first, chunks)


def of_size(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yields the same bytes in chunks of `size` bytes; the last chunk may be smaller."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        complete = len(buffer) - len(buffer) % size
        for start in range(0, complete, size):
            yield bytes(buffer[start : start + size])
        del buffer[:complete]
    if buffer:
        yield bytes(buffer)


@dataclasses.dataclass(frozen=True)
class LineBlock:
    """Consecutive whole lines.

    Attributes:
      text: the lines with their line ends. Lines over `MAX_LINE_BYTES` are cut. The last line of a file may
        have no line end.
      size: number of bytes that were read for them, which is more than `text` has if lines are cut.
    """

    text: bytes
    size: int


def is_cut(line: bytes) -> bool:
    """Whether a line of a `LineBlock`, without its line end, is longer than `MAX_LINE_BYTES`."""
    return len(line) > MAX_LINE_BYTES


def whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the text of each block of `line_blocks`."""
    return (block.text for block in line_blocks(chunks))


def line_blocks(chunks: Iterable[bytes]) -> Iterator[LineBlock]:
    """Yields blocks of complete lines that are not empty, as `LineSplitter` divides the chunks of a file."""
    splitter = LineSplitter()
    for chunk in chunks:
        yield from splitter.push(chunk)
    yield from splitter.finish()


class LineSplitter:
    """Divides the chunks of a file into blocks of complete lines, one for each chunk in which a line ends.

    A block ends with a line feed if the chunk has one, so that the pieces of a line with a carriage return
    stay together. More than `MAX_LINE_BYTES` carriage returns in sequence are line ends each.
    """

    def __init__(self) -> None:
        self._incomplete: list[bytes] = []
        self._size, self._in_cut_line = 0, False

    def push(self, chunk: bytes) -> Iterator[LineBlock]:
        """Yields the blocks that end with a chunk, which is not empty, or before it. Iterate to the end."""
        # Carriage returns at the end of a chunk end lines unless a line feed follows.
        is_after_return = bool(self._incomplete) and self._incomplete[-1].endswith(b"\r")
        if is_after_return and chunk.lstrip(b"\r")[:1] not in (b"\n", b""):
            yield from self.finish()
        self._size += len(chunk)
        if self._in_cut_line:
            chunk = chunk[_line_end(chunk, 0) :]
            if not chunk:
                return
        if end := last_line_end(chunk):
            rest = len(chunk) - end
            yield LineBlock(_cut_lines(b"".join([*self._incomplete, chunk[:end]])), self._size - rest)
            self._incomplete, self._size = [], rest
        if end < len(chunk):
            self._incomplete.append(chunk[end:])
        self._in_cut_line = False
        if sum(map(len, self._incomplete)) > MAX_LINE_BYTES + _MORE_BYTES:
            text = b"".join(self._incomplete)
            self._in_cut_line = not _has_line_end(text[-MAX_LINE_BYTES - _MORE_BYTES - 1 :])
            self._incomplete = [_cut_lines(text)]
            if not text[-MAX_LINE_BYTES - 1 :].strip(b"\r"):
                yield LineBlock(self._incomplete[0], self._size)
                self._incomplete, self._size = [], 0

    def finish(self) -> Iterator[LineBlock]:
        """Yields the rest."""
        if last := b"".join(self._incomplete):
            yield LineBlock(_cut_lines(last), self._size)
        self._incomplete, self._size = [], 0


def last_line_end(chunk: bytes) -> int:
    """Where the last complete lines of a chunk end; 0: none is known to end in it.

    What `LineSplitter` holds after a chunk in which a line ends does not depend on the chunks before it.
    """
    return chunk.rfind(b"\n") + 1 or chunk.rstrip(b"\r").rfind(b"\r") + 1


def _cut_lines(text: bytes) -> bytes:
    """Cuts the lines over `MAX_LINE_BYTES` before a character (UTF-8). Their line ends stay."""
    parts: list[bytes] = []
    start = copied = 0
    while len(text) - start > MAX_LINE_BYTES:
        stop = start + MAX_LINE_BYTES + 1
        # Lines are short up to the last line end that is near enough.
        end = text.rfind(b"\n", start, stop)
        if end < 0:
            end = text.rfind(b"\r", start, stop)
        if end >= 0:
            start = end + 1
            continue
        start, cut = _line_end(text, stop), start + MAX_LINE_BYTES + _MORE_BYTES
        if cut < start:
            cut -= next((n for n in range(3) if text[cut - n] & 0xC0 != 0x80), 3)
            parts.append(text[copied:cut])
            copied = start
    return b"".join([*parts, text[copied:]]) if parts else text


def _line_end(text: bytes, start: int) -> int:
    """Index of the first line feed or carriage return from `start`; if there is none, the length."""
    ends = [end for end in (text.find(b"\n", start), text.find(b"\r", start)) if end >= 0]
    return min(ends, default=len(text))


def _has_line_end(text: bytes) -> bool:
    return b"\n" in text or b"\r" in text


def split_lines(block: bytes) -> list[bytes]:
    """Returns the lines of a block without their line ends (LF, CR, CRLF or CR CR LF)."""
    return without_returns(block).splitlines()


def without_returns(block: bytes) -> bytes:
    """Returns a block with a line feed in place of each line feed that carriage returns are before."""
    if b"\r\r\n" in block:
        return _RETURNS.sub(b"\n", block)
    return block.replace(b"\r\n", b"\n")
