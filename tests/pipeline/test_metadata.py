"""The metadata store: records, connections, retries and orphan rows."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault
from bitext.pipeline.config import Metadata, SqlServer
from bitext.pipeline.records import Execution, Run, State, StoredArtifact
from bitext.pipeline.store import Store, exists
from bitext.pipeline.store import database as database_module
from bitext.pipeline.store.connection import connection_config, describe
from bitext.pipeline.store.database import Database
from bitext.pipeline.store.orphans import SCHEMA_VERSION, delete_orphans
from tests.pipeline.store_contract import check_round_trip

SERVER = SqlServer(host="db", port=3306, database="mlmd", user="me", password_env="BITEXT_TEST_PASSWORD")


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    check_round_trip(Metadata(sqlite=str(tmp_path / "deep" / "er" / "m.sqlite")), tmp_path)


def test_folders_are_stored_relative_to_the_root_and_absolute_elsewhere(tmp_path: Path) -> None:
    store = Store(Metadata(), tmp_path, "toy")
    run = Run("r1", "toy", str(tmp_path), State.RUNNING, 1.5)
    store.put_run(run)
    folder = str(tmp_path / "Train" / "model" / "1")
    outputs = {
        "model": (StoredArtifact("Model", folder, "d"),),
        "other": (StoredArtifact("Model", "/else/1", "d"),),
    }
    execution = Execution("Train", "r1", State.COMPLETE, 1.0, outputs=outputs)
    store.put_execution(execution, run)
    records = store._database.client.get_artifacts()
    assert [a.uri for a in records] == ["Train/model/1", "/else/1"]
    assert store.executions() == [execution]


def test_numpy_numbers_are_stored_as_numbers(tmp_path: Path) -> None:
    store = Store(Metadata(), tmp_path, "toy")
    run = Run("r1", "toy", str(tmp_path), State.RUNNING, 1.5)
    store.put_run(run)
    properties: dict[str, int | float | str] = {"n": np.int64(3), "x": np.float32(0.5), "b": True}  # type: ignore[dict-item]
    artifact = StoredArtifact("Model", "/m", "d", properties)
    store.put_execution(Execution("T", "r1", State.COMPLETE, 1.0, outputs={"model": (artifact,)}), run)
    assert store.executions()[0].outputs["model"][0].properties == {"n": 3, "x": 0.5, "b": 1}


def test_pipelines_in_one_store_do_not_see_each_other(tmp_path: Path) -> None:
    one, other = Store(Metadata(), tmp_path, "one"), Store(Metadata(), tmp_path, "other")
    run = Run("r1", "one", str(tmp_path), State.COMPLETE, 1.0)
    one.put_run(run)
    one.put_execution(Execution("Source", "r1", State.COMPLETE, 1.0), run)
    failed = Execution("Source", "r1", State.FAILED, 1.0)
    one.put_execution(failed, run)
    assert (other.runs(), other.executions()) == ([], [])
    complete = {("Source", 1): State.COMPLETE}
    assert other.execution_states([1, 2], "") == complete
    assert one.execution_states([1, 2], "") == complete | {("Source", failed.id): State.FAILED}
    assert (len(one.runs()), len(one.executions())) == (1, 2)


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_the_password_of_a_server_is_read_from_the_environment(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Metadata(mysql=SERVER) if kind == "mysql" else Metadata(postgresql=SERVER)
    monkeypatch.delenv("BITEXT_TEST_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match="BITEXT_TEST_PASSWORD is not set"):
        connection_config(settings, tmp_path)
    monkeypatch.setenv("BITEXT_TEST_PASSWORD", "secret")
    connection = getattr(connection_config(settings, tmp_path), kind)
    assert (connection.host, str(connection.port)) == ("db", "3306")
    assert (connection.user, connection.password) == ("me", "secret")
    assert describe(settings, tmp_path) == f"{kind}://me@db:3306/mlmd"


class TestTransactions:
    """A conflict with another host's transaction is retried; any other failure is reported at once."""

    @staticmethod
    def run(root: Path, transaction: Callable[[], str]) -> str:
        return Database(Metadata(), root, print).write(lambda client: transaction())

    @staticmethod
    def failing(times: int, message: str) -> tuple[list[int], Callable[[], str]]:
        """Returns a transaction that fails `times` times, and a list with one entry for each attempt."""
        attempts: list[int] = []

        def transaction() -> str:
            attempts.append(len(attempts) + 1)
            if len(attempts) <= times:
                raise RuntimeError(message)
            return "done"

        return attempts, transaction

    def test_a_conflict_is_retried(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database_module, "_RETRY_SECONDS", (0.0, 0.0))
        attempts, transaction = self.failing(2, "ERROR:  duplicate key value violates unique constraint")
        assert self.run(tmp_path, transaction) == "done"
        assert len(attempts) == 3
        attempts, transaction = self.failing(3, "could not serialize access")
        with pytest.raises(EnvironmentFault, match="could not serialize"):
            self.run(tmp_path, transaction)
        assert len(attempts) == 3

    def test_a_full_disk_is_reported_at_once(self, tmp_path: Path) -> None:
        attempts, transaction = self.failing(1, "database or disk is full")
        with pytest.raises(EnvironmentFault, match="disk is full"):
            self.run(tmp_path, transaction)
        assert len(attempts) == 1


