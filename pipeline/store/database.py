"""The database of the metadata store: opens it, waits for it, retries, and says what is wrong with it."""

from __future__ import annotations

import contextlib
import os
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ml_metadata import errors as mlmd_errors
from ml_metadata.metadata_store.metadata_store import MetadataStore

from bitext.components.shared.errors import BitextError, DataError, EnvironmentFault
from bitext.pipeline.config import Metadata
from bitext.pipeline.store import inspection, locks
from bitext.pipeline.store.connection import connection_config, describe, outputs_without_records, sqlite_file
from bitext.pipeline.store.orphans import delete_orphans, has_orphans
from bitext.pipeline.store.postgresql_text import EscapingClient
from bitext.pipeline.store.server import wait_for_server

_RETRY_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""The longest pauses before the retries of a transaction."""
_RECONNECT_SECONDS = 0.2
"""The pause between two attempts to connect to a server that was stopped."""
_DAMAGE_MESSAGES = re.compile(
    "malformed|not a database|subset of tables|no such table|file is encrypted", re.IGNORECASE
)
"""Parts of SQLite's and ML Metadata's messages about a damaged file."""
_CONFLICT_MESSAGES = re.compile(
    "duplicate (key|entry)|already exists|concurrent|deadlock|could not serialize|please retry|restarting",
    re.IGNORECASE,
)
"""Messages of MySQL, PostgreSQL and ML Metadata about a transaction that conflicts with another."""
_VERSION_MESSAGE = re.compile(r"database version (\d+) is (?:older|greater) than library version")
"""ML Metadata's message about tables of another schema version."""

T = TypeVar("T")


