"""Members of ZIP and tar archives, named `ARCHIVE//MEMBER`: `en-es.txt.zip//Tatoeba.en-es.en`.

A member is read as a stream. The memory is limited whatever an archive contains.
"""

from __future__ import annotations

import fnmatch
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeAlias

from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

Chunks: TypeAlias = Callable[[BinaryIO], Iterator[bytes]]
"""Yields the decompressed bytes of a tar archive."""

_ENDING = r"\.(?:zip|tar|tgz|txz|tbz2|tar\.(?:gz|bz2|xz|zst))"
_PATH = re.compile(rf"(.+?{_ENDING})//(.+)", re.DOTALL | re.IGNORECASE)
_NAME = re.compile(rf".+{_ENDING}", re.DOTALL | re.IGNORECASE)
_ENCRYPTED = 0x1
_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz"}
_MOST_HEADER_BYTES = 1 << 20
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_SHOWN_MEMBERS = 5


def split_path(path: str) -> tuple[str, str] | None:
    """The archive and the member that a path or pattern names; None if it names no member."""
    match = _PATH.fullmatch(path)
    return (match[1], match[2]) if match else None


def is_archive(path: str) -> bool:
    """Whether a path is that of an archive, by its name, and not of a member."""
    return _NAME.fullmatch(path) is not None and split_path(path) is None


def container(path: str) -> str:
    """The archive of a path or pattern that names a member; else the path itself."""
    parts = split_path(path)
    return parts[0] if parts else path


def is_zip(archive: str) -> bool:
    """Whether an archive is ZIP, by its name."""
    return archive.lower().endswith(".zip")


def compression_name(archive: str) -> str:
    """The name of a tar archive with the ending of its compression: `a.tgz` is `a.tar.gz`."""
    lower = archive.lower()
    for short, ending in ((".tgz", ".tar.gz"), (".txz", ".tar.xz"), (".tbz2", ".tar.bz2")):
        if lower.endswith(short):
            return archive[: -len(short)] + ending
    return archive


def matching_members(archive: str, pattern: str, file: BinaryIO, chunks: Chunks) -> list[str]:
    """The paths of the members that a name or glob matches, sorted. A name that exists is taken literally.

    Raises:
      DataError: the archive is damaged, or no member matches.
    """
    names = _zip_names(file, archive) if is_zip(archive) else list(_tar_names(file, archive, chunks))
    if not names:
        raise DataError(
            f"{path_text(archive)} is an archive without files", "check that it is whole, or fetch it again"
        )
    matched = [pattern] if pattern in names else sorted({n for n in names if fnmatch.fnmatchcase(n, pattern)})
    if not matched:
        shown = ", ".join(map(path_text, names[:_SHOWN_MEMBERS]))
        more = f" and {len(names) - _SHOWN_MEMBERS:,} more" if len(names) > _SHOWN_MEMBERS else ""
        raise DataError(
            f"no member of {path_text(archive)} matches {path_text(pattern)}; its members: {shown}{more}",
            "correct the part of the path after //",
        )
    return [f"{archive}//{name}" for name in matched]


def read_member(archive: str, member: str, file: BinaryIO, chunks: Chunks, size: int) -> Iterator[bytes]:
    """Yields the bytes of a member in chunks.

    Raises:
      DataError: the archive or the member is damaged, or the member is encrypted or missing.
    """
    if is_zip(archive):
        yield from _zip_member(archive, member, file, size)
    else:
        yield from _tar_member(archive, member, file, chunks, size)


def _damaged(archive: str, member: str, error: object) -> DataError:
    where = f"{archive}//{member}" if member else archive
    return DataError(
        f"cannot read {path_text(where)}: {error}", "check that the archive is whole, or fetch it again"
    )


def _open_zip(file: BinaryIO, archive: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise _damaged(archive, "", error) from error


def _zip_names(file: BinaryIO, archive: str) -> list[str]:
    with _open_zip(file, archive) as opened:
        return [info.filename for info in opened.infolist() if not info.is_dir()]


def _zip_member(archive: str, member: str, file: BinaryIO, size: int) -> Iterator[bytes]:
    with _open_zip(file, archive) as opened:
        try:
            info = opened.getinfo(member)
        except KeyError as error:
            raise _damaged(archive, member, "the archive has no such member") from error
        unpack = f"unpack {path_text(archive)}, and name the file itself"
        if info.flag_bits & _ENCRYPTED:
            raise DataError(f"cannot read {path_text(f'{archive}//{member}')}: it is encrypted", unpack)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            method = _METHODS.get(info.compress_type, str(info.compress_type))
            raise DataError(
                f"cannot read {path_text(f'{archive}//{member}')}: its compression is {method}, not Deflate",
                unpack,
            )
        try:
            with opened.open(info) as stream:
                while chunk := stream.read(size):
                    yield chunk
        except (zipfile.BadZipFile, EOFError, OSError, ValueError, zlib.error, NotImplementedError) as error:
            raise _damaged(archive, member, error) from error


class _Member(tarfile.TarInfo):
    """A member of a tar archive. Extended headers are read as a whole, so their size is limited."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        info: _Member = super().frombuf(buf, encoding, errors)
        return info.checked()

    @classmethod
    def _frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str, **options: bool) -> _Member:
        """What newer releases of Python call in place of `frombuf`."""
        info: _Member = super()._frombuf(buf, encoding, errors, **options)  # type: ignore[misc]
        return info.checked()

    def checked(self) -> _Member:
        """The member, if it is no extended header of more bytes than the limit."""
        if self.type in _EXTENDED and self.size > _MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"an extended header of {self.size:,} bytes")
        return self


class _Stream(io.RawIOBase):
    """A stream of chunks, as `tarfile` reads it."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _open_tar(file: BinaryIO, archive: str, chunks: Chunks) -> tarfile.TarFile:
    stream = io.BufferedReader(_Stream(chunks(file)), 1 << 16)
    try:
        return tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member)
    except tarfile.TarError as error:
        raise _damaged(archive, "", error) from error


def _tar_names(file: BinaryIO, archive: str, chunks: Chunks) -> Iterator[str]:
    try:
        with _open_tar(file, archive, chunks) as opened:
            for info in _infos(opened):
                yield info.name
    except tarfile.TarError as error:
        raise _damaged(archive, "", error) from error


def _infos(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files of a tar archive. Those that were read are forgotten: `tarfile` would keep all."""
    while (info := opened.next()) is not None:
        if info.isreg() and not info.issparse():
            yield info
        opened.members = []  # type: ignore[attr-defined]


def _tar_member(archive: str, member: str, file: BinaryIO, chunks: Chunks, size: int) -> Iterator[bytes]:
    try:
        with _open_tar(file, archive, chunks) as opened:
            for info in _infos(opened):
                if info.name != member:
                    continue
                stream = opened.extractfile(info)
                read = 0
                while stream is not None and (chunk := stream.read(size)):
                    read += len(chunk)
                    yield chunk
                if read != info.size:
                    raise _damaged(archive, member, "the archive ends too early")
                return
    except tarfile.TarError as error:
        raise _damaged(archive, member, error) from error
    raise _damaged(archive, member, "the archive has no such member")
