"""Matches local patterns as `glob` does, but `**` visits each folder once: links may form loops."""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator

from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

ANY_FOLDERS = "**"


def expand(prefix: str, pattern: str) -> list[str]:
    """Returns the files and folders that a pattern matches, sorted. Hidden ones are left out.

    Args:
      prefix: the folder that the pattern starts in: "" or a path that ends with "/".
      pattern: the rest of the path. A part that is `**` matches any number of folders.

    Raises:
      DataError: a folder in which names are looked up cannot be read; or a part before the last matches
        a link whose target does not exist, a pipe, a socket or a device.
    """
    *parts, last = pattern.split("/")
    folders = [prefix]
    for part in parts:
        folders = list(dict.fromkeys(_matching_folders(folders, part)))
    return sorted(set(_matching(folders, last)))


def _matching_folders(folders: Iterable[str], part: str) -> Iterator[str]:
    """Yields the folders, ending with "/", that one part of a pattern matches in some folders."""
    if part == ANY_FOLDERS:
        yield from _folders_below(folders)
        return
    for path in _matching(folders, part):
        if is_folder(path):
            yield f"{path}/"


def _matching(folders: Iterable[str], part: str) -> Iterator[str]:
    """Yields the paths that the last part of a pattern matches in some folders."""
    if part == ANY_FOLDERS:
        folders, part = _folders_below(folders), "*"
    for folder in folders:
        _check_readable(folder)
        if glob.has_magic(part):
            names = [entry.name for entry in _entries(folder)] if not part.startswith(".") else None
            matched = fnmatch.filter(os.listdir(folder or ".") if names is None else names, part)
            yield from (folder + name for name in matched)
        elif os.path.lexists(folder + part):
            yield folder + part


def _folders_below(folders: Iterable[str]) -> Iterator[str]:
    """Yields folders and all folders below them, each once. Links to folders are followed at last."""
    real, linked = deque(folders), deque[str]()
    seen: set[tuple[int, int]] = set()
    while real or linked:
        folder = real.popleft() if real else linked.popleft()
        status = os.stat(folder or ".")
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        yield folder
        _check_readable(folder)
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                real.append(f"{folder}{entry.name}/")
            elif entry.is_symlink() and os.path.isdir(entry.path):
                linked.append(f"{folder}{entry.name}/")


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """The files and folders in a folder that are not hidden, sorted by name."""
    with os.scandir(folder or ".") as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(shown, key=lambda entry: entry.name)


def _check_readable(folder: str) -> None:
    if not os.access(folder or ".", os.R_OK | os.X_OK):
        raise DataError(
            f"cannot read the folder {path_text(folder)}: permission denied",
            "allow it, or correct the pattern",
        )


def is_folder(path: str) -> bool:
    """Whether a matched path is a folder and not a regular file. Links are followed.

    Raises:
      DataError: it is neither.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if os.path.islink(path):
            problem = "is a loop of links" if error.errno == errno.ELOOP else "does not exist"
            raise DataError(
                f"{path_text(path)} is a symbolic link to {path_text(os.readlink(path))}, which {problem}",
                "restore the file, or remove the link",
            ) from error
        raise DataError(
            f"cannot read {path_text(path)}: {error.strerror}", "check the file and your access to it"
        ) from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError(
            f"{path_text(path)} is {_special_kind(mode)}, not a regular file",
            "name regular files: write what it gives into a file, or correct the pattern",
        )
    return stat.S_ISDIR(mode)


def _special_kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe (FIFO)"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
