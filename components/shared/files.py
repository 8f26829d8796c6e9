"""Files of this machine: which of them a path or pattern names, what a folder holds, what is on the disk,
and which process holds one of them.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import math
import os
import time
from collections.abc import Collection
from pathlib import Path

from bitext.components.shared.errors import EnvironmentFault

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_POLL_SECONDS = 0.2


def is_remote(pattern: str) -> bool:
    """Whether a path or pattern is of one of Beam's remote file systems (gs://, s3://, hdfs://)."""
    return "://" in pattern


def matching(pattern: str) -> list[str]:
    """The files that a local path or pattern names, sorted.

    A path that exists stands for itself, brackets and all. In a pattern `*`, `?` and `[...]` stay within a
    folder, `**` is any number of folders, and hidden files are left out.
    """
    if Path(pattern).is_file():
        return [pattern]
    return sorted(path for path in glob.glob(pattern, recursive=True) if Path(path).is_file())


def tree_digest(folder: Path, without: Collection[Path] = ()) -> str:
    """SHA-256 of the names and contents of all files below a folder, but for some, relative to it."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.relative_to(folder) in without:
            continue
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{content}  {path.relative_to(folder).as_posix()}\n".encode())
    return f"sha256:{total.hexdigest()}"


def tree_size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def flush(path: Path) -> None:
    """Has the disk hold a file's content, or a folder's entries."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hold(path: Path, wait: float = 0.0, flags: int = os.O_RDONLY) -> int:
    """Opens a file or folder, and keeps it from all others who would hold it until the descriptor is closed.

    The system closes it when the process ends, however that is: nothing stays held by the dead.

    Args:
      path: what to hold.
      wait: for how many seconds another's hold is waited for; `math.inf`: as long as it takes.
      flags: how to open it, as `os.open` has them.

    Raises:
      BlockingIOError: another holds it.
      EnvironmentFault: its file system knows no locks.
      OSError: it cannot be opened.
    """
    deadline = time.monotonic() + wait
    while True:
        descriptor = os.open(path, flags, 0o666)
        held = False
        try:
            _lock(descriptor, path, deadline)
            held = _is_at(path, descriptor)
        finally:
            if not held:
                os.close(descriptor)
        if held:
            return descriptor


def _lock(descriptor: int, path: Path, deadline: float) -> None:
    """flock knows for ever and not at all; for a time between, it is asked again and again.

    An alarm would end a wait in the kernel, but there is one for the whole process, and it is not ours.
    """
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if deadline == math.inf else fcntl.LOCK_NB))
            return
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            time.sleep(min(left, _POLL_SECONDS))
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise EnvironmentFault(
                f"{path} cannot be locked: {error.strerror}",
                "Choose a folder on a file system that has locks (on NFS: have its lock service run).",
            ) from error


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether a path still leads to what is open: its holder may have removed it while this one waited."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
