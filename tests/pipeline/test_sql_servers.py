"""The metadata store on real PostgreSQL and MySQL servers."""

from __future__ import annotations

import dataclasses
import functools
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitext.components.example_gen import Parameters as ExampleGenParameters
from bitext.components.pusher.serving import newest_version
from bitext.components.shared.errors import DataError, EnvironmentFault
from bitext.pipeline import completion, housekeeping, rollback
from bitext.pipeline.config import Metadata, PipelineConfig, SqlServer
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import Execution, Run, State, StoredArtifact, artifacts_by_id
from bitext.pipeline.reports import status
from bitext.pipeline.runner import Runner
from bitext.pipeline.store import Store, locks
from bitext.pipeline.store.orphans import SCHEMA_VERSION
from bitext.pipeline.terminal import Terminal
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls
from tests.pipeline.store_contract import altered_outputs, check_round_trip
from tests.pipeline.test_rollback import push_versions

VARIABLE, PASSWORD = "BITEXT_TEST_PASSWORD", "correct horse"


def binary(name: str) -> str | None:
    """Returns the path of a server's program: on the PATH, or where Debian installs it."""
    folders = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/sbin"]))


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def as_user(name: str, folder: Path) -> dict[str, Any]:
    """Returns `subprocess` arguments to run as a user who owns the folder: database servers refuse root."""
    options: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            pytest.skip(f"there is no user {name} to run the server as")
        os.chown(folder, user.pw_uid, user.pw_gid)
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return options


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
      settings: the metadata store on it.
      stop: stops it.
      start: starts it again.
    """

    settings: Metadata
    stop: Callable[[], object]
    start: Callable[[], object]


@contextmanager
def postgresql(folder: Path) -> Iterator[Server]:
    """A PostgreSQL server on the loopback interface, without a password."""
    initdb, port = binary("initdb"), free_port()
    if initdb is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    run = functools.partial(subprocess.run, check=True, **as_user("postgres", folder))
    data, pg_ctl = str(folder / "data"), str(Path(initdb).with_name("pg_ctl"))
    run([initdb, "-D", data, "-U", "me", "-A", "trust", "-E", "UTF8"])
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    start = functools.partial(
        run, [pg_ctl, "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start"]
    )
    stop = functools.partial(run, [pg_ctl, "-D", data, "-w", "-m", "immediate", "stop"])
    start()
    try:
        settings = Metadata(postgresql=SqlServer(host="127.0.0.1", port=port, database="mlmd", user="me"))
        yield Server(settings, stop, start)
    finally:
        stop()


@contextmanager
def mysql(folder: Path) -> Iterator[Server]:
    """A server that speaks MySQL's protocol, MariaDB, on the loopback interface, with a password."""
    install, server, admin = binary("mariadb-install-db"), binary("mariadbd"), binary("mariadb-admin")
    if install is None or server is None or admin is None:
        pytest.skip("MariaDB's server is not installed (Debian: apt-get install mariadb-server)")
    run_as, port = as_user("mysql", folder), free_port()
    data, socket_file, users = (
        f"--datadir={folder / 'data'}",
        f"--socket={folder / 'socket'}",
        folder / "users.sql",
    )
    users.write_text(
        f"CREATE USER me IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO me;\n", encoding="utf-8"
    )
    root_login = "--auth-root-authentication-method=normal"
    subprocess.run([install, "--no-defaults", data, "--skip-test-db", root_login], check=True, **run_as)
    files = [data, socket_file, f"--pid-file={folder / 'pid'}", f"--log-error={folder / 'log'}"]
    network = [f"--port={port}", "--bind-address=127.0.0.1", f"--init-file={users}"]
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [server, "--no-defaults", *files, *network]
        processes.append(subprocess.Popen(command, **run_as))
        ping = [admin, "--no-defaults", socket_file, "--user=root", "--wait=60", "ping"]
        subprocess.run(ping, check=True, **run_as)

    def stop() -> None:
        processes[-1].terminate()
        assert processes[-1].wait() == 0

    start()
    try:
        address = SqlServer(host="127.0.0.1", port=port, database="mlmd", user="me", password_env=VARIABLE)
        yield Server(Metadata(mysql=address), stop, start)
    finally:
        stop()


