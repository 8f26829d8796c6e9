"""Finds and reads local and remote files: decompresses by file name, splits at line ends.

A line ends with a line feed, a carriage return, or both (LF, CR, CRLF), as in Python's text mode. Several
carriage returns before a line feed are one line end: a file that was converted twice has CR CR LF. No other
character ends a line: not vertical tab, form feed, U+0085, U+2028 or U+2029.
"""

from __future__ import annotations

import bz2
import itertools
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import zstandard

from bitext.components.shared import file_kinds
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError
from bitext.components.shared.files import is_remote, local_files

ENDINGS = tuple(file_kinds.COMPRESSED)
"""Endings of the names of compressed files."""
_HEAD_BYTES = 512
_RETURNS = re.compile(rb"(?<!\r)\r++\n")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def matching_files(pattern: str) -> list[str]:
    """Returns the files that a local or remote path or pattern matches, sorted; may be empty.

    Raises:
      DataError: a remote pattern cannot be looked up.
    """
    if not is_remote(pattern):
        return local_files(pattern)
    from apache_beam.io.filesystems import FileSystems

    try:
        return sorted(m.path for result in FileSystems.match([pattern]) for m in result.metadata_list)
    except (OSError, ValueError) as error:  # Beam's own error is an OSError
        raise DataError(
            f"cannot look up {path_text(pattern)}: {error}", "check the path and your access to it"
        ) from error


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
        raise DataError(f"no file matches {path_text(pattern)}", remedy)
    return matched_paths


def read_chunks(path: str, size: int) -> Iterator[bytes]:
    """Yields the bytes of a local or remote file in chunks, decompressed. See `stream_chunks`.

    Raises:
      DataError: the file cannot be read, or its compressed stream is damaged or truncated.
    """
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            yield from stream_chunks(file, path, size)
    except OSError as error:
        raise DataError(
            f"cannot read {path_text(path)}: {error}", "check that the file is whole and readable"
        ) from error


def stream_chunks(stream: BinaryIO, path: str, size: int) -> Iterator[bytes]:
    """Yields the bytes of a text file in chunks of `size` bytes; the last chunk may be smaller.

    Beam's decompression is not used, because it does not report a truncated stream.

    Args:
      stream: the stream.
      path: its name. If it ends with one of `ENDINGS`, the bytes are decompressed.
      size: bytes in a chunk.

    Raises:
      DataError: the stream cannot be read, is damaged or truncated, is not compressed as its name says, or is
        no text (`file_kinds.check_text`).
    """
    chunks = iter(lambda: stream.read(size), b"")
    try:
        if path.endswith(ENDINGS):
            head, compressed = _with_head(chunks)
            if not head:
                raise EOFError("the compressed stream ends too early")
            file_kinds.check_compression(head, path)
            chunks = _of_size(_decompressed(compressed, path), size)
        head, chunks = _with_head(chunks)
        file_kinds.check_text(head, path)
        yield from chunks
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise DataError(
            f"cannot read {path_text(path)}: {error}", "check that the file is whole and readable"
        ) from error


def _with_head(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, at least `_HEAD_BYTES` if there are so many; and all chunks, with these bytes."""
    first: list[bytes] = []
    while sum(map(len, first)) < _HEAD_BYTES and (chunk := next(chunks, b"")):
        first.append(chunk)
    return b"".join(first), itertools.chain(first, chunks)


def _decompressed(chunks: Iterable[bytes], path: str) -> Iterator[bytes]:
    """Yields decompressed bytes. Compressed files may be concatenated, so each stream gets a decompressor.

    Zero bytes after a stream are ignored, as gzip and xz do: tapes and block devices pad with them.
    """
    decompressor, is_first = None, True
    for chunk in chunks:
        while chunk:
            if decompressor is None:
                chunk = chunk if is_first else chunk.lstrip(b"\0")
                if not chunk:
                    break
                if not is_first and chunk[0] not in file_kinds.first_bytes(path):
                    raise EOFError("other data follows the end of the compressed data")
                decompressor, is_first = _decompressor(path), False
            if decompressed := decompressor.decompress(chunk):
                yield decompressed
            chunk = decompressor.unused_data if decompressor.eof else b""
            if decompressor.eof:
                decompressor = None
    if decompressor is not None:
        raise EOFError("the compressed stream ends too early")


def _decompressor(path: str) -> Any:
    """Returns a new decompressor for the ending of the file name."""
    if path.endswith(".gz"):
        return zlib.decompressobj(wbits=31)
    if path.endswith(".bz2"):
        return bz2.BZ2Decompressor()
    if path.endswith(".xz"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ)
    return zstandard.ZstdDecompressor().decompressobj()


def _of_size(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
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


def whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the same bytes in blocks of complete lines, one block for each chunk in which a line ends.

    Blocks include their line ends, and none is empty. The last line may have no line end. A block ends with a
    line feed if the chunk has one, so that the pieces of a line with a carriage return stay together.
    """
    incomplete: list[bytes] = []
    for chunk in chunks:
        # Carriage returns at the end of a chunk end lines unless a line feed follows.
        if incomplete and incomplete[-1].endswith(b"\r") and chunk.lstrip(b"\r")[:1] not in (b"\n", b""):
            yield b"".join(incomplete)
            incomplete = []
        end = chunk.rfind(b"\n") + 1 or chunk.rstrip(b"\r").rfind(b"\r") + 1
        if end:
            yield b"".join([*incomplete, chunk[:end]])
            incomplete = []
        if end < len(chunk):
            incomplete.append(chunk[end:])
    if last := b"".join(incomplete):
        yield last


def split_lines(block: bytes) -> list[bytes]:
    """Returns the lines of a block without their line ends (LF, CR, CRLF or CR CR LF)."""
    return without_returns(block).splitlines()


def without_returns(block: bytes) -> bytes:
    """Returns a block with a line feed in place of each line feed that carriage returns are before."""
    if b"\r\r\n" in block:
        return _RETURNS.sub(b"\n", block)
    return block.replace(b"\r\n", b"\n")
