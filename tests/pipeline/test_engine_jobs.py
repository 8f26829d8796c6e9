"""Jobs on Beam's Python job service, in a process of its own, with pools of SDK workers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bitext.components.shared.errors import BitextError, DataError, EnvironmentFault, MissingFileError, Notes
from bitext.pipeline.beam import JobRecords, Watch, pipeline_factory
from tests.e2e import toy
from tests.pipeline import engine_processes
from tests.pipeline.engine_processes import ROOT, states

LOOPBACK = "--environment_type=LOOPBACK"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with engine_processes.job_service(tmp_path_factory.mktemp("service")) as address:
        yield address


@pytest.fixture(scope="module")
def no_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with engine_processes.pool_without_workers(tmp_path_factory.mktemp("no_workers")) as address:
        yield address


def damaged(_: int) -> None:
    raise DataError('line 3 of the file\nis damaged: "ñ"', "mend line 3: café")


def missing(_: int) -> None:
    raise MissingFileError("no file matches s3://bucket/*", "name another", "s3://bucket/*")


def chained(value: int) -> None:
    try:
        damaged(value)
    except DataError as error:
        raise EnvironmentFault("the disk is full", "free space") from error


def divided(value: int) -> float:
    return value / 0


def full(_: int) -> None:
    raise OSError(28, "No space left on device", "/data/part")


def run(function: Callable[[int], Any], options: list[str], watch: Watch | None = None) -> None:
    """Runs a pipeline of several bundles on the engine."""
    import apache_beam as beam

    pipeline = pipeline_factory("PortableRunner", options, watch or Watch())()
    _ = pipeline | beam.Create(range(4)) | beam.Reshuffle() | beam.Map(function)
    pipeline.run().wait_until_finish()


class TestErrorsOfWorkers:
    @pytest.mark.parametrize(
        ("function", "expected"),
        [
            (damaged, DataError('line 3 of the file\nis damaged: "ñ"', "mend line 3: café")),
            (missing, MissingFileError("no file matches s3://bucket/*", "name another", "s3://bucket/*")),
            (chained, EnvironmentFault("the disk is full", "free space")),
        ],
    )
    def test_arrive_as_they_were_raised(
        self, function: Callable[[int], Any], expected: BitextError, service: str
    ) -> None:
        with pytest.raises(BitextError) as caught:
            run(function, [f"--job_endpoint={service}", LOOPBACK])
        assert type(caught.value) is type(expected)
        assert str(caught.value) == str(expected)
        assert vars(caught.value) == vars(expected)
        assert not Notes.are_added

    def test_of_a_combination_arrive(self, service: str) -> None:
        import apache_beam as beam

        class Refusing(beam.CombineFn):  # type: ignore[misc]  # Beam is untyped
            def create_accumulator(self) -> int:
                return 0

            def add_input(self, total: int, value: int) -> int:
                raise DataError("too many", "remove some")

        pipeline = pipeline_factory("PortableRunner", [f"--job_endpoint={service}", LOOPBACK])()
        _ = pipeline | beam.Create([1]) | beam.CombineGlobally(Refusing())
        with pytest.raises(DataError, match="too many") as caught:
            pipeline.run()
        assert caught.value.remedy == "remove some"

    def test_of_libraries_are_one_line(self, service: str) -> None:
        with pytest.raises(RuntimeError) as caught:
            run(divided, [f"--job_endpoint={service}", LOOPBACK])
        assert re.fullmatch(r"ZeroDivisionError: division by zero \[while running '.*'\]", str(caught.value))
        assert "Traceback" in str(caught.value.__cause__)

    def test_of_a_full_disk_are_environment_faults(self, service: str, tmp_path: Path) -> None:
        from bitext.pipeline.faults import translating_errors

        with pytest.raises(EnvironmentFault, match="/data/part"), translating_errors(tmp_path):
            run(full, [f"--job_endpoint={service}", LOOPBACK])


class TestLife:
    def test_the_states_are_said_and_the_record_is_removed(self, service: str, tmp_path: Path) -> None:
        lines, shown = list[str](), list[str]()
        records = JobRecords(tmp_path)
        options = [f"--job_endpoint={service}", LOOPBACK, "--job_server_timeout=2"]
        run(slow, options, Watch(lines.append, shown.append, records, lambda: "my-job"))
        assert re.fullmatch(rf"Beam job my-job-[0-9a-f-]{{36}} on PortableRunner at {service}", lines[0])
        assert lines[1:3] == ["Beam job: STARTING", "Beam job: RUNNING"]
        assert re.fullmatch(r"Beam job: DONE after \d+\.\d s", lines[3])
        assert shown[1] == f"Beam job my-job on PortableRunner at {service}: RUNNING"
        assert list(tmp_path.iterdir()) == []
        assert states(service)["my-job"] == "DONE"

    def test_a_job_whose_workers_cannot_start_is_canceled(
        self, service: str, no_workers: str, tmp_path: Path
    ) -> None:
        options, records = engine_processes.options(service, no_workers), JobRecords(tmp_path)
        lines = list[str]()
        started = time.monotonic()
        with pytest.raises(EnvironmentFault) as caught:
            run(abs, options, Watch(lines.append, records=records, job_name=lambda: "stuck", stall_timeout=2))
        assert time.monotonic() - started < 30
        assert re.search(r"the job stuck-\S+ is RUNNING and made no progress for 2\.\d s", str(caught.value))
        assert "seen last: the message" in str(caught.value)
        assert service in caught.value.remedy
        assert any(line.startswith("Beam job: warning: no progress for 1.") for line in lines)
        assert lines[-1] == "Beam job: canceled"
        assert states(service)["stuck"] == "CANCELLED"
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError, ValueError])
    def test_whatever_ends_the_wait_cancels_the_job(
        self, error: type[BaseException], service: str, no_workers: str
    ) -> None:
        def say(text: str) -> None:
            if text.endswith("RUNNING"):
                raise error("stop")

        name = f"stopped-by-{error.__name__.lower()}"
        with pytest.raises(error if error is KeyboardInterrupt else BaseException):
            run(abs, engine_processes.options(service, no_workers), Watch(say, job_name=lambda: name))
        assert states(service)[name] == "CANCELLED"


def slow(value: int) -> int:
    """Takes longer than `--job_server_timeout`, with which Beam limits the streams of a job."""
    time.sleep(1)
    return value


def configured(folder: Path, options: list[str], **changes: Any) -> Path:
    """Writes a corpus and a configuration for the engine."""
    toy.write_tsv(folder / "toy.tsv", toy.sentences())
    beam = {"runner": "PortableRunner", "options": options, **changes}
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(toy.config(beam=beam)), encoding="utf-8")
    return path


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "bitext", *words]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def started_run(folder: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """Starts `bitext run` and waits until its job is RUNNING. Returns the process and its lines so far."""
    process = subprocess.Popen(
        command("run", "toy.yaml", "--to", "ExampleGen"),
        cwd=folder, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        if "Beam job: RUNNING" in line:
            return process, lines
    raise AssertionError("".join(lines))


@pytest.mark.slow
class TestSignals:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_cancel_the_job(
        self, number: int, code: int, service: str, no_workers: str, tmp_path: Path
    ) -> None:
        configured(tmp_path, engine_processes.options(service, no_workers))
        process, _ = started_run(tmp_path)
        status = subprocess.run(
            command("status", "toy.yaml", "--json"),
            cwd=tmp_path,
            env=ENVIRONMENT,
            capture_output=True,
            check=True,
        )
        progress = json.loads(status.stdout)["runs"][0]["progress"]
        assert progress["engine"].endswith(f" on PortableRunner at {service}: RUNNING")
        process.send_signal(number)
        rest, _ = process.communicate(timeout=180)
        assert process.returncode == code
        assert "    Beam job: canceled\n" in rest
        assert "Traceback" not in rest
        [state] = [s for name, s in states(service).items() if name in progress["engine"]]
        assert state == "CANCELLED"
        assert not (tmp_path / "runs" / "toy" / ".jobs").exists()

    def test_an_orphan_of_a_killed_run_is_canceled_by_the_next(
        self, service: str, no_workers: str, tmp_path: Path
    ) -> None:
        configured(tmp_path, engine_processes.options(service, no_workers))
        process, _ = started_run(tmp_path)
        process.kill()
        process.wait()
        [record] = (tmp_path / "runs" / "toy" / ".jobs").iterdir()
        assert states(service)[record.stem] == "RUNNING"
        again, lines = started_run(tmp_path)
        again.send_signal(signal.SIGINT)
        again.communicate(timeout=180)
        engine = f"PortableRunner at {service}"
        assert f"a killed run left the Beam job {record.stem} on {engine}: canceled\n" in lines
        assert states(service)[record.stem] == "CANCELLED"
        assert not record.exists()


@pytest.mark.slow
def test_a_stalled_job_ends_the_run_with_exit_code_6(service: str, no_workers: str, tmp_path: Path) -> None:
    configured(tmp_path, engine_processes.options(service, no_workers), stall_timeout=2)
    run = subprocess.run(
        command("run", "toy.yaml"), cwd=tmp_path, env=ENVIRONMENT, text=True, capture_output=True, check=False
    )
    assert run.returncode == 6
    assert "made no progress for" in run.stderr
    assert "look for an SDK worker that cannot start" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr
