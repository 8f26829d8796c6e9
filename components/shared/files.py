"""Local files: matching patterns, digests, JSON and gzip, atomic writing, and locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import gzip
import hashlib
import math
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from bitext.components.shared import globs, storage
from bitext.components.shared.display import path_text, shell_path
from bitext.components.shared.errors import DataError, EnvironmentFault

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_POLL_SECONDS = 0.2
GLOB_CHARACTERS = frozenset("*?[\\")
"""The characters that make a path a glob for TensorFlow and Beam."""


def local_files(pattern: str) -> list[str]:
    """Returns the files that a local path or pattern matches, sorted.

    A path of an existing file is no pattern, even if it has brackets, and neither are the existing folders at
    the start of a pattern (`literal_prefix`). In the rest of a pattern, `*`, `?` and `[...]` match within one
    folder, `**` matches any number of folders, and hidden files are left out. With `**`, a file that several
    paths lead to through links is returned once, by its path without links if it is matched.

    Folders are left out if the last part of the pattern has no ending (`data/*`). A folder that a pattern
    with an ending matches (`*.tsv`) is an error, unless the pattern matches files in it, too.

    Raises:
      DataError: a matched path is a symbolic link whose target does not exist, or a pipe, a socket, a device
        or a folder instead of a file; or a file or a folder of the pattern cannot be read.
    """
    if Path(pattern).is_file():
        return [_readable(pattern)]
    prefix = literal_prefix(pattern)
    rest = pattern.removeprefix(prefix)
    files: list[str] = []
    folders: list[str] = []
    for path in globs.expand(prefix, rest):
        (folders if globs.is_folder(path) else files).append(path)
    if glob.has_magic(rest) and "." in Path(rest).name:
        for folder in folders:
            if not any(path.startswith(f"{folder}/") for path in files):
                raise DataError(
                    f"{path_text(folder)} is a folder, but {path_text(pattern)} matches it like a file",
                    f"name the files in it, for example {path_text(folder)}/*, or rename the folder",
                )
    if globs.ANY_FOLDERS in rest.split("/"):
        files = _distinct(files, prefix)
    return [_readable(path) for path in files]


def not_a_file(path: str) -> DataError | None:
    """The error about a local path that is a folder, a pipe or a device; None for other paths."""
    if os.path.isdir(path):
        example = os.path.join(path, "*.tsv")
        return DataError(
            f"{path_text(path)} is a folder", f"name its files, for example {path_text(example)}"
        )
    if os.path.exists(path) and not os.path.isfile(path):
        return DataError(f"{path_text(path)} is not a regular file", "name a file")
    return None


def _distinct(files: list[str], prefix: str) -> list[str]:
    """Of several paths of one file, the one without a link after the prefix, or the first."""
    real_prefix = os.path.realpath(prefix or ".")
    distinct: dict[str, str] = {}
    for path in files:
        real = os.path.realpath(path)
        if real not in distinct or real == os.path.join(real_prefix, path.removeprefix(prefix)):
            distinct[real] = path
    return sorted(distinct.values())


def _readable(path: str) -> str:
    if not os.access(path, os.R_OK):
        raise DataError(
            f"cannot read {path_text(path)}: permission denied", f"allow it: chmod u+r {shell_path(path)}"
        )
    return path


def literal_prefix(pattern: str) -> str:
    """Returns the folders at the start of a pattern that exist under exactly that name: `data [1]/`."""
    prefix = ""
    while "/" in (rest := pattern[len(prefix) :]):
        longer = prefix + rest[: rest.index("/") + 1]
        if not Path(longer).is_dir():
            break
        prefix = longer
    return prefix


@contextlib.contextmanager
def path_without_globs(folder: Path) -> Iterator[Path]:
    """Context manager: yields a path of the folder that has no glob characters.

    TensorFlow looks up the variables of checkpoints and SavedModels by a glob, so it finds none in a folder
    named `a [b]`. For such a folder, the yielded path is a temporary symbolic link that is removed when the
    context ends. The folder must exist before TensorFlow writes to it.
    """
    if not GLOB_CHARACTERS.intersection(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="bitext-") as temporary:
        link = Path(temporary, "link")
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link


def folder_digest(folder: Path, exclude: Collection[Path] = ()) -> str:
    """Returns the SHA-256, in hexadecimal, of the names and contents of all files below a folder.

    Args:
      folder: the folder.
      exclude: files to leave out, relative to the folder.
    """
    names = {path.as_posix() for path in exclude}
    files = storage.files_below(folder)
    return digest_of_files(folder, [p for p in files if p.relative_to(folder).as_posix() not in names])


def digest_of_files(folder: Path, files: Iterable[Path]) -> str:
    """Returns the SHA-256, in hexadecimal, of the names and contents of files.

    It is the SHA-256 of the output of `sha256sum` for the files, sorted by path.

    Args:
      folder: the folder that their names are relative to.
      files: the files, in any order.
    """
    total = hashlib.sha256()
    in_order = sorted(files, key=lambda path: path.parts)
    for path, digest in zip(in_order, storage.digests(in_order), strict=True):
        total.update(f"{digest}  {path.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    [digest] = storage.digests([path])
    return digest


def tree_size(path: Path) -> int:
    """Returns the bytes of a file, or of all files below a folder."""
    if storage.is_remote(path):
        return storage.tree_size(path)
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def copy_tree(source: Path, target: Path) -> None:
    """Copies the files and folders in a local folder to another, which may exist.

    The error of `shutil.copytree` has no errno, which tells that the disk is full.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(exist_ok=True)
        else:
            shutil.copyfile(path, copy)


