"""ExampleGen and StatisticsGen on an engine whose workers share no disk with the caller."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability import local_job_service

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.example_gen import dividing
from bitext.components.example_gen.formats import base, parts
from bitext.components.shared import storage
from bitext.components.shared.errors import DataError
from bitext.components.statistics_gen import Parameters, executor
from bitext.pipeline.beam import pipeline_factory
from tests.components.beam_engine import CHECKOUT, engine, runner_with
from tests.components.example_gen_runs import Result
from tests.object_store import bucket, s3_address

__all__ = ["bucket", "s3_address"]
pytestmark = pytest.mark.slow
CORPUS = (
    "".join(f"sentence {n} is number {n % 170} ?\tfrase {n} es {n % 170} ?\n" for n in range(600))
    + "no target\n\t\nsame\tsame\n" * 5
)
OPTIONS = {"shards": 3, "max_reject_share": 1.0, "cleaning": {"level": "basic", "max_reject_share": 1.0}}


def statistics_of(
    run: Result, folder: Path, beam_pipeline: Callable[[], beam.Pipeline], temp: Path
) -> artifacts.ExampleStatistics:
    statistics = artifacts.ExampleStatistics(folder)
    temp.mkdir(parents=True)
    context = Context(temp, temp, beam_pipeline, say=run.lines.append)
    executor.run(Parameters(), context, examples=run.examples, statistics=statistics)
    return statistics


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder, by their names in it."""
    files = storage.files_below(folder)
    return {str(file).removeprefix(f"{folder}/"): file.read_bytes() for file in files}


def in_process() -> beam.Pipeline:
    return pipeline_factory()()


@contextlib.contextmanager
def other_host(folder: Path) -> Iterator[Callable[[], beam.Pipeline]]:
    """Context manager: an engine whose workers have a disk of their own, an empty tmpfs with the software."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    root = folder / "host"
    root.mkdir(parents=True)
    software = {Path(sys.base_prefix), Path(sys.prefix).resolve(), CHECKOUT.resolve(), Path(sys.prefix)}
    software |= {Path(f"/{name}") for name in ("usr", "lib", "lib64", "bin", "etc", "proc", "dev")}
    mounts = []
    for path in sorted(software):
        if path.is_dir() and not any(other in path.parents for other in software):
            inside = shlex.quote(f"{root}{path}")
            mounts.append(f"mkdir -p {inside}; mount --rbind {shlex.quote(str(path))} {inside}")
    pool = f"{sys.executable} -m apache_beam.runners.worker.worker_pool_main --service_port={port}"
    script = "; ".join(
        ["set -e", f"mount -t tmpfs tmpfs {root}", *mounts, f"mkdir {root}/tmp", f"exec chroot {root} {pool}"]
    )
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(CHECKOUT),
        "TMPDIR": "/tmp",
    }
    command = ["unshare", "--mount", "sh", "-c", script]
    with (folder / "pool.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    patch = pytest.MonkeyPatch()
    patch.setattr(local_job_service, "fn_runner", runner_with(2))
    servicer = local_job_service.LocalJobServicer(str(folder))
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        assert process.poll() is None, (folder / "pool.log").read_text()
        yield pipeline_factory(
            "PortableRunner",
            [
                f"--job_endpoint=localhost:{servicer.start_grpc_server(0)}",
                "--environment_type=EXTERNAL",
                f"--environment_config=localhost:{port}",
            ],
        )
    finally:
        servicer.stop()
        patch.undo()
        process.terminate()
        process.wait()


def test_the_bytes_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    (tmp_path / "corpus.tsv").write_text(CORPUS)
    files = [str(tmp_path / "corpus.tsv")]
    local = Result(tmp_path / "local", files=files, **OPTIONS)
    statistics = statistics_of(local, tmp_path / "local" / "statistics", in_process, tmp_path / "temp")
    for workers in (1, 2):
        folder = tmp_path / f"{workers}"
        with engine(tmp_path / f"engine{workers}", workers) as create_pipeline:
            run = Result(folder, files=files, beam_pipeline=create_pipeline, **OPTIONS)
            other = statistics_of(run, folder / "statistics", create_pipeline, folder / "own")
        assert contents(run.examples.path) == contents(local.examples.path)
        assert contents(run.rejects_artifact.path) == contents(local.rejects_artifact.path)
        assert contents(other.path) == contents(statistics.path)
        assert run.lines == local.lines
        assert not any((folder / "temp").iterdir())


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
def test_workers_with_a_disk_of_their_own(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs and outputs are in an object store. The large file is divided."""
    storage.path(f"{bucket}/corpus.tsv").write_text(CORPUS)
    files = [f"{bucket}/corpus.tsv"]
    local = Result(tmp_path / "local", files=files, **OPTIONS)
    statistics = statistics_of(local, tmp_path / "local" / "statistics", in_process, tmp_path / "temp")
    monkeypatch.setattr(parts, "LARGE_BYTES", 1000)
    assert [len(dividing.searches(f)) for f in _source_files(files)] == [1]
    root = storage.path(f"{bucket}/run")
    with other_host(tmp_path / "engine") as create_pipeline:
        run = Result(tmp_path / "remote", files=files, outputs=root, beam_pipeline=create_pipeline, **OPTIONS)
        other = statistics_of(run, root / "statistics", create_pipeline, tmp_path / "own")
        assert contents(run.examples.path) == contents(local.examples.path)
        assert contents(run.rejects_artifact.path) == contents(local.rejects_artifact.path)
        assert contents(other.path) == contents(statistics.path)
        assert run.lines == local.lines
        storage.path(f"{bucket}/corpus.tsv").write_bytes(CORPUS.encode() + b"\xe9\xe8\t\xe0\n" * 9999)
        with pytest.raises(DataError, match="is not UTF-8 text") as caught:
            Result(
                tmp_path / "bad", files=files, outputs=root / "bad", beam_pipeline=create_pipeline, **OPTIONS
            )
        assert "convert it" in caught.value.remedy or "encoding" in caught.value.remedy


def _source_files(files: list[str]) -> list[base.SourceFile]:
    return [base.SourceFile(0, "corpus.tsv", path, None, None, (0, 1)) for path in files]
