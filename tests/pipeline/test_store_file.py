"""An SQLite file of the metadata store that cannot be used: every command names it, and changes nothing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ml_metadata.metadata_store import metadata_store

from bitext.components.shared.errors import BitextError
from bitext.pipeline import cli, graph
from bitext.pipeline.commands.export import served_model
from bitext.pipeline.config import Metadata, load
from bitext.pipeline.store import Store
from bitext.pipeline.store.connection import connection_config
from bitext.pipeline.store.inspection import TABLES
from bitext.pipeline.store.orphans import SCHEMA_VERSION
from tests.pipeline import fakes

FILE = Path("runs/toy/metadata.sqlite")
COMMANDS: dict[str, list[str]] = {
    "run": ["run", "toy.yaml"],
    "a task of Airflow": ["run", "toy.yaml", "--from", "Train", "--to", "Train"],
    "status": ["status", "toy.yaml"],
    "lineage": ["lineage", "1", "toy.yaml"],
    "verify": ["verify", "toy.yaml"],
    "gc": ["gc", "toy.yaml", "--keep", "1"],
    "rollback": ["rollback", "toy.yaml", "--reason", "because"],
}


@pytest.fixture
def used(toy: Path) -> Path:
    """A working directory with the outputs and records of two runs."""
    assert cli.main(["run", "toy.yaml"]) == 0
    assert cli.main(["run", "toy.yaml", "--force", "Train"]) == 0
    return toy


def tree(folder: Path) -> dict[str, bytes | None]:
    """Returns the content of all files and folders that commands must not change, by path."""
    paths = (path for path in sorted(folder.rglob("*")) if not path.is_fifo())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in paths
        if "logs" not in path.parts and "metrics" not in path.parts and not path.name.startswith(".")
    }


def export(config: Path) -> int:
    """Finds the served model as `bitext export` does and returns the exit code."""
    try:
        served_model(load(config))
    except BitextError as error:
        cli.print_error(str(error), error.remedy, cli.Session())
        return error.exit_code
    return 0


def check_every_command(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> None:
    """Checks that every command ends with the exit code and a message, and changes no file."""
    before = tree(Path())
    calls: dict[str, Callable[[], int]] = {
        name: (lambda arguments=arguments: cli.main(arguments)) for name, arguments in COMMANDS.items()
    }
    for name, call in (calls | {"export": lambda: export(Path("toy.yaml"))}).items():
        capsys.readouterr()
        received = call()
        message = capsys.readouterr().err
        assert (name, received) == (name, code), message
        for word in (str(FILE), "what to do: ", *words):
            assert word in message, (name, message)
        assert "Traceback" not in message
        assert tree(Path()) == before, name


def damage_text() -> None:
    FILE.write_text("no database " * 1000, encoding="ascii")


def damage_zeros() -> None:
    FILE.write_bytes(bytes(FILE.stat().st_size))


def damage_header() -> None:
    with FILE.open("r+b") as file:
        file.write(bytes(100))


def damage_pages() -> None:
    """Overwrites all pages but the first."""
    with FILE.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (FILE.stat().st_size - 4096))


def damage_table() -> None:
    execute("DROP TABLE Artifact")


def damage_index() -> None:
    """Makes the content of an index differ from that of its table: rows would not be found."""
    with contextlib.closing(sqlite3.connect(FILE)) as database, database:
        (name,) = database.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%INDEX%Event%'").fetchone()
        database.execute("PRAGMA writable_schema = ON")
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with FILE.open("r+b") as file:
        file.seek((page - 1) * size)
        header = bytearray(file.read(8))
        header[3:5] = (int.from_bytes(header[3:5]) - 1).to_bytes(2)  # one cell fewer
        file.seek((page - 1) * size)
        file.write(header)


def damage_name() -> None:
    """Makes the name of a table in the schema no valid UTF-8."""
    FILE.write_bytes(
        FILE.read_bytes().replace(b"tableAttributionAttribution", b"tableAttr\xffbutionAttribution")
    )


def damage_version() -> None:
    execute("DELETE FROM MLMDEnv")


def execute(*statements: str) -> None:
    with contextlib.closing(sqlite3.connect(FILE)) as database, database:
        for statement in statements:
            database.execute(statement)


@pytest.mark.parametrize(
    "damage",
    [
        damage_text,
        damage_zeros,
        damage_header,
        damage_pages,
        damage_table,
        damage_version,
        damage_index,
        damage_name,
    ],
)
def test_a_damaged_file(used: Path, damage: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    damage()
    check_every_command(capsys, 3, f"{FILE} is damaged", "restore a copy of the file")


@pytest.mark.parametrize("size", [1, 16, 99, 100, 511, 512, 4095, 4096, 8192, 5 * 4096, 20_000, -4096, -1])
def test_a_truncated_file(used: Path, size: int, capsys: pytest.CaptureFixture[str]) -> None:
    os.truncate(FILE, size if size > 0 else FILE.stat().st_size + size)
    check_every_command(capsys, 3, f"{FILE} is damaged", "restore a copy of the file")


@pytest.mark.parametrize("kind", ["no bytes", "no tables"])
def test_an_empty_file_beside_outputs_is_no_new_history(
    used: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    FILE.unlink()
    FILE.touch()
    if kind == "no tables":
        execute("CREATE TABLE t (x)", "DROP TABLE t")
        assert FILE.stat().st_size
    check_every_command(capsys, 3, f"{FILE} is empty", "remove the empty file and run again")


def test_an_empty_file_without_outputs_is_a_new_store(toy: Path) -> None:
    FILE.parent.mkdir(parents=True)
    FILE.touch()
    assert cli.main(["run", "toy.yaml"]) == 0
    assert cli.main(["status", "toy.yaml"]) == 0


class TestAMissingFile:
    """Outputs without records are moved aside by a run, which says so; no other command touches them."""

    def test_every_other_command_refuses(self, used: Path, capsys: pytest.CaptureFixture[str]) -> None:
        FILE.unlink()
        before = tree(used)
        for name in ("status", "lineage", "verify", "gc", "rollback"):
            assert cli.main(COMMANDS[name]) == 3
            message = capsys.readouterr().err
            assert f"runs/toy has outputs, but its metadata store {FILE} is missing" in message
            assert "restore a copy of the file; or run again" in message
            assert (tree(used), FILE.exists()) == (before, False)
        assert export(Path("toy.yaml")) == 3
        assert (tree(used), FILE.exists()) == (before, False)

    @pytest.mark.parametrize("arguments", [[], ["--to", "Source"], ["--from", "Source", "--to", "Source"]])
    def test_a_run_moves_them_aside_and_says_so(
        self, used: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        files = tree(used / "runs").items()
        contents = sorted(content for name, content in files if content and "/reports/" not in name)
        contents.remove(FILE.read_bytes())
        Path("runs/toy/Rollback/pushed_model/9").mkdir(parents=True)
        FILE.unlink()
        capsys.readouterr()
        assert cli.main(["run", "toy.yaml", *arguments]) == 0
        out = capsys.readouterr().out
        moved = sorted(Path("runs/toy/.unrecorded").glob("*/*/*/*"))
        assert len(moved) == 8  # six outputs of the first run, one of the second, a rollback
        for folder in moved:
            assert f"is in no metadata record; moved to {folder}" in out
        kept = [path.read_bytes() for path in Path("runs/toy/.unrecorded").rglob("*") if path.is_file()]
        assert sorted(filter(None, kept)) == contents
        assert cli.main(["status", "toy.yaml"]) == 0
        assert cli.main(["gc", "toy.yaml", "--keep", "1"]) == 0
        assert sorted(Path("runs/toy/.unrecorded").glob("*/*/*/*")) == moved

    def test_an_older_copy_is_restored(self, used: Path, capsys: pytest.CaptureFixture[str]) -> None:
        copy = FILE.read_bytes()
        assert cli.main(["run", "toy.yaml", "--force", "Source"]) == 0
        FILE.write_bytes(copy)
        capsys.readouterr()
        assert cli.main(["run", "toy.yaml"]) == 0
        assert capsys.readouterr().out.count("is in no metadata record; moved to") == 2


def test_a_folder_at_its_place(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FILE.unlink()
    FILE.mkdir()
    check_every_command(capsys, 3, f"{FILE} is a folder", "restore a copy")


def test_a_pipe_at_its_place(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FILE.unlink()
    os.mkfifo(FILE)
    check_every_command(capsys, 3, f"{FILE} is no regular file", "restore a copy")


def test_a_folder_that_the_configuration_names(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in COMMANDS.values():
        assert cli.main([*arguments, "--set", "metadata.sqlite=runs"]) == 2
        assert "error: metadata.sqlite: runs is a folder" in capsys.readouterr().err


def test_a_dangling_link(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = used / "disk" / "m.sqlite"
    target.parent.mkdir()
    FILE.rename(target)
    FILE.symlink_to(target)
    assert cli.main(["run", "toy.yaml"]) == 0
    target.rename(used / "kept")
    check_every_command(capsys, 3, f"{FILE} is a link to {target}, which does not exist", "mount its disk")
    assert not target.exists()


def test_a_link_to_itself(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FILE.unlink()
    FILE.symlink_to(FILE.name)
    check_every_command(capsys, 6, f"{FILE} cannot be reached: Too many levels of symbolic links")


def test_a_folder_of_it_that_is_a_file(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "toy.yaml", "--set", "metadata.sqlite=rows.txt/m.sqlite"]) == 6
    assert "the metadata store rows.txt/m.sqlite cannot be created: rows.txt" in capsys.readouterr().err


def test_a_database_of_another_program(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FILE.unlink()
    execute("CREATE TABLE moz_places (url)", "CREATE TABLE moz_hosts (host)")
    check_every_command(
        capsys, 3, "another program's database, with the tables moz_hosts, moz_places", "name another file"
    )


@pytest.mark.parametrize("version", [SCHEMA_VERSION - 1, SCHEMA_VERSION - 4, SCHEMA_VERSION + 1])
def test_another_schema_version(used: Path, version: int, capsys: pytest.CaptureFixture[str]) -> None:
    if version < SCHEMA_VERSION:
        metadata_store.downgrade_schema(connection_config(Metadata(sqlite=str(FILE)), used), version)
    else:
        execute(f"UPDATE MLMDEnv SET schema_version = {version}")
    remedy = "docs/how-to/operate.md" if version < SCHEMA_VERSION else "the version of this program"
    check_every_command(
        capsys, 3, f"schema version {version} of ML Metadata; this program has {SCHEMA_VERSION}", remedy
    )


def test_the_tables_of_ml_metadata(tmp_path: Path) -> None:
    Store(Metadata(), tmp_path, "toy")
    with contextlib.closing(sqlite3.connect(tmp_path / "metadata.sqlite")) as database:
        rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in rows} - {"sqlite_sequence"} == TABLES


@pytest.fixture
def user_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of an ordinary user, as `used`. Root, who may write everywhere, becomes nobody."""
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(prefix="bitext-") as name, monkeypatch.context() as context:
        folder = Path(name)
        (folder / "metrics").mkdir()
        (folder / "rows.txt").write_text("a\tb\n", encoding="utf-8")
        (folder / "toy.yaml").write_text("name: toy\nexample_gen: {files: [rows.txt]}\n", encoding="utf-8")
        context.chdir(folder)
        context.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(folder))
        assert cli.main(["run", "toy.yaml"]) == 0
        if is_root:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, 65534, 65534)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)
            (folder / FILE).parent.chmod(0o755)


