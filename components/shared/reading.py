"""Finds and reads local and remote files: decompresses by file name, splits at line ends."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import zstandard

from bitext.components.shared.errors import DataError
from bitext.components.shared.files import is_remote, local_files

ENDINGS = (".gz", ".bz2", ".zst")
"""Endings of the names of compressed files."""
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
            f"cannot look up {pattern}: {error}", "check the path and your access to it"
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
        raise DataError(f"no file matches {pattern}", remedy)
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
            f"cannot read {path}: {error}", "check that the file is whole and readable"
        ) from error


def stream_chunks(stream: BinaryIO, path: str, size: int) -> Iterator[bytes]:
    """Yields the bytes of a stream in chunks of `size` bytes; the last chunk may be smaller.

    Beam's decompression is not used, because it does not report a truncated stream.

    Args:
      stream: the stream.
      path: its name. If it ends with one of `ENDINGS`, the bytes are decompressed.
      size: bytes in a chunk.

    Raises:
      DataError: the stream cannot be read, or is damaged or truncated.
    """
    chunks = iter(lambda: stream.read(size), b"")
    try:
        yield from _of_size(_decompressed(chunks, path), size) if path.endswith(ENDINGS) else chunks
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise DataError(
            f"cannot read {path}: {error}", "check that the file is whole and readable"
        ) from error


def _decompressed(chunks: Iterator[bytes], path: str) -> Iterator[bytes]:
    """Yields decompressed bytes. Compressed files may be concatenated, so each stream gets a decompressor."""
    decompressor = None
    for chunk in chunks:
        while chunk:
            decompressor = decompressor or _decompressor(path)
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
    """Yields the same bytes in blocks of complete lines, one block for each chunk that has a line feed.

    Blocks include their line feeds, and none is empty. The last line may have no line feed.
    """
    incomplete: list[bytes] = []
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join([*incomplete, chunk[:end]])
            incomplete = []
        incomplete.append(chunk[end:])
    if last := b"".join(incomplete):
        yield last


def split_lines(block: bytes) -> list[bytes]:
    """Returns the lines of a block, without their line feeds."""
    return block.removesuffix(b"\n").split(b"\n")
