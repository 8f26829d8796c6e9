"""Files of remote file systems (`s3://`, `gs://`, `abfs://`, `hdfs://`). No other module uses fsspec.

A remote path is a `upath.UPath`, which has the methods of `pathlib.Path`, so most code does not tell one from
the other. An object store has neither folders nor a rename: a folder exists while a file in it does, and a
file appears whole, or not at all, when its writer closes it.

The credentials and the address of a store come from the environment, as its package reads them
(`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, ...).
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from bitext.components.shared.addresses import (
    EXTRAS,
    check_no_password,
    is_remote,
    network_fault,
    reporting_faults,
)
from bitext.components.shared.errors import EnvironmentFault

if TYPE_CHECKING:
    import fsspec

__all__ = [
    "check_writable",
    "create",
    "digests",
    "download",
    "file_system",
    "files_below",
    "fingerprint",
    "is_remote",
    "matching",
    "move",
    "network_fault",
    "open_file",
    "path",
    "put",
    "read",
    "remove",
    "reporting_faults",
    "size",
    "size_and_fingerprint",
    "tree_size",
    "upload",
]
_OPTIONS: dict[str, dict[str, Any]] = {
    "aws": {"config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}}}
}
"""Options of file systems, by extra. Without them, a server that does not answer is awaited for minutes.

s3fs repeats a request up to five times, besides the repetition here.
"""
CONCURRENT_FILES = 16
"""Remote files that are read at the same time: a request waits for the network most of its time."""
_BUCKETS = frozenset({"aws", "gcs"})
"""The extras whose file systems have buckets."""
_IDENTITIES = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
"""What file systems tell of the content of a file, the best first."""


def path(text: str | Path) -> Path:
    """Returns the path that a text names: a `pathlib.Path`, or a `upath.UPath` with the same methods.

    Listings of remote folders are not cached: other processes write there.

    Raises:
      ConfigError: the package of the file system is not installed, nobody knows the file system, or the
        address has a password.
    """
    if not is_remote(text):
        return Path(text)
    check_no_password(str(text))
    from upath import UPath

    scheme = str(text).partition("://")[0]
    with reporting_faults(str(text)):
        remote = UPath(text, use_listings_cache=False, **_OPTIONS.get(EXTRAS.get(scheme, ""), {}))
        _ = remote.fs
    return cast(Path, remote)


def file_system(path: Path) -> fsspec.AbstractFileSystem:
    """Returns the fsspec file system of a remote path."""
    return cast(Any, path).fs


def open_file(text: str) -> BinaryIO:
    """Opens a local or remote file to read its bytes. It can seek.

    Raises:
      OSError: it cannot be opened.
    """
    with reporting_faults(text):
        return cast(BinaryIO, path(text).open("rb"))


def matching(pattern: str) -> list[str]:
    """Returns the remote files that a path or pattern matches, sorted; may be empty.

    `*`, `?` and `[...]` match within one folder, `**` matches any number of folders.

    Raises:
      ConfigError: see `path`.
      EnvironmentFault: the file system cannot be reached.
    """
    fs = file_system(path(pattern))
    with reporting_faults(pattern):
        found = fs.glob(pattern, detail=True)
    if not found:
        _check_bucket(fs, pattern)
    return sorted(fs.unstrip_protocol(name) for name, entry in found.items() if entry["type"] == "file")


def _check_bucket(fs: fsspec.AbstractFileSystem, address: str) -> None:
    """Raises EnvironmentFault if the bucket of an address, in which nothing was found, does not exist."""
    scheme, _, rest = address.partition("://")
    bucket = rest.partition("/")[0]
    if EXTRAS.get(scheme) in _BUCKETS and bucket:
        with reporting_faults(address):
            if not fs.exists(bucket):
                raise EnvironmentFault(
                    f"{address}: the bucket {bucket} does not exist",
                    "create the bucket, or correct the address",
                )


def size(text: str) -> int:
    """Returns the bytes of a local or remote file."""
    with reporting_faults(text):
        return path(text).stat().st_size


def fingerprint(text: str) -> str:
    """Returns what identifies the content of a remote file, in hexadecimal. The file is not read.

    It is a hash of the size and the checksum that the file system has for the file. If it has none, the time
    of the last change takes its place.
    """
    return size_and_fingerprint(text)[1]


def size_and_fingerprint(text: str) -> tuple[int, str]:
    """Returns the bytes of a remote file, and its `fingerprint`."""
    remote = path(text)
    with reporting_faults(text):
        entry = file_system(remote).info(str(remote))
    identity = next((f"{name} {entry[name]}" for name in _IDENTITIES if entry.get(name)), "")
    return entry["size"], hashlib.sha256(f"{identity} {entry['size']}".encode()).hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Returns all files below a folder, in the order of their paths. A remote folder is listed once."""
    if not is_remote(folder):
        return sorted(found for found in folder.rglob("*") if found.is_file())
    fs = file_system(folder)
    with reporting_faults(str(folder)):
        names = fs.find(str(folder))
    prefix = len(fs._strip_protocol(str(folder)).rstrip("/")) + 1
    return sorted((folder / name[prefix:] for name in names), key=lambda file: file.parts)