class Database:
    """An ML Metadata database.

    Args:
      settings: the database.
      root: the pipeline root.
      say: prints a line if the command waits for the database.

    Attributes:
      folder: the folder of an SQLite file; None: a server.
      client: ML Metadata's client.

    Raises (every method):
      ConfigError: the configuration names something else than a database.
      EnvironmentFault: the database cannot be reached, read or written, or is locked for long.
      DataError: an SQLite file is damaged, is not a metadata store, or is empty although outputs exist.
    """

    def __init__(self, settings: Metadata, root: Path, say: Callable[[str], None]):
        self._settings, self._address, self._say = settings, describe(settings, root), say
        self._file: Path | None = None
        self._status: os.stat_result | None = None
        self._max_wait = locks.MAX_WAIT_SECONDS  # 0 after a wait without success
        self.folder: Path | None = None
        if not (settings.mysql or settings.postgresql):
            self._file = sqlite_file(settings, root)
            self._check_file(self._file, bool(settings.sqlite), root)
            self.folder = self._file.resolve().parent
        self._connection = connection_config(settings, root)
        wait_for_server(settings, self._address, say)
        self.client: MetadataStore = self._retrying(self._connected)
        if self._file:
            self._status = self._file.stat()

    def _connected(self) -> Any:
        """A new client."""
        client = MetadataStore(self._connection)
        return EscapingClient(client) if self._settings.postgresql else client

    def _check_file(self, file: Path, is_configured: bool, root: Path) -> None:
        """Checks an SQLite file, or creates the folder of a new one."""
        self._status = inspection.file_status(file, is_configured)
        if self._status is None:
            inspection.create_folder(file)
            return
        self._wait_for_lock(writes=True)
        try:
            has_tables = inspection.has_tables(file)
            if has_tables:
                inspection.check_content(file)
        except sqlite3.Error as error:
            raise self._fault(error) from error
        except UnicodeDecodeError as error:  # Python cannot decode SQLite's message
            raise inspection.damaged(file, "a name in its schema is not UTF-8") from error
        if not has_tables and (fault := outputs_without_records(file, root)):
            raise fault

    def read(self, query: Callable[[MetadataStore], T]) -> T:
        """Returns the result of a transaction that reads."""
        self._wait_for_lock(writes=False)
        try:
            return self._retrying(lambda: query(self.client))
        except EnvironmentFault:
            if self._file:
                raise
        self._reconnect()
        return self._retrying(lambda: query(self.client))

    def write(self, change: Callable[[MetadataStore], T]) -> T:
        """Returns the result of a transaction that writes.

        It is not repeated on a new connection: whether a server has committed it is then unknown. So a
        transaction that reads precedes it, which finds out that the server was restarted in between.
        """
        self._wait_for_lock(writes=True)
        if self._file is None:
            self.read(lambda client: client.get_context_types())
        return self._retrying(lambda: change(self.client))

    def _reconnect(self) -> None:
        """Connects to a server again: ML Metadata does not do so after the server was restarted."""
        started, announced = time.monotonic(), False
        while True:
            try:
                wait_for_server(self._settings, self._address, self._say)
                self.client = self._retrying(self._connected)
                return
            except EnvironmentFault as fault:
                if time.monotonic() - started >= self._max_wait:
                    waited, self._max_wait = self._max_wait, 0.0
                    raise EnvironmentFault(
                        f"the metadata store {self._address} accepts no connections; waited {waited:g} s",
                        "start the server, and run the same command again; its own log says more",
                    ) from fault
            if not announced:
                announced = True
                self._say(
                    f"waiting up to {self._max_wait:g} s for the metadata store {self._address},"
                    " which accepts no connections"
                )
            time.sleep(_RECONNECT_SECONDS)

    def delete_orphans(self) -> None:
        """Deletes the rows an aborted transaction left in an SQLite file. Only while the root is locked."""
        if self._file is None:
            return
        self._wait_for_lock(writes=True)
        try:
            delete_orphans(self._file)
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def check_references(self) -> None:
        """Raises DataError if `delete_orphans` has rows to delete: ML Metadata would end this process."""
        if self._file is None:
            return
        self._wait_for_lock(writes=False)
        try:
            with contextlib.closing(locks.connect(self._file)) as connection:
                has_rows = has_orphans(connection)
        except sqlite3.Error as error:
            raise self._fault(error) from error
        if has_rows:
            raise DataError(
                f"the metadata store {self._address} has rows of an interrupted transaction (on a full disk)",
                "`bitext run CONFIG` or `bitext gc CONFIG --keep 10 --dry-run` deletes them",
            )

    @contextlib.contextmanager
    def reporting_damage(self, record: str) -> Iterator[None]:
        """Context manager: re-raises an error of converting a record as a DataError."""
        try:
            yield
        except (ValueError, LookupError, TypeError) as error:  # text that is not UTF-8, a missing property
            raise DataError(
                f"the metadata store {self._address} is damaged: {record}: {error}", inspection.RESTORE
            ) from error

    def _wait_for_lock(self, writes: bool) -> None:
        """Waits while another program has the SQLite file locked, after a wait without success not again."""
        if self._file is None:
            return
        self._check_same_file(self._file)
        try:
            locks.wait_until_unlocked(self._file, writes, self._say, self._max_wait)
        except EnvironmentFault:
            self._max_wait = 0.0
            raise
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _check_same_file(self, file: Path) -> None:
        """Raises DataError if the file is not the one that ML Metadata has open."""
        try:
            if self._status is not None and os.path.samestat(file.stat(), self._status):
                return
            problem = "replaced by another file"
        except FileNotFoundError:
            problem = "removed"
        except OSError as error:
            raise inspection.unusable(file, f"cannot be reached: {error.strerror}") from error
        raise DataError(
            f"the metadata store {file} was {problem} while this command used it",
            "restore the file and run the same command again",
        )

    def _fault(self, error: Exception) -> BitextError:
        """The error for a failed transaction: damage of an SQLite file, or a fault of the environment."""
        if self._file and _DAMAGE_MESSAGES.search(str(error)):
            return DataError(f"the metadata store {self._address} is damaged", inspection.RESTORE)
        if version := _VERSION_MESSAGE.search(str(error)):
            return inspection.other_version(self._address, int(version[1]))
        return EnvironmentFault(
            f"the metadata store {self._address} failed: {error}",
            "check that it is reachable and writable, and its disk not full (see `metadata`); the log of a"
            " server has more",
        )

    def _retrying(self, transaction: Callable[[], T]) -> T:
        """Returns what a transaction returns; retries it after a conflict with another host's transaction.

        A failed transaction has changed nothing. Two hosts conflict if both create the tables of an empty
        database, or declare the same type: the second host finds some or all of it.
        """
        for pause in (*_RETRY_SECONDS, None):
            try:
                return transaction()
            except (mlmd_errors.StatusError, RuntimeError) as error:  # connecting raises RuntimeError
                if pause is None or not _CONFLICT_MESSAGES.search(str(error)):
                    raise self._fault(error) from error
                time.sleep(pause * random.uniform(0.5, 1.0))
        raise AssertionError("not reached")
