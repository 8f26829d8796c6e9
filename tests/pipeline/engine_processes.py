"""Starts Beam's Python job service and SDK worker pools as processes, on the loopback interface."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 120.0
NO_DOWNLOADS = {
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "no_proxy": "localhost,127.0.0.1",
}
"""Variables with which every download fails: nothing listens there."""


def free_port() -> int:
    """Returns a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def process(command: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Context manager: a process group that is killed at the end."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def wait_for_port(port: int, started: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until a process accepts connections."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end and started.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"no process listens on port {port}: {log.read_text(errors='replace')}")


@contextlib.contextmanager
def job_service(folder: Path) -> Iterator[str]:
    """Context manager: yields the address of a job service."""
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "job_service.log"
    module = "apache_beam.runners.portability.local_job_service_main"
    command = [sys.executable, "-P", "-m", module, "--port", str(port), "--staging_dir", str(folder / "s")]
    with process(command, log, env={**os.environ, **NO_DOWNLOADS}) as started:
        wait_for_port(port, started, log)
        yield f"localhost:{port}"
    assert "prism" not in log.read_text(errors="replace").lower()


@contextlib.contextmanager
def worker_pool(folder: Path, python: Path = Path(sys.executable), **environment: str) -> Iterator[str]:
    """Context manager: yields the address of a pool of SDK workers, started with the `python` of the PATH.

    Args:
      folder: where its log is; its working directory is an empty folder below.
      python: the interpreter, whose folder is first on the PATH.
      environment: more variables; PATH replaces the folder of the interpreter.
    """
    empty = folder / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "pool.log"
    programs = f"{python.parent}:/usr/bin:/bin"
    variables = {"PATH": programs, "HOME": str(empty), **NO_DOWNLOADS, **environment}
    module = "apache_beam.runners.worker.worker_pool_main"
    command = [str(python), "-m", module, "--service_port", str(port)]
    with process(command, log, cwd=empty, env=variables) as started:
        wait_for_port(port, started, log)
        yield f"localhost:{port}"


@contextlib.contextmanager
def pool_without_workers(folder: Path) -> Iterator[str]:
    """Context manager: yields the address of a pool whose workers end at once: its jobs stay RUNNING."""
    programs = folder / "programs"
    programs.mkdir(parents=True, exist_ok=True)
    (programs / "python").write_text("#!/bin/sh\necho no python >&2\nexit 1\n")
    (programs / "python").chmod(0o755)
    with worker_pool(folder, PATH=f"{programs}:/usr/bin:/bin") as address:
        yield address


def options(service: str, pool: str) -> list[str]:
    """Returns the Beam options of a job service and a pool."""
    return [f"--job_endpoint={service}", "--environment_type=EXTERNAL", f"--environment_config={pool}"]


def states(service: str) -> dict[str, str]:
    """Returns the state of each job of a job service by its name."""
    from bitext.pipeline.beam import job_service as api

    stub = api.connect(service)
    from apache_beam.portability.api import beam_job_api_pb2

    jobs = stub.GetJobs(beam_job_api_pb2.GetJobsRequest(), timeout=10).job_info
    return {job.job_name: api.state_name(job.state) for job in jobs}