def tree_size(folder: Path) -> int:
    """Returns the bytes of all files below a remote folder."""
    with reporting_faults(str(folder)):
        return sum(entry["size"] for entry in file_system(folder).find(str(folder), detail=True).values())


def digests(files: Collection[Path]) -> Iterator[str]:
    """Yields the SHA-256 of the content of each file, in hexadecimal. Remote files are read in parallel."""
    if not any(map(is_remote, files)):
        yield from map(_digest, files)
        return
    with ThreadPoolExecutor(CONCURRENT_FILES) as pool:
        yield from pool.map(_digest, files)


def _digest(file: Path) -> str:
    with reporting_faults(str(file)), file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def upload(folder: Path, target: Path) -> None:
    """Copies a local folder to a remote one, which has no other files afterwards.

    Raises:
      EnvironmentFault: the file system cannot be reached or written.
    """
    fs = file_system(target)
    files = files_below(folder)
    names = [file.relative_to(folder).as_posix() for file in files]
    with reporting_faults(str(target)):
        if others := {str(file) for file in files_below(target)}.difference(str(target / n) for n in names):
            fs.rm(sorted(others))
        if files:
            fs.put([str(file) for file in files], [str(target / name) for name in names])


def put(file: Path, target: Path) -> None:
    """Copies a local file to a remote one, which appears whole.

    Raises:
      EnvironmentFault: the file system cannot be reached or written.
    """
    with reporting_faults(str(target)):
        file_system(target).put_file(str(file), str(target))


def check_writable(folder: Path) -> None:
    """Checks that this user can create and delete a file in a remote folder.

    Raises:
      EnvironmentFault: the file system cannot be reached, or refuses it.
    """
    probe = folder / f".bitext-{secrets.token_hex(8)}"
    with reporting_faults(str(folder)):
        try:
            probe.write_bytes(b"")
        except FileNotFoundError as error:
            raise EnvironmentFault(
                f"{folder}: {error}", "create the bucket, or correct the address"
            ) from error
        probe.unlink()


def download(source: Path, target: Path, folders: Collection[str] | None = None) -> None:
    """Copies a remote folder to a local one.

    Args:
      source: the remote folder.
      target: the local folder, created if necessary.
      folders: the folders in it to copy; None: all files.

    Raises:
      EnvironmentFault: the file system cannot be reached, or the disk is full.
    """
    target.mkdir(parents=True, exist_ok=True)
    parts = [source] if folders is None else [source / name for name in folders]
    files = [file for part in parts for file in files_below(part)]
    copies = [target / file.relative_to(source).as_posix() for file in files]
    for parent in {copy.parent for copy in copies}:
        parent.mkdir(parents=True, exist_ok=True)
    with reporting_faults(str(source)):
        if files:
            file_system(source).get([str(file) for file in files], [str(copy) for copy in copies])


def move(folder: Path, target: Path) -> None:
    """Moves a folder within its file system. On an object store, its files are copied and then deleted."""
    if not is_remote(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)  # a linked folder may be on another disk
        return
    fs, files = file_system(folder), files_below(folder)
    targets = [target / file.relative_to(folder).as_posix() for file in files]
    with reporting_faults(str(folder)), ThreadPoolExecutor(CONCURRENT_FILES) as pool:
        for parent in {copy.parent for copy in targets}:
            parent.mkdir(parents=True, exist_ok=True)
        for _ in pool.map(fs.cp_file, map(str, files), map(str, targets)):
            pass
    remove(folder)


def remove(folder: Path) -> None:
    """Removes a remote folder that may not exist.

    Raises:
      EnvironmentFault: the file system cannot be reached or written.
    """
    fs = file_system(folder)
    with reporting_faults(str(folder)), contextlib.suppress(FileNotFoundError):
        fs.rm(str(folder), recursive=True)


def read(file: Path) -> bytes:
    """Returns the content of a file that others may be replacing: the old or the new one, whole.

    `Path.read_bytes` fails if a remote file is replaced between its two requests.

    Raises:
      FileNotFoundError: there is no such file.
    """
    if not is_remote(file):
        return file.read_bytes()
    with reporting_faults(str(file)):
        return cast(bytes, file_system(file).cat_file(str(file)))


def create(file: Path, content: bytes) -> bool:
    """Writes a remote file if it does not exist. Of several processes that do so at once, one succeeds.

    Returns:
      Whether this call created it.
    """
    fs = file_system(file)
    try:
        with reporting_faults(str(file)):
            fs.pipe_file(str(file), content, mode="create")
    except FileExistsError:
        return False
    return True
