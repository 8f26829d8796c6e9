"""The metadata store on a real PostgreSQL server: the same code, the same memory."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.errors import EnvironmentFault
from pipeline import metadata
from pipeline.config import Metadata, SqlServer
from pipeline.metadata import Execution, Run, Store, StoredArtifact
from pipeline.runner import Runner
from pipeline.terminal import Terminal
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls

pytestmark = pytest.mark.slow


def binary(name: str) -> str | None:
    """A PostgreSQL program, where the PATH or Debian has it."""
    places = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return shutil.which(name, path=os.pathsep.join([*places, os.environ.get("PATH", "")]))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[SqlServer]:
    """A server of its own on the loopback interface, thrown away afterwards."""
    initdb, postgres = binary("initdb"), binary("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    run = subprocess.run
    with tempfile.TemporaryDirectory(prefix="bitext-pg-") as name:
        folder = Path(name)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("there is no user postgres to run the server as")
            os.chown(folder, user.pw_uid, user.pw_gid)
            run = functools.partial(run, user=user.pw_uid, group=user.pw_gid, extra_groups=[])
        data, port = folder / "data", free_port()
        run(
            [initdb, "-D", str(data), "-U", "me", "-A", "trust", "-E", "UTF8"],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        pg_ctl = str(Path(initdb).with_name("pg_ctl"))
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        start = [pg_ctl, "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start"]
        run(start, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield SqlServer(host="127.0.0.1", port=port, database="mlmd", user="me")
        finally:
            run(
                [pg_ctl, "-D", str(data), "-m", "immediate", "stop"],
                check=True,
                capture_output=True,
                cwd=folder,
            )


def test_what_is_put_comes_back(server: SqlServer, tmp_path: Path) -> None:
    settings = Metadata(postgresql=server)
    store = Store(settings, tmp_path, "toy")
    run = Run("r1", "toy", str(tmp_path), metadata.RUNNING, 1.5)
    store.put_run(run)
    source = StoredArtifact("Examples", "/a", "d1", {"rows": 3, "share": 0.5, "name": "їжак"})
    first = Execution("Source", "r1", metadata.COMPLETE, 2.0, 3.0, "k", "{}", outputs={"examples": source})
    store.put_execution(first, run)
    second = Execution("Train", "r1", metadata.RUNNING, 3.0, inputs={"examples": source})
    store.put_execution(second, run)
    second.state, second.error, second.finished = metadata.FAILED, "oh", 5.0
    second.traceback = "Trace\n" * 20_000
    store.put_execution(second, run)
    again = Store(settings, tmp_path, "toy")
    assert again.executions() == [second, first]
    assert again.runs() == [run]
    assert again.execution_states([first.id or 0, 99], run.root) == {("Source", first.id): metadata.COMPLETE}
    assert again.execution_states([first.id or 0, 99], "/another") == {}
    assert [again.is_complete(execution) for execution in (first, second)] == [True, False]
    other = Store(settings, tmp_path, "other")
    assert (other.runs(), other.executions()) == ([], [])


def test_a_pipeline_runs_and_is_cached(server: SqlServer, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("a\tb\n", encoding="utf-8")

    def no_beam() -> None:
        raise AssertionError("the fakes use no Beam")

    def run(steps: int) -> list[str]:
        Calls.nodes.clear()
        open_store = functools.partial(Store, Metadata(postgresql=server), tmp_path / "root", "cached")
        Runner(
            fakes.pipeline(tmp_path, steps=steps), tmp_path / "root", open_store, no_beam, Terminal()
        ).run()
        return list(Calls.nodes)

    assert run(steps=1) == list(fakes.NODES)
    assert run(steps=1) == []
    assert run(steps=2) == ["Train", "Evaluate", "Push"]
    assert not (tmp_path / "root" / "metadata.sqlite").exists()


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = Metadata(postgresql=SqlServer(host="127.0.0.1", port=free_port(), database="mlmd", user="me"))
    with pytest.raises(EnvironmentFault, match="postgresql://me@127.0.0.1") as caught:
        Store(settings, tmp_path, "toy")
    assert "Check that it is reachable" in caught.value.remedy
