"""Files of this machine: which of them a path or pattern names, what a folder holds, what is on the disk."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Collection
from pathlib import Path


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


def flush(path: Path) -> None:
    """Has the disk hold a file's content, or a folder's entries."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
