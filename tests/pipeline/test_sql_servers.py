"""The metadata store on real PostgreSQL and MySQL servers."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitext.components.shared.errors import EnvironmentFault
from bitext.pipeline.config import Metadata, SqlServer
from bitext.pipeline.records import State
from bitext.pipeline.runner import Runner
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls
from tests.pipeline.store_contract import altered_outputs, check_round_trip

pytestmark = pytest.mark.slow

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


@contextmanager
def postgresql(folder: Path) -> Iterator[Metadata]:
    """A PostgreSQL server on the loopback interface, without a password."""
    initdb, port = binary("initdb"), free_port()
    if initdb is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    run = functools.partial(subprocess.run, check=True, **as_user("postgres", folder))
    data, pg_ctl = str(folder / "data"), str(Path(initdb).with_name("pg_ctl"))
    run([initdb, "-D", data, "-U", "me", "-A", "trust", "-E", "UTF8"])
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    run([pg_ctl, "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start"])
    try:
        yield Metadata(postgresql=SqlServer(host="127.0.0.1", port=port, database="mlmd", user="me"))
    finally:
        run([pg_ctl, "-D", data, "-m", "immediate", "stop"])


@contextmanager
def mysql(folder: Path) -> Iterator[Metadata]:
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
    with subprocess.Popen([server, "--no-defaults", *files, *network], **run_as) as running:
        try:
            ping = [admin, "--no-defaults", socket_file, "--user=root", "--wait=60", "ping"]
            subprocess.run(ping, check=True, **run_as)
            yield Metadata(
                mysql=SqlServer(
                    host="127.0.0.1", port=port, database="mlmd", user="me", password_env=VARIABLE
                )
            )
        finally:
            running.terminate()
    assert running.returncode == 0


@pytest.fixture(scope="module", params=[postgresql, mysql], ids=lambda kind: kind.__name__)
def settings(request: pytest.FixtureRequest) -> Iterator[Metadata]:
    """A server for these tests, removed afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="bitext-") as name,
        pytest.MonkeyPatch.context() as environment,
        request.param(Path(name)) as server,
    ):
        environment.setenv(VARIABLE, PASSWORD)
        yield server


def test_records_are_read_as_they_were_written(settings: Metadata, tmp_path: Path) -> None:
    check_round_trip(settings, tmp_path)


def test_a_pipeline_runs_and_is_cached(settings: Metadata, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("a\tb\n", encoding="utf-8")

    def run(steps: int) -> list[str]:
        Calls.nodes.clear()
        open_store = functools.partial(Store, settings, tmp_path / "root", "cached")
        Runner(
            fakes.pipeline(tmp_path, steps=steps), tmp_path / "root", open_store, fakes.no_beam, Terminal()
        ).run()
        return list(Calls.nodes)

    assert run(steps=1) == list(fakes.NODES)
    assert run(steps=1) == []
    assert run(steps=2) == ["Train", "Evaluate", "Push"]
    assert not (tmp_path / "root" / "metadata.sqlite").exists()


HOST = """
import dataclasses, functools, sys
from pathlib import Path
import msgspec
from bitext.pipeline.config import Metadata
from bitext.pipeline.runner import Runner
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal
from tests.pipeline import fakes
settings, folder = msgspec.json.decode(sys.argv[1], type=Metadata), Path(sys.argv[2])
if sys.argv[3] == "killed":
    import os
    fakes.Calls.hooks["Train"] = lambda context: os._exit(9)
for steps in range(1, 6):
    open_store = functools.partial(Store, settings, folder / "root", sys.argv[4])
    pipeline = dataclasses.replace(fakes.pipeline(folder, steps=steps), name=sys.argv[4])
    Runner(pipeline, folder / "root", open_store, None, Terminal()).run()
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
