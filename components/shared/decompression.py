"""Decompresses gzip, bzip2, xz and Zstandard with a limited memory, whatever the stream contains.

A decompressor gives at most `PIECE_BYTES` at a time: a few bytes of input can stand for gigabytes. Streams
that need a larger window (dictionary) than `MAX_WINDOW_BYTES` are refused.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

import zstandard

from bitext.components.shared import file_kinds
from bitext.components.shared.display import path_text, shell_path
from bitext.components.shared.errors import DataError

PIECE_BYTES = 1 << 20
"""Maximum number of decompressed bytes in a piece."""
MAX_WINDOW_BYTES = 1 << 27
"""The largest window of a stream: the most of `xz` and of `zstd` without --long=28 or more."""
_OTHER_XZ_BYTES = 1 << 24
"""What an xz decompressor needs beside its dictionary."""
ERRORS = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
"""The errors of a damaged or truncated stream. bzip2's is an OSError."""


class Decompressor(Protocol):
    """Decompresses one stream (gzip member, bzip2 or xz stream, Zstandard frame).

    Attributes:
      eof: whether the end of the stream was read.
      unused_data: the bytes after this end.
    """

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yields what can be decompressed after the next bytes of the stream."""


def decompressed(chunks: Iterable[bytes], path: str) -> Iterator[bytes]:
    """Yields decompressed bytes. Compressed files may be concatenated, so each stream gets a decompressor.

    Zero bytes after a stream are ignored, as gzip and xz do: tapes and block devices pad with them.

    Args:
      chunks: the compressed bytes.
      path: their file. Its ending names the compression.

    Raises:
      DataError: the stream needs too large a window.
      Exception: one of `ERRORS` or an OSError, the stream is damaged or truncated.
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
                decompressor, is_first = new_decompressor(path), False
            yield from decompressor.pieces(chunk)
            chunk = b""
            if decompressor.eof:
                chunk, decompressor = decompressor.unused_data, None
    if decompressor is not None:
        raise EOFError("the compressed stream ends too early")


def new_decompressor(path: str) -> Decompressor:
    """Returns a new decompressor for the ending of the file name."""
    if path.endswith(".gz"):
        return _Gzip()
    if path.endswith(".bz2"):
        return _Buffering(bz2.BZ2Decompressor(), path)
    if path.endswith(".xz"):
        memory = MAX_WINDOW_BYTES + _OTHER_XZ_BYTES
        return _Buffering(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=memory), path)
    return _Zstandard(path)


class _Gzip:
    """zlib returns the input that it has not yet used."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if piece := self._stream.decompress(data, PIECE_BYTES):
                yield piece
            data = b"" if self._stream.eof else self._stream.unconsumed_tail


class _Buffering:
    """bz2 and lzma keep the input that they have not yet used."""

    def __init__(self, stream: bz2.BZ2Decompressor | lzma.LZMADecompressor, path: str) -> None:
        self._stream, self._path = stream, path

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while True:
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except lzma.LZMAError as error:
                if "memory usage limit" not in str(error).lower():
                    raise
                again = f"xzcat {shell_path(self._path)} | xz -6 > NEW.xz"
                raise _window_error(self._path, "its xz stream needs a dictionary of", "", again) from error
            if piece:
                yield piece
            if self._stream.eof or self._stream.needs_input:
                return
            data = b""


class _Zstandard:
    """The output of `zstandard` has no limit, so it is given a frame block by block.

    A block has at most 128 KiB when it is decompressed. The format is in RFC 8878, section 3.1.
    """

    _SKIPPABLE = 0x184D2A50 >> 4
    _RLE, _RESERVED = 1, 3

    def __init__(self, path: str) -> None:
        self._path = path
        self._frame = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()
        self._input = bytearray()
        self._has_header = self._has_checksum = False
        self._bytes_to_skip = 0

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused_data(self) -> bytes:
        return bytes(self._input)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        self._input += data
        while not self._frame.eof and (size := self._unit_bytes()):
            unit = bytes(self._input[:size])
            del self._input[:size]
            if piece := self._frame.decompress(unit):
                yield piece

    def _unit_bytes(self) -> int:
        """The size of the frame's header or next block, if the input has all of it, or else 0."""
        if self._bytes_to_skip:
            size = min(self._bytes_to_skip, len(self._input))
            self._bytes_to_skip -= size
            return size
        size = self._block_bytes() if self._has_header else self._header_bytes()
        if not 0 < size <= len(self._input):
            return 0
        if not self._has_header:
            self._read_header(bytes(self._input[:size]))
        return size

    def _block_bytes(self) -> int:
        if len(self._input) < 3:
            return 0
        header = int.from_bytes(self._input[:3], "little")
        is_last, kind, content = header & 1, header >> 1 & 3, header >> 3
        if kind == self._RESERVED:  # the decompressor reports it
            return 3
        return 3 + (1 if kind == self._RLE else content) + 4 * (is_last and self._has_checksum)

    def _header_bytes(self) -> int:
        if len(self._input) < 5:
            return 0
        if int.from_bytes(self._input[:4], "little") >> 4 == self._SKIPPABLE:
            return 8
        descriptor = self._input[4]
        is_single_segment = descriptor >> 5 & 1
        content_size = (is_single_segment, 2, 4, 8)[descriptor >> 6]
        return 5 + (1 - is_single_segment) + (0, 1, 2, 4)[descriptor & 3] + content_size

    def _read_header(self, header: bytes) -> None:
        if int.from_bytes(header[:4], "little") >> 4 == self._SKIPPABLE:
            self._bytes_to_skip = int.from_bytes(header[4:], "little")
            return
        parameters = zstandard.get_frame_parameters(header)
        self._has_header, self._has_checksum = True, parameters.has_checksum
        if parameters.window_size > MAX_WINDOW_BYTES:
            again = f"zstd -dc --long=31 {shell_path(self._path)} | zstd > NEW.zst"
            size = f" {parameters.window_size >> 20:,} MiB,"
            raise _window_error(self._path, "its Zstandard frame needs a window of", size, again)


def _window_error(path: str, needs: str, size: str, command: str) -> DataError:
    return DataError(
        f"cannot read {path_text(path)}: {needs}{size} more than {MAX_WINDOW_BYTES >> 20} MiB",
        f"compress it again with a smaller window (without --long or a large dictionary): {command}",
    )