@pytest.mark.parametrize(
    "paths", [[FILE], [FILE.parent], [FILE, FILE.parent]], ids=["file", "folder", "both"]
)
@pytest.mark.parametrize("name", ["status", "lineage", "export", "run", "gc", "rollback"])
def test_it_is_read_only(
    user_folder: Path, name: str, paths: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert (export(Path("toy.yaml")) if name == "export" else cli.main(COMMANDS[name])) == 6
    message = capsys.readouterr().err
    assert "read-only for this user" in message
    assert str(paths[0].absolute()) in message
    assert "what to do: give this user the right" in message


def test_it_is_unreadable(user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FILE.chmod(0)
    assert cli.main(COMMANDS["status"]) == 6
    assert "this user has no right to read" in capsys.readouterr().err


def test_its_file_system_is_read_only(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = used / "disk"
    disk.mkdir()
    shutil.copy(FILE, disk / "m.sqlite")
    mount = ["mount", "--bind", str(disk), str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a folder")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)
        FILE.unlink()
        FILE.symlink_to(disk / "m.sqlite")
        check_every_command(capsys, 6, f"{disk / 'm.sqlite'} is on a read-only file system")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("change", ["removed", "replaced by another file"])
def test_it_is_removed_during_a_run(used: Path, change: str, capsys: pytest.CaptureFixture[str]) -> None:
    def remove(context: object) -> None:
        FILE.rename("kept")
        if change != "removed":
            shutil.copy("kept", FILE)

    fakes.Calls.hooks["Train"] = remove
    assert cli.main(["run", "toy.yaml", "--force", "Train"]) == 3
    assert f"the metadata store {FILE} was {change} while this command used it" in capsys.readouterr().err
    assert FILE.exists() == (change != "removed")
    fakes.Calls.hooks.clear()
    Path("kept").rename(FILE)
    assert cli.main(["run", "toy.yaml"]) == 0


@pytest.mark.parametrize(
    ("statement", "record"),
    [
        ("UPDATE ContextProperty SET string_value = 'LOST' WHERE name = 'state'", "context 2"),
        ("DELETE FROM ContextProperty WHERE name = 'started'", "context 2"),
        ("UPDATE ExecutionProperty SET string_value = CAST(x'ff' AS TEXT) WHERE name = 'node'", "execution "),
        ("UPDATE Artifact SET uri = CAST(x'ff' AS TEXT) WHERE id = 1", "artifact 1"),
        ("DELETE FROM EventPath WHERE event_id = 1", "the events"),
    ],
)
def test_a_record_that_cannot_be_read(
    used: Path, statement: str, record: str, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(statement)
    capsys.readouterr()
    assert cli.main(["status", "toy.yaml"]) == 3
    message = capsys.readouterr().err
    assert f"the metadata store {FILE} is damaged: {record}" in message
    assert "what to do: restore a copy of the file" in message


def test_a_cache_key_that_cannot_be_read(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    execute("UPDATE ExecutionProperty SET string_value = '{' WHERE name = 'cache_key_parts'")
    Path("rows.txt").write_text("c\td\n", encoding="utf-8")
    for name in ("run", "lineage"):
        assert cli.main(COMMANDS[name]) == 3
        assert "error: the metadata record of execution " in capsys.readouterr().err


def test_an_older_file_is_upgraded_as_the_documentation_says(
    used: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert cli.main(COMMANDS["status"]) == 0
    before = capsys.readouterr().out
    metadata_store.downgrade_schema(connection_config(Metadata(sqlite=str(FILE)), used), SCHEMA_VERSION - 1)
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "operate.md").read_text(encoding="utf-8")
    [code] = re.findall(r"python - runs/mine/metadata.sqlite <<'END'\n(.*?)END\n", page, re.DOTALL)
    subprocess.run([sys.executable, "-", str(FILE)], input=code, text=True, check=True)
    assert cli.main(COMMANDS["status"]) == 0
    assert capsys.readouterr().out == before
    assert cli.main(COMMANDS["run"]) == 0
    assert cli.main(COMMANDS["lineage"]) == 0


@pytest.mark.parametrize("size", [0, 4096])
def test_it_is_truncated_during_a_run(used: Path, size: int, capsys: pytest.CaptureFixture[str]) -> None:
    fakes.Calls.hooks["Train"] = lambda context: os.truncate(FILE, size)
    assert cli.main(["run", "toy.yaml", "--force", "Train"]) == 3
    assert f"the metadata store {FILE} is damaged" in capsys.readouterr().err
    fakes.Calls.hooks.clear()
    assert cli.main(COMMANDS["run"]) == 3


def test_rows_of_an_interrupted_transaction(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    execute("DELETE FROM Artifact WHERE uri LIKE 'Source/rejects/%'")
    before = tree(used)
    for name in ("status", "lineage", "verify"):
        assert cli.main(COMMANDS[name]) == 3
        message = capsys.readouterr().err
        assert f"{FILE} has rows of an interrupted transaction" in message
        assert "what to do: `bitext run toy.yaml` or `bitext gc toy.yaml --keep 10 --dry-run`" in message
    assert export(Path("toy.yaml")) == 3
    assert tree(used) == before
    assert cli.main(["gc", "toy.yaml", "--keep", "10", "--dry-run"]) == 0
    assert cli.main(["status", "toy.yaml"]) == 0
