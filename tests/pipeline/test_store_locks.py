"""Another program has the SQLite file locked: the wait is announced, names the program, and ends."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitext.components.shared.errors import EnvironmentFault
from bitext.pipeline import cli
from bitext.pipeline.config import Metadata
from bitext.pipeline.records import Run, State
from bitext.pipeline.store import Store, locks
from tests.pipeline.fakes import Calls
from tests.pipeline.test_store_file import COMMANDS, FILE, export

HOLDER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute(sys.argv[2])
if sys.argv[2] == "BEGIN":
    rows = database.execute("SELECT * FROM Type")
    rows.fetchone()
print("locked", flush=True)
sys.stdin.read()
"""


class Holder:
    """Another program that holds a lock until `end` is called."""

    def __init__(self, file: Path, statement: str):
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(file), statement],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"locked\n"

    def end(self) -> None:
        self.process.communicate()


@contextlib.contextmanager
def holding(file: Path, statement: str = "BEGIN EXCLUSIVE") -> Iterator[Holder]:
    """Another program holds a lock of the file; `BEGIN` is a reader in a transaction."""
    holder = Holder(file, statement)
    try:
        yield holder
    finally:
        holder.end()


@pytest.fixture
def used(toy: Path) -> Path:
    assert cli.main(["run", "toy.yaml"]) == 0
    return toy


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the wait."""
    monkeypatch.setattr(locks, "MAX_WAIT_SECONDS", 1.0)


@pytest.mark.parametrize("name", [*COMMANDS, "export"])
def test_every_command_names_the_program(
    used: Path, limit: None, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "export":
        importlib.import_module("bitext.components.exporter.forms")  # takes seconds
    capsys.readouterr()
    with holding(FILE) as holder:
        begun = time.monotonic()
        code = export(Path("toy.yaml")) if name == "export" else cli.main(COMMANDS[name])
        elapsed = time.monotonic() - begun
    captured = capsys.readouterr()
    program = f"process {holder.process.pid} ({sys.executable} -c import sqlite3, sys "
    waits = f"waiting up to 1 s for the metadata store {FILE}, locked by {program}"
    assert code == 6
    assert (captured.out + captured.err).count(waits) == 1
    assert f"error: the metadata store {FILE} is locked by {program}" in captured.err
    assert "; waited 1 s" in captured.err
    assert 1 <= elapsed < 3


def test_the_wait_is_announced_within_a_second_and_goes_on_when_the_lock_ends(used: Path) -> None:
    lines: list[tuple[str, float]] = []
    with holding(FILE) as holder:
        ending = threading.Timer(1.5, holder.end)
        ending.start()
        begun = time.monotonic()
        store = Store(Metadata(), FILE.parent, "toy", lambda line: lines.append((line, time.monotonic())))
        elapsed = time.monotonic() - begun
        ending.join()
    assert [run.state for run in store.runs()] == [State.COMPLETE]
    [(line, announced)] = lines
    assert "waiting up to 60 s" in line
    assert announced - begun < 1 < elapsed < 4


@pytest.mark.parametrize("statement", ["BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_readers_wait_for_writers_only_and_writers_for_all(used: Path, statement: str) -> None:
    with holding(FILE, statement) as holder:
        assert locks.is_locked(FILE, writes=True)
        assert locks.is_locked(FILE, writes=False) == (statement == "BEGIN EXCLUSIVE")
        assert [text.split(" (")[0] for text in locks.holders(FILE)] == [f"process {holder.process.pid}"]
    assert not locks.is_locked(FILE, writes=True)
    assert locks.holders(FILE) == []


def test_a_lock_during_a_run_is_waited_for_once(
    used: Path, limit: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.ExitStack() as stack:
        Calls.hooks["Train"] = lambda context: stack.enter_context(holding(FILE)) and None
        begun = time.monotonic()
        code = cli.main(["run", "toy.yaml", "--force", "Train", "--log-format", "json"])
        elapsed = time.monotonic() - begun
    assert code == 6
    assert elapsed < 5
    captured = capsys.readouterr()
    said = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["event"] for line in said if "waiting up to 1 s" in line["message"]] == ["run_said"]
    Calls.hooks.clear()
    assert cli.main(["run", "toy.yaml"]) == 0


def test_looking_at_the_lock_changes_nothing(used: Path) -> None:
    before = (FILE.read_bytes(), FILE.stat().st_mtime_ns, sorted(FILE.parent.iterdir()))
    for writes in (True, False):
        assert not locks.is_locked(FILE, writes)
    assert (FILE.read_bytes(), FILE.stat().st_mtime_ns, sorted(FILE.parent.iterdir())) == before
    with pytest.raises(sqlite3.OperationalError):
        locks.is_locked(Path("missing.sqlite"), writes=True)
    assert not Path("missing.sqlite").exists()


def test_a_process_that_cannot_be_found(used: Path, limit: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "holders", lambda file: [])
    with (
        holding(FILE),
        pytest.raises(EnvironmentFault, match="another program, whose process cannot be found"),
    ):
        Store(Metadata(), FILE.parent, "toy", print)


def test_two_pipelines_write_at_the_same_time(tmp_path: Path) -> None:
    store = Store(Metadata(), tmp_path, "one")
    code = (
        "import sys\nfrom pathlib import Path\nfrom bitext.pipeline.config import Metadata\n"
        "from bitext.pipeline.records import Run, State\nfrom bitext.pipeline.store import Store\n"
        "for n in range(100):\n"
        "    if n % 10 == 0: store = Store(Metadata(), Path(sys.argv[1]), 'two', print)\n"
        "    store.put_run(Run(f'two-{n}', 'two', '/', State.COMPLETE, 1.0))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.DEVNULL
    )
    number = 0
    while other.poll() is None:
        store.put_run(Run(f"one-{number}", "one", "/", State.COMPLETE, 1.0))
        number += 1
    assert other.returncode == 0
    assert len(store.runs()) == number
    assert len(Store(Metadata(), tmp_path, "two").runs()) == 100
