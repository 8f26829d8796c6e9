"""Finds and reads local and remote files: decompresses by file name, splits at line ends."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import zstandard

from bitext.components.shared.errors import DataError
from bitext.components.shared.files import is_remote, matching

ENDINGS = (".gz", ".bz2", ".zst")
"""Endings of the names of compressed files."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def find(pattern: str) -> list[str]:
    """Returns the files that a path or pattern names, local or remote, sorted; none if it matches none.

    Raises:
      DataError: a remote pattern cannot be looked up.
    """
    if not is_remote(pattern):
        return matching(pattern)
    from apache_beam.io.filesystems import FileSystems

    try:
        return sorted(m.path for result in FileSystems.match([pattern]) for m in result.metadata_list)
    except (OSError, ValueError) as error:  # Beam's own error is an OSError
        raise DataError(
            f"cannot look up {pattern}: {error}", "check the path and your access to it"
        ) from error


def find_files(pattern: str, remedy: str) -> list[str]:
    """Returns the files that a path or pattern names, local or remote, sorted.

    Args:
      pattern: the path or pattern.
      remedy: what a person can do if it matches no file.

    Raises:
      DataError: the pattern matches no file, or cannot be looked up.
    """
    matched_paths = find(pattern)
    if not matched_paths:
        raise DataError(f"no file matches {pattern}", remedy)
    return matched_paths


def chunks(path: str, size: int) -> Iterator[bytes]:
    """Yields the bytes of a file, local or remote, as `pieces_of` yields those of a stream.

    Raises:
      DataError: it cannot be read, or its compressed stream is damaged or cut short.
    """
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            yield from pieces_of(file, path, size)
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error}", "check that the file is whole and readable"
        ) from error


def pieces_of(stream: BinaryIO, path: str, size: int) -> Iterator[bytes]:
    """Yields the bytes of a stream, `size` at a time, fewer at the end.

    Args:
      stream: the stream.
      path: its name. If it ends as a compressed file's does, the bytes are decompressed.
      size: bytes in a piece.

    Raises:
      DataError: it cannot be read, or its compressed stream is damaged or cut short (which Beam's own
        decompression does not report).
    """
    pieces = iter(lambda: stream.read(size), b"")
    try:
        yield from _of_size(_decompressed(pieces, path), size) if path.endswith(ENDINGS) else pieces
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise DataError(
            f"cannot read {path}: {error}", "check that the file is whole and readable"
        ) from error


def _decompressed(pieces: Iterator[bytes], path: str) -> Iterator[bytes]:
    """Decompresses one stream after another (compressed files may be concatenated)."""
    decompressor = None
    for piece in pieces:
        while piece:
            decompressor = decompressor or _decompressor(path)
            if out := decompressor.decompress(piece):
                yield out
            piece = decompressor.unused_data if decompressor.eof else b""
            if decompressor.eof:
                decompressor = None
    if decompressor is not None:
        raise EOFError("the compressed stream ends too early")


def _decompressor(path: str) -> Any:
    """Returns a new decompressor for the ending of a name."""
    if path.endswith(".gz"):
        return zlib.decompressobj(wbits=31)
    if path.endswith(".bz2"):
        return bz2.BZ2Decompressor()
    return zstandard.ZstdDecompressor().decompressobj()


def _of_size(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yields the same bytes, `size` at a time."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        complete = len(buffer) - len(buffer) % size
        for start in range(0, complete, size):
            yield bytes(buffer[start : start + size])
        del buffer[:complete]
    if buffer:
        yield bytes(buffer)


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the same bytes in blocks of whole lines, a block for every piece that ends a line.

    Blocks keep their line ends, and none is empty. The last line may have no line end.
    """
    incomplete: list[bytes] = []
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join([*incomplete, piece[:end]])
            incomplete = []
        incomplete.append(piece[end:])
    if last := b"".join(incomplete):
        yield last


def split_lines(block: bytes) -> list[bytes]:
    """Returns the lines of a block, without their line feeds."""
    return block.removesuffix(b"\n").split(b"\n")
