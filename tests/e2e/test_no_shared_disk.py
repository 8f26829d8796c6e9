"""The pipeline on an engine whose workers see no file of the caller: an S3 server, PostgreSQL, worker pools.

The engine is Beam's Python job service. Its SDK workers run in a mount namespace of their own, in which the
folder of the caller and all temporary folders are empty disks: another host, as far as files are concerned.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import toy
from tests.object_store import bucket, s3_address
from tests.pipeline.test_sql_servers import postgresql

__all__ = ["bucket", "s3_address"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
EVENT_SECONDS = 120.0
"""The longest wait for a process to start."""
DATA_NODES = ("ExampleGen", "StatisticsGen", "Transform")
"""The nodes whose workers write artifacts."""


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until a process listens at a port."""
    deadline = time.monotonic() + EVENT_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, process.returncode
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens at port {port}")


@dataclasses.dataclass(frozen=True)
class Engine:
    """A running engine.

    Attributes:
      section: the section `beam` of a configuration.
      pool: the process whose children are the workers.
    """

    section: dict[str, Any]
    pool: int


@pytest.fixture
def engine(tmp_path: Path, bucket: str) -> Iterator[Engine]:
    """Starts a job service, and a worker pool on another disk."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("only root can give the workers a disk of their own (unshare -m)")
    python = Path(sys.executable)
    env = os.environ | {"PYTHONPATH": str(toy.REPOSITORY), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    job_port, pool_port = free_port(), free_port()
    beam = "-m apache_beam.runners"
    job_service = f"exec python -P {beam}.portability.local_job_service_main --port {job_port}"
    hidden = " && ".join(f"mount -t tmpfs tmpfs {folder}" for folder in (tmp_path, "/tmp", "/var/tmp"))
    pool = f"{hidden} && exec python -P {beam}.worker.worker_pool_main --service_port {pool_port}"
    with contextlib.ExitStack() as stack:
        for command, port in (
            (["sh", "-c", job_service], job_port),
            ([unshare, "-m", "sh", "-c", pool], pool_port),
        ):
            log = stack.enter_context((tmp_path / f"{port}.log").open("wb"))
            process = subprocess.Popen(
                command, cwd="/", env=env, stdout=log, stderr=log, start_new_session=True
            )
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
            wait_until_open(port, process)
        section = {
            "runner": "PortableRunner",
            "options": [
                f"--job_endpoint=localhost:{job_port}",
                "--environment_type=EXTERNAL",
                f"--environment_config=localhost:{pool_port}",
            ],
        }
        yield Engine(section, process.pid)


@pytest.fixture
def project(tmp_path: Path, bucket: str, engine: Engine) -> Iterator[Path]:
    """A folder with a configuration whose corpus, root, models and records are all elsewhere."""
    from bitext.components.shared import storage

    rows = "".join(f"{source}\t{target}\n" for source, target in toy.sentences()) + "only one side\n"
    storage.path(f"{bucket}/data/toy.tsv").write_bytes(rows.encode())
    with (
        tempfile.TemporaryDirectory(prefix="bitext-") as name,  # the server's user can enter it
        postgresql(Path(name)) as server,
    ):
        database = server.settings.postgresql
        folder = tmp_path / "project"
        folder.mkdir()
        values = toy.config(
            root=f"{bucket}/root",
            serving=f"{bucket}/serving/toy",
            beam=engine.section,
            metadata={
                "postgresql": {
                    "host": database.host,
                    "port": database.port,
                    "database": database.database,
                    "user": database.user,
                }
            },
        )
        values["example_gen"]["files"] = [f"{bucket}/data/*.tsv"]
        toy.write_config(folder, values)
        yield folder


def tags(bucket: str) -> dict[str, str]:
    """Returns the checksum of each file that workers write, by its path without the execution id.

    Raises:
      AssertionError: two executions of a node have written different files.
    """
    from bitext.components.shared import storage

    root = storage.path(f"{bucket}/root")
    found: dict[str, str] = {}
    for node in DATA_NODES:
        for file in storage.files_below(root / node):
            name = "/".join(part for i, part in enumerate(file.relative_to(root).parts) if i != 2)
            tag = storage.fingerprint(str(file))
            assert found.setdefault(name, tag) == tag, name
    return found


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Starts `bitext` in a folder."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "bitext", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(toy.REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def bitext(folder: Path, *arguments: str) -> toy.Result:
    """Runs `bitext` in a folder and waits for its end."""
    process = start(folder, *arguments)
    out, error = process.communicate(timeout=1500)
    return toy.Result(process.returncode, out, error, 0.0)


def test_a_whole_run_and_the_bytes_of_one_in_process(project: Path, bucket: str) -> None:
    on_engine = bitext(project, "run", "toy.yaml")
    assert on_engine.code == 0, on_engine.err
    assert "Beam job: DONE after" in on_engine.out
    first = tags(bucket)
    assert len(first) > 20
    in_process = bitext(
        project,
        *("run", "toy.yaml", "--set", "beam.runner=DirectRunner", "--set", "beam.options=[]"),
        *(word for node in DATA_NODES for word in ("--force", node)),
    )
    assert in_process.code == 0, in_process.err
    assert in_process.ran() == list(DATA_NODES)  # the nodes after them are cached: equal inputs
    assert tags(bucket) == first
    (project / "input.txt").write_text("The cat sees some bread.\n", encoding="utf-8")
    text = bitext(project, "translate", "--model", f"{bucket}/serving/toy", "input.txt")
    assert (text.code, len(text.out.splitlines())) == (0, 1), text.err


def test_callers_and_workers_are_killed_at_random(project: Path, bucket: str, engine: Engine) -> None:
    """After each kill, the next run completes, and every file has the bytes of an unbroken run."""
    assert bitext(project, "run", "toy.yaml", "--to", "Transform").code == 0
    expected = tags(bucket)
    choices = random.Random(31)
    force = [word for node in DATA_NODES for word in ("--force", node)]
    for kind in ("caller", "worker", "caller", "worker", "caller"):
        process = start(project, "run", "toy.yaml", "--to", "Transform", *force)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(choices.uniform(5.0, 45.0))
        if kind == "caller":
            process.kill()
            process.communicate()
        else:
            subprocess.run(["pkill", "-KILL", "-P", str(engine.pool)], check=False)
            _, error = process.communicate(timeout=600)
            assert process.returncode in (0, 6), error
        result = bitext(project, "run", "toy.yaml", "--to", "Transform")
        assert result.code == 0, result.err
        assert tags(bucket) == expected, kind
    verified = bitext(project, "verify", "toy.yaml")
    assert verified.code == 0, verified.out