@pytest.fixture(scope="module", params=[postgresql, mysql], ids=lambda kind: kind.__name__)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server for these tests, removed afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="bitext-") as name,
        pytest.MonkeyPatch.context() as environment,
        request.param(Path(name)) as running,
    ):
        environment.setenv(VARIABLE, PASSWORD)
        yield running


@pytest.fixture
def settings(server: Server) -> Metadata:
    """The metadata store on the server."""
    return server.settings


def test_records_are_read_as_they_were_written(settings: Metadata, tmp_path: Path) -> None:
    check_round_trip(settings, tmp_path)


@pytest.mark.parametrize(
    "text", ['{"ü": "\\u00fc"}', "back\\slash", "\\" * 1500, "\x1a1\x1a", "a'b\"c", "ü" * 3000]
)
def test_any_text_is_stored(text: str, settings: Metadata, tmp_path: Path) -> None:
    store = Store(settings, tmp_path, "texts")
    record = Run(f"run {len(text)} {hash(text)}", "texts", "/", State.RUNNING, 1.0)
    store.put_run(record)
    execution = Execution("Train", record.run_id, State.RUNNING, 1.0, cache_key_parts=text, error=text)
    store.put_execution(execution, record)
    output = StoredArtifact("Model", f"/{text[:100]}", "0", {"name": text})
    execution.outputs = {"model": (output,)}
    execution.state = State.COMPLETE
    store.put_execution(execution, record)
    [found] = [e for e in Store(settings, tmp_path, "texts").executions() if e.run_id == record.run_id]
    assert (found.cache_key_parts, found.error) == (text, text)
    [artifact] = found.outputs["model"]
    assert (artifact.uri, artifact.properties["name"]) == (output.uri, text)


def run(settings: Metadata, folder: Path, name: str, steps: int = 1) -> list[str]:
    """Runs the fake pipeline and returns the nodes that ran."""
    (folder / "rows.txt").write_text("a\tb\n", encoding="utf-8")
    Calls.nodes.clear()
    open_store = functools.partial(Store, settings, folder / "root", name)
    pipeline = dataclasses.replace(fakes.pipeline(folder, steps=steps), name=name)
    Runner(pipeline, Layout(folder / "root"), open_store, fakes.no_beam, Terminal()).run()
    return list(Calls.nodes)


def test_a_pipeline_runs_and_is_cached(settings: Metadata, tmp_path: Path) -> None:
    assert run(settings, tmp_path, "cached") == list(fakes.NODES)
    assert run(settings, tmp_path, "cached") == []
    assert run(settings, tmp_path, "cached", steps=2) == ["Train", "Evaluate", "Push"]
    assert not (tmp_path / "root" / "metadata.sqlite").exists()


