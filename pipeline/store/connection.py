"""Connections to the database of the metadata store: SQLite, MySQL or PostgreSQL."""

from __future__ import annotations

import os
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2 as pb

from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.shared.numbered import folder_number
from bitext.pipeline.config import Metadata
from bitext.pipeline.store.inspection import file_status


def describe(settings: Metadata, root: Path) -> str:
    """The database's address for messages, without the password."""
    for kind in ("mysql", "postgresql"):
        if server := getattr(settings, kind):
            return f"{kind}://{server.user}@{server.host}:{server.port}/{server.database}"
    return str(sqlite_file(settings, root))


def exists(settings: Metadata, root: Path) -> bool:
    """Whether there may be records: true for a server, and for an SQLite file that is not empty.

    Raises:
      ConfigError: the root is not a folder, or `metadata.sqlite` names something else than a file.
      DataError: the root has published outputs, but the SQLite file is missing or empty; or something else is
        at its place.
      EnvironmentFault: the SQLite file cannot be reached, read or written.
    """
    if settings.mysql or settings.postgresql:
        return True
    if root.exists() and not root.is_dir():
        raise ConfigError(f"root {root} is not a folder", "choose another with `root` or --root")
    file = sqlite_file(settings, root)
    status = file_status(file, bool(settings.sqlite))
    if status is not None and status.st_size:
        return True
    if fault := outputs_without_records(file, root):
        raise fault
    return False


def outputs_without_records(file: Path, root: Path) -> DataError | None:
    """Returns the error for a missing or empty SQLite file if the root has published outputs."""
    if all(folder_number(folder.name) is None for folder in root.glob("[!.]*/*/*")):
        return None
    is_empty = file.exists()
    return DataError(
        f"{root} has outputs, but its metadata store {file} is {'empty' if is_empty else 'missing'}",
        f"restore a copy of the file; or {'remove the empty file and ' if is_empty else ''}run again: the run"
        " moves these outputs to .unrecorded and makes new ones",
    )


def sqlite_file(settings: Metadata, root: Path) -> Path:
    """The SQLite file, which is used if no server is configured."""
    return Path(settings.sqlite) if settings.sqlite else root / "metadata.sqlite"


def connection_config(settings: Metadata, root: Path) -> pb.ConnectionConfig:
    """The settings as ML Metadata takes them.

    Raises:
      ConfigError: the environment variable of the password is not set.
    """
    config = pb.ConnectionConfig()
    server = settings.mysql or settings.postgresql
    if server is None:
        config.sqlite.filename_uri = str(sqlite_file(settings, root))
        config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return config
    password = ""
    if server.password_env:
        if server.password_env not in os.environ:
            raise ConfigError(
                f"the environment variable {server.password_env} is not set",
                f"set it to the password of {describe(settings, root)}; password_env names it",
            )
        password = os.environ[server.password_env]
    if settings.mysql:
        mysql = config.mysql
        mysql.host, mysql.port, mysql.database = server.host, server.port, server.database
        mysql.user, mysql.password = server.user, password
    else:
        postgresql = config.postgresql
        postgresql.host, postgresql.port = server.host, str(server.port)
        postgresql.user, postgresql.password, postgresql.dbname = server.user, password, server.database
    return config
