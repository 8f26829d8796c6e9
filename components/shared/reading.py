"""Files as bytes, local or remote: found, decompressed by the ending of their names, cut at line ends."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import zstandard

from bitext.components.shared.errors import DataError
from bitext.components.shared.files import is_remote, matching

ENDINGS = (".gz", ".bz2", ".zst")
"""Of the names of compressed files."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def find(pattern: str) -> list[str]:
    """The files that a path or pattern names, local or remote, sorted.

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


def chunks(path: str, size: int) -> Iterator[bytes]:
    """The bytes of a file, local or remote: as `pieces_of` gives those of a stream.

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
    """The stream's bytes, decompressed if the name `path` says so: `size` at a time, fewer at the end.

    Raises:
      DataError: it cannot be read, or its compressed stream is damaged or cut short (which Beam's own
        decompression passes over in silence).
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
    """A fresh decompressor for the name's ending."""
    if path.endswith(".gz"):
        return zlib.decompressobj(wbits=31)
    if path.endswith(".bz2"):
        return bz2.BZ2Decompressor()
    return zstandard.ZstdDecompressor().decompressobj()


def _of_size(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes, `size` at a time."""
    rest = bytearray()
    for piece in pieces:
        rest += piece
        whole = len(rest) - len(rest) % size
        for start in range(0, whole, size):
            yield bytes(rest[start : start + size])
        del rest[:whole]
    if rest:
        yield bytes(rest)


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes cut at line ends: a block for every piece that ends a line, and no block is empty.

    Line ends are kept; the last line may have none.
    """
    rest: list[bytes] = []
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield b"".join([*rest, piece[:cut]])
            rest = []
        rest.append(piece[cut:])
    if last := b"".join(rest):
        yield last


def split_lines(block: bytes) -> list[bytes]:
    """The lines of a block, without their line feeds."""
    return block.removesuffix(b"\n").split(b"\n")
