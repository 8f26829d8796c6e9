"""Checks the SQLite file of the metadata store before ML Metadata opens it.

ML Metadata creates a file at the end of a dangling link, adds its tables to another program's database, and
ends the process if rows are missing that others refer to.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault
from bitext.pipeline.store.locks import connect
from bitext.pipeline.store.orphans import SCHEMA_VERSION

RESTORE = "restore a copy of the file; or move it away and run again, which makes all outputs again"
"""The remedy for a file that cannot be used."""
TABLES = frozenset(
    {
        "Artifact", "ArtifactProperty", "Association", "Attribution", "Context", "ContextProperty", "Event",
        "EventPath", "Execution", "ExecutionProperty", "MLMDEnv", "ParentContext", "ParentType", "Type",
        "TypeProperty",
    }
)  # fmt: skip
"""The tables of ML Metadata."""
_HEADER_BYTES = 100


def file_status(file: Path, is_configured: bool) -> os.stat_result | None:
    """Returns the status of the file; None if there is no file.

    Args:
      file: the SQLite file.
      is_configured: whether the configuration names it, as `metadata.sqlite`.

    Raises:
      ConfigError: the configuration names something else than a regular file.
      DataError: something else is at the file's place: a folder, a link to a file that does not exist.
      EnvironmentFault: the file cannot be reached, read or written.
    """
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        if file.is_symlink():
            raise DataError(
                f"the metadata store {file} is a link to {os.readlink(file)}, which does not exist",
                "restore that file, or mount its disk; or remove the link and run again, which makes all"
                " outputs again",
            ) from None
        return None
    except OSError as error:
        raise unusable(file, f"cannot be reached: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        if is_configured:
            raise ConfigError(f"metadata.sqlite: {file} is {kind}", "name an SQLite file, which may be new")
        raise DataError(
            f"the metadata store {file} is {kind}",
            "move it away, and restore a copy of the file; or run again without it, which makes all outputs"
            " again",
        )
    _check_access(file.resolve(), os.R_OK | os.W_OK, file)
    _check_access(file.resolve().parent, os.W_OK | os.X_OK, file)  # for SQLite's journal
    return status


def create_folder(file: Path) -> None:
    """Creates the folder of a new file.

    Raises:
      EnvironmentFault: it cannot be created or written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(file, f"cannot be created: {error.filename}: {error.strerror}") from error
    _check_access(file.resolve().parent, os.W_OK | os.X_OK, file)


def unusable(file: Path, problem: str) -> EnvironmentFault:
    """Returns the error for a file that cannot be reached, read or written."""
    return EnvironmentFault(
        f"the metadata store {file} {problem}",
        "give this user the right to read and write the file and its folder, or name another file with"
        " `metadata.sqlite`",
    )


def _check_access(path: Path, rights: int, file: Path) -> None:
    """Raises EnvironmentFault about `file` if this user has not these rights to the file or its folder."""
    if os.access(path, rights, effective_ids=True):
        return
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise unusable(file, f"cannot be written: {path} is on a read-only file system")
    if not os.access(path, os.R_OK, effective_ids=True):
        raise unusable(file, f"cannot be read: this user has no right to read {path}")
    raise unusable(file, f"cannot be written: {path} is read-only for this user")


def has_tables(file: Path) -> bool:
    """Whether the file has ML Metadata's tables; False: it is empty, and may become a new store.

    Raises:
      DataError: it is damaged, or another program's database, or of another version of ML Metadata.
      sqlite3.Error: it cannot be read.
    """
    if not file.stat().st_size:
        return False
    if not is_sqlite(file):
        raise damaged(file, "it does not begin as an SQLite file does")
    with contextlib.closing(connect(file)) as database:
        rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in rows} - {"sqlite_sequence"}
        if not tables:
            return False
        if not tables & TABLES:
            raise DataError(
                f"{file} is not a metadata store but another program's database, with the tables"
                f" {', '.join(sorted(map(str, tables))[:5])}",
                "name another file with `metadata.sqlite`, or move this one away",
            )
        if missing := TABLES - tables:
            raise damaged(file, f"the table {min(missing)} is missing")
        versions = [version for (version,) in database.execute("SELECT schema_version FROM MLMDEnv")]
    _check_version(file, versions)
    return True


def is_sqlite(file: Path) -> bool:
    """Whether a file has SQLite's header. SQLite itself takes a file of a few bytes for a new one."""
    with file.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    return len(header) == _HEADER_BYTES and header.startswith(b"SQLite format 3\0")


def _check_version(file: Path, versions: list[object]) -> None:
    """Raises DataError unless the tables are those of the installed ML Metadata."""
    if versions == [SCHEMA_VERSION]:
        return
    if len(versions) != 1 or not isinstance(versions[0], int):
        raise damaged(file, "the table MLMDEnv has no schema version")
    raise other_version(str(file), versions[0])


def other_version(address: str, version: int) -> DataError:
    """Returns the error for tables of another schema version than that of the installed ML Metadata."""
    remedy = (
        "use the version of this program that wrote it; or restore an older copy"
        if version > SCHEMA_VERSION
        else "keep a copy, and upgrade it with ML Metadata: docs/how-to/operate.md has the command"
    )
    return DataError(
        f"the metadata store {address} has schema version {version} of ML Metadata; this program has"
        f" {SCHEMA_VERSION}",
        remedy,
    )


def damaged(file: Path, detail: str) -> DataError:
    """Returns the error for a damaged file."""
    return DataError(f"the metadata store {file} is damaged: {detail}", RESTORE)


def check_content(file: Path) -> None:
    """Raises DataError if the file's pages are not those of a whole SQLite database, or sqlite3.Error."""
    with contextlib.closing(connect(file)) as database:
        [(result,), *_] = database.execute("PRAGMA integrity_check(1)").fetchall()
        [(page_size,)] = database.execute("PRAGMA page_size").fetchall()
    if file.stat().st_size % page_size:  # SQLite reads the missing bytes as zeros
        raise damaged(file, "its last page is incomplete")
    if result != "ok":
        raise damaged(file, " ".join(str(result).split()))