def encode_json(value: Any) -> bytes:
    """Returns a value as indented JSON with a line feed at the end. Numbers that are not finite are null."""
    return msgspec.json.format(msgspec.json.encode(value)) + b"\n"


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON. See `encode_json`."""
    path.write_bytes(encode_json(value))


@contextlib.contextmanager
def gzip_writer(path: Path, level: int = 6) -> Iterator[gzip.GzipFile]:
    """Context manager: opens a gzip file to write. Equal content gives equal bytes.

    The header has no file name and no time.

    Args:
      path: the file, replaced if present.
      level: compression level, 1 (fast) to 9 (small).
    """
    with path.open("wb") as raw, gzip.GzipFile("", "wb", level, raw, mtime=0) as file:
        yield file


@contextlib.contextmanager
def atomic_writer(path: Path, *, mode: int = 0o666, durable: bool = False) -> Iterator[BinaryIO]:
    """Context manager: opens a file that replaces `path` when the context ends without an exception.

    The content is written to a new file with a random name in the same folder, which is then renamed to
    `path`. If the context raises, the new file is removed. A link at `path` is replaced, not followed.

    Args:
      path: the file to write.
      mode: its permissions before the process's umask is applied.
      durable: whether to sync the content to disk before the rename.

    Raises:
      OSError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(descriptor)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def fsync(path: Path) -> None:
    """Waits until the content of a file, or the entries of a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Waits until a folder is on disk, with all files and folders below it."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_file() or path.is_dir():  # not a socket or a dangling link
            fsync(path)


def open_locked(path: Path, wait: float = 0.0, flags: int = os.O_RDONLY) -> int:
    """Opens a file or folder and locks it until the descriptor is closed.

    The system closes the descriptor when the process ends, even if it is killed, so the lock ends with it.

    Args:
      path: the file or folder to lock.
      wait: how many seconds to wait for another process to unlock it; `math.inf`: without limit.
      flags: how to open it, as for `os.open`.

    Returns:
      The descriptor.

    Raises:
      BlockingIOError: it is still locked by another process or descriptor.
      EnvironmentFault: its file system has no locks.
      OSError: it cannot be opened.
    """
    deadline = time.monotonic() + wait
    while True:
        descriptor = os.open(path, flags, 0o666)
        locked = False
        try:
            _lock(descriptor, path, deadline)
            locked = _is_at(path, descriptor)
        finally:
            if not locked:
                os.close(descriptor)
        if locked:
            return descriptor


def _lock(descriptor: int, path: Path, deadline: float) -> None:
    """Locks an open file. `flock` has no timeout, so a limited wait polls.

    An alarm signal could interrupt `flock`, but a process has only one alarm, and it may be in use.
    """
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if deadline == math.inf else fcntl.LOCK_NB))
            return
        except BlockingIOError:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise
            time.sleep(min(remaining, _POLL_SECONDS))
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise EnvironmentFault(
                f"{path} cannot be locked: {error.strerror}",
                "choose a folder on a file system that has locks (on NFS: have its lock service run)",
            ) from error


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether a path still is the open file: the process that locked it before may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
