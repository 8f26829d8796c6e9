"""Which files of this machine a path or pattern names: asked by who reads them and by who keys on them."""

from __future__ import annotations

import glob
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
