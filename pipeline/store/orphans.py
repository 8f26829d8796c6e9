"""Deletes orphan rows of ML Metadata's SQLite file: rows that refer to a row that does not exist.

When SQLite finds the disk full, it ends the transaction by itself, and ML Metadata continues to write outside
of it. Later, ML Metadata aborts the process when it reads the properties of an artifact that does not exist.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

SCHEMA_VERSION = 10
"""The version of ML Metadata's tables (table `MLMDEnv`) that `_REFERENCES` describes."""

_REFERENCES = (
    ("Event", "artifact_id", "Artifact"),
    ("Event", "execution_id", "Execution"),
    ("EventPath", "event_id", "Event"),
    ("ArtifactProperty", "artifact_id", "Artifact"),
    ("ExecutionProperty", "execution_id", "Execution"),
    ("ContextProperty", "context_id", "Context"),
    ("Attribution", "artifact_id", "Artifact"),
    ("Association", "execution_id", "Execution"),
)
"""Tables of ML Metadata whose rows refer to a row of another: the table, its column, the other table."""


def has_orphans(database: sqlite3.Connection) -> bool:
    """Whether a database has rows that refer to a row that does not exist."""
    return any(
        database.execute(
            f"SELECT 1 FROM {table} WHERE {column} NOT IN (SELECT id FROM {referenced}) LIMIT 1"
        ).fetchone()
        for table, column, referenced in _REFERENCES
    )


def delete_orphans(file: Path) -> None:
    """Deletes the rows that refer to a row that does not exist.

    Call it only while no other process writes to the file. Tables of another schema version stay as they are,
    with a warning in the log.

    Args:
      file: the SQLite file.

    Raises:
      sqlite3.Error: the file cannot be read or written.
    """
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        row = database.execute("SELECT schema_version FROM MLMDEnv").fetchone()
        version = row[0] if row else None
        if version != SCHEMA_VERSION:
            logging.getLogger("bitext").warning(
                "%s: ML Metadata's schema version is %s; orphan rows are deleted in version %s only",
                file,
                version,
                SCHEMA_VERSION,
            )
            return
        for table, column, referenced in _REFERENCES:
            database.execute(f"DELETE FROM {table} WHERE {column} NOT IN (SELECT id FROM {referenced})")