def test_runs_are_in_the_order_in_which_they_were_recorded(
    settings: Metadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_time = time.time
    for steps, offset in enumerate((0.0, 86_400.0, -86_400.0, 0.0), 1):
        monkeypatch.setattr(time, "time", lambda offset=offset: true_time() + offset)
        run(settings, tmp_path, "ordered", steps)
    store = Store(settings, tmp_path / "root", "ordered")
    trained = {execution.run_id for execution in store.executions() if execution.node == "Train"}
    runs = store.runs()
    assert {recorded.run_id for recorded in runs} == trained
    days = [round((recorded.started - true_time()) / 86_400) for recorded in runs]
    assert days == [0, -1, 1, 0]
    assert all(0 < recorded.seconds < 3600 for recorded in runs)


class TestRestart:
    def test_a_server_that_is_restarted_during_a_run(self, server: Server, tmp_path: Path) -> None:
        def restart(context: object) -> None:
            server.stop()
            server.start()

        Calls.hooks.update(Train=restart, Evaluate=restart)
        assert run(server.settings, tmp_path, "restarted") == list(fakes.NODES)
        Calls.hooks.clear()
        assert run(server.settings, tmp_path, "restarted") == []
        executions = Store(server.settings, tmp_path / "root", "restarted").executions()
        assert Counter(execution.node for execution in executions) == dict.fromkeys(fakes.NODES, 2)

    def test_a_server_that_starts_late_is_waited_for(self, server: Server, tmp_path: Path) -> None:
        lines: list[str] = []
        store = Store(server.settings, tmp_path, "late", lines.append)
        server.stop()
        starting = threading.Timer(1.0, server.start)
        starting.start()
        store.put_run(Run("late", "late", "/", State.COMPLETE, 1.0))
        starting.join()
        assert [recorded.run_id for recorded in store.runs()] == ["late"]
        [line] = lines
        assert line.startswith("waiting up to 60 s for the metadata store ")

    def test_a_server_that_stays_stopped_ends_the_run(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locks, "MAX_WAIT_SECONDS", 1.0)
        Calls.hooks["Train"] = lambda context: server.stop() and None
        begun = time.monotonic()
        try:
            with pytest.raises(EnvironmentFault, match="accepts no connections; waited 1 s"):
                run(server.settings, tmp_path, "stopped")
            assert time.monotonic() - begun < 30
        finally:
            server.start()
        Calls.hooks.clear()
        assert run(server.settings, tmp_path, "stopped") == list(fakes.NODES[1:])
        states = Counter(recorded.state for recorded in Store(server.settings, tmp_path, "stopped").runs())
        assert states == {State.COMPLETE: 1, State.CANCELED: 1}


def config_of(settings: Metadata, folder: Path, name: str) -> PipelineConfig:
    """Returns a configuration of the fake pipeline with its history on the server."""
    return PipelineConfig(
        name=name,
        root=str(folder / "root"),
        serving=str(folder / "serving" / name),
        metadata=settings,
        example_gen=ExampleGenParameters(files=("a.tsv",)),
    )


def test_gc_keeps_the_cache_and_completes_one_that_was_killed(settings: Metadata, tmp_path: Path) -> None:
    config = config_of(settings, tmp_path, "collected")
    for steps in (1, 2, 3):
        run(settings, tmp_path, "collected", steps)
    store = Store(settings, tmp_path / "root", "collected")

    def collect() -> None:
        housekeeping.collect(config, keep=1, say=len)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "mark_deleted", interrupt)
        with pytest.raises(KeyboardInterrupt):
            collect()
    assert [a for a in artifacts_by_id(store.executions()).values() if not a.exists and not a.deleted]
    collect()
    assert not [a for a in artifacts_by_id(store.executions()).values() if not a.exists and not a.deleted]
    assert run(settings, tmp_path, "collected", 3) == []


def interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_rollback_that_was_interrupted_is_completed_once(settings: Metadata, tmp_path: Path) -> None:
    config = config_of(settings, tmp_path, "rolled")
    push_versions(config, tmp_path, (1, 2, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "record_rollback", interrupt)
        patch.setattr(rollback, "record_rollback", interrupt)
        with pytest.raises(KeyboardInterrupt):
            rollback.roll_back(config, "wrong", say=len)
    assert newest_version(Path(config.serving)).path.name == "4"
    assert status.collect(config)["runs"][0]["state"] == State.COMPLETE
    record, is_new = rollback.roll_back(config, "wrong", say=len)
    assert (record.version, record.rolled_back_to, is_new) == (4, 2, False)
    assert status.collect(config)["pushed"]["version"] == 4


def test_another_schema_version_is_a_data_error(server: Server, tmp_path: Path) -> None:
    postgres = server.settings.postgresql
    if postgres is None:
        pytest.skip("the version is changed with PostgreSQL's client")
    psql, database = binary("psql"), msgspec.structs.replace(postgres, database="other")
    settings = Metadata(postgresql=database)
    Store(settings, tmp_path, "toy")
    for version in (SCHEMA_VERSION - 1, SCHEMA_VERSION + 1):
        statement = f"UPDATE MLMDEnv SET schema_version = {version}"
        address = ["-h", "127.0.0.1", "-p", str(postgres.port), "-U", "me", "-c", statement, "other"]
        subprocess.run([str(psql), *address], check=True, stdout=subprocess.DEVNULL)
        with pytest.raises(DataError, match=f"/other has schema version {version} of ML Metadata"):
            Store(settings, tmp_path, "toy")


HOST = """
import dataclasses, functools, sys
from pathlib import Path
import msgspec
from bitext.pipeline.config import Metadata
from bitext.pipeline.layout import Layout
from bitext.pipeline.runner import Runner
from bitext.pipeline.store import Store, locks
from bitext.pipeline.store.orphans import SCHEMA_VERSION
from bitext.pipeline.terminal import Terminal
from tests.pipeline import fakes
settings, folder = msgspec.json.decode(sys.argv[1], type=Metadata), Path(sys.argv[2])
if sys.argv[3] == "killed":
    import os
    fakes.Calls.hooks["Train"] = lambda context: os._exit(9)
for steps in range(1, 6):
    open_store = functools.partial(Store, settings, folder / "root", sys.argv[4])
    pipeline = dataclasses.replace(fakes.pipeline(folder, steps=steps), name=sys.argv[4])
    Runner(pipeline, Layout(folder / "root"), open_store, None, Terminal()).run()
"""


def start_host(settings: Metadata, folder: Path, end: str, name: str) -> subprocess.Popen[bytes]:
    """Starts a process that simulates another machine: it runs the pipeline `name` in `folder`.

    Args:
      settings: the metadata store that all machines share.
      folder: the working directory of this machine.
      end: `complete` for five complete runs; `killed` for one run that is killed in Train.
      name: the name of the pipeline.
    """
    folder.mkdir(exist_ok=True)
    (folder / "rows.txt").write_text(f"{folder.name}\tb\n", encoding="utf-8")
    encoded = msgspec.json.encode(settings).decode()
    return subprocess.Popen(
        [sys.executable, "-c", HOST, encoded, str(folder), end, name], stdout=subprocess.DEVNULL
    )


def test_two_hosts_share_one_history(settings: Metadata, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    processes = [start_host(settings, folder, "complete", "shared") for folder in folders]
    assert [process.wait() for process in processes] == [0, 0]
    store = Store(settings, tmp_path, "shared")
    assert Counter(run.state for run in store.runs()) == {State.COMPLETE: 10}
    assert len({run.root_id for run in store.runs()}) == 2
    runs = {run.run_id: run.root for run in store.runs()}
    executions = store.executions()
    assert Counter(runs[e.run_id] for e in executions if e.node == "Train") == {
        str(folder / "root"): 5 for folder in folders
    }
    assert list(altered_outputs(executions)) == []
    for execution in executions:
        for artifact in execution.all_outputs() if execution.state == State.COMPLETE else ():
            assert artifact.uri.startswith(runs[execution.run_id])


def test_a_host_clears_only_its_own_killed_runs(settings: Metadata, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    assert start_host(settings, one, "killed", "kills").wait() == 9
    store = Store(settings, tmp_path, "kills")
    killed = store.runs()[0]
    assert start_host(settings, other, "complete", "kills").wait() == 0
    states = {run.run_id: run.state for run in store.runs()}
    assert states[killed.run_id] == State.RUNNING
    assert start_host(settings, one, "complete", "kills").wait() == 0
    states = {run.run_id: run.state for run in store.runs()}
    assert states[killed.run_id] == State.CANCELED


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_an_unreachable_server_is_named(kind: str, tmp_path: Path) -> None:
    unreachable = SqlServer(host="127.0.0.1", port=free_port(), database="mlmd", user="me")
    with pytest.raises(EnvironmentFault, match=f"{kind}://me@127.0.0.1") as caught:
        Store(Metadata(**{kind: unreachable}), tmp_path, "toy")
    assert "check that it is reachable" in caught.value.remedy
