"""Connections to the database of the metadata store: SQLite, MySQL or PostgreSQL."""

from __future__ import annotations

import os
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2 as pb

from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.shared.numbered import folder_number
from bitext.pipeline.config import Metadata


def describe(settings: Metadata, root: Path) -> str:
    """The database's address for messages, without the password."""
    for kind in ("mysql", "postgresql"):
        if server := getattr(settings, kind):
            return f"{kind}://{server.user}@{server.host}:{server.port}/{server.database}"
    return str(sqlite_file(settings, root))


def exists(settings: Metadata, root: Path) -> bool:
    """Whether there may be records: true for a server, and for an SQLite file that is not empty.

    Raises:
      ConfigError: the root is not a folder.
      DataError: the root has published outputs, but the SQLite file is missing or empty.
    """
    if settings.mysql or settings.postgresql:
        return True
    if root.exists() and not root.is_dir():
        raise ConfigError(f"root {root} is not a folder", "choose another with `root` or --root")
    file = sqlite_file(settings, root)
    if file.is_file() and file.stat().st_size:
        return True
    if any(folder_number(folder.name) is not None for folder in root.glob("[!.]*/*/*")):
        raise DataError(
            f"{root} has outputs, but its metadata store {file} is {'empty' if file.exists() else 'missing'}",
            "restore a copy of the file; or run again: the run moves these outputs to .unrecorded and makes"
            " new ones",
        )
    return False


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