def test_orphan_rows_of_a_full_disk_are_deleted(tmp_path: Path) -> None:
    """On a full disk, SQLite ends the transaction, and ML Metadata continues to write outside of it."""
    store = Store(Metadata(), tmp_path, "toy")
    run = Run("r1", "toy", str(tmp_path), State.RUNNING, 1.5)
    store.put_run(run)
    outputs = {name: (StoredArtifact("Model", f"/{name}", "d"),) for name in ("model", "lost")}
    store.put_execution(Execution("Train", "r1", State.COMPLETE, 1.0, outputs=outputs), run)
    with sqlite3.connect(tmp_path / "metadata.sqlite") as database:
        database.execute("DELETE FROM Artifact WHERE uri = '/lost'")
    database.close()
    store.delete_orphans()  # without it, ML Metadata aborts this process
    [execution] = store.executions()
    assert list(execution.outputs) == ["model"]


def test_tables_of_another_schema_version_are_not_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Store(Metadata(), tmp_path, "toy")
    file = tmp_path / "metadata.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        assert database.execute("SELECT schema_version FROM MLMDEnv").fetchall() == [(SCHEMA_VERSION,)]
        database.execute("INSERT INTO Event (artifact_id, execution_id, type) VALUES (99, 99, 3)")
        database.execute("UPDATE MLMDEnv SET schema_version = 11")
    delete_orphans(file)
    assert "schema version is 11" in caplog.text
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        assert database.execute("SELECT count(*) FROM Event").fetchall() == [(1,)]
        database.execute("UPDATE MLMDEnv SET schema_version = 10")
    delete_orphans(file)
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        assert database.execute("SELECT count(*) FROM Event").fetchall() == [(0,)]


@pytest.mark.parametrize("damage", ["cut", "text", "table"])
def test_a_damaged_sqlite_file_is_a_data_error(tmp_path: Path, damage: str) -> None:
    store = Store(Metadata(), tmp_path, "p")
    store.put_run(Run("r", "p", str(tmp_path), State.COMPLETE, 1.0))
    del store
    file = tmp_path / "metadata.sqlite"
    if damage == "cut":
        os.truncate(file, 20_000)
    elif damage == "text":
        file.write_text("no database " * 1000, encoding="ascii")
    else:
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute("DROP TABLE Artifact")

    def read() -> None:
        broken = Store(Metadata(), tmp_path, "p")
        broken.delete_orphans()
        broken.runs()
        broken.executions()

    with pytest.raises(DataError, match=f"{file} is damaged") as raised:
        read()
    assert "SELECT" not in str(raised.value)
    assert "restore" in raised.value.remedy


@pytest.mark.parametrize("content", [b"", None])
def test_outputs_without_a_store_are_reported(tmp_path: Path, content: bytes | None) -> None:
    assert not exists(Metadata(), tmp_path)
    (tmp_path / "ExampleGen" / "examples" / "1").mkdir(parents=True)
    if content is not None:
        (tmp_path / "metadata.sqlite").write_bytes(content)
    with pytest.raises(DataError, match="empty" if content is not None else "missing"):
        exists(Metadata(), tmp_path)


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("", encoding="ascii")
    with pytest.raises(ConfigError, match="is not a folder"):
        exists(Metadata(), tmp_path / "root")
