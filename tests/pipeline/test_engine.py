"""Beam engines, without starting one: names, errors as text, the check of workers, Flink's REST interface."""

from __future__ import annotations

import contextlib
import http.server
import importlib.metadata
import itertools
import json
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared import errors
from bitext.components.shared.errors import (
    NOTE,
    BitextError,
    DataError,
    EnvironmentFault,
    MissingFileError,
    Notes,
    as_json,
    from_json,
)
from bitext.pipeline.beam import Engine, JobRecords, Watch, flink, installation, job_name
from bitext.pipeline.beam import job as job_module
from bitext.pipeline.beam.failures import carried_error, missing_package, reporting_engine_failure
from bitext.pipeline.beam.job import Job
from bitext.pipeline.beam.job_records import JobRecord
from bitext.pipeline.terminal import logging_to

TEXTS = st.text(max_size=60)


class TestErrorsAsText:
    @given(TEXTS, TEXTS, TEXTS, TEXTS)
    def test_an_error_is_read_as_it_was_written(
        self, message: str, remedy: str, more: str, after: str
    ) -> None:
        error = from_json(as_json(MissingFileError(message, remedy, more)) + after)
        assert isinstance(error, MissingFileError)
        assert (str(error), error.remedy, error.pattern) == (message, remedy, more)
        assert error.exit_code == DataError.exit_code

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | TEXTS,
            lambda v: st.lists(v) | st.dictionaries(TEXTS, v),
        )
    )
    def test_other_text_is_no_error_or_a_plain_one(self, value: Any) -> None:
        for text in (json.dumps(value), json.dumps({"types": value, "message": value, "fields": value})):
            error = from_json(text)
            assert error is None or isinstance(error, BitextError)

    def test_the_text_cannot_change_a_type(self) -> None:
        fields = {"exit_code": 0, "remedy": "do", "args": "x", "__class__": "int", "with_traceback": 1}
        error = from_json(json.dumps({"types": ["os.system", "DataError"], "message": "m", "fields": fields}))
        assert type(error) is DataError
        assert (error.exit_code, error.remedy, vars(error)) == (3, "do", {"remedy": "do"})

    def test_an_unknown_type_becomes_its_nearest_base(self) -> None:
        class SpecialError(DataError):
            """Known to the worker only."""

        text = as_json(SpecialError("m", "r")).replace("SpecialError", "OtherError")
        assert type(from_json(text)) is DataError

    def test_errors_have_no_notes_in_this_process(self) -> None:
        assert not hasattr(DataError("m", "r"), "__notes__")

    def test_the_last_original_of_several_is_the_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Notes, "are_added", True)
        cause, outer = DataError("cause", "first"), MissingFileError("outer\nline", "second", "p*")
        copy = DataError("cause [while running 'Step']")
        text = "\n".join(
            f"Traceback\n{e!r}\n{e.__notes__[0]} [while running 'S']" for e in (cause, outer, copy)
        )
        found = carried_error(text)
        assert isinstance(found, MissingFileError)
        assert (str(found), found.remedy, found.pattern) == ("outer\nline", "second", "p*")

    def test_a_note_that_is_cut_off_leaves_the_message(self) -> None:
        text = f"Trace\n{errors.__name__}.DataError: bad\nline\n\nDuring {NOTE}" + '{"types": ["Da'
        found = carried_error(text)
        assert (type(found), str(found)) == (DataError, "bad\nline")


class TestFailures:
    @staticmethod
    def raised(text: str, engine: Engine | None = None) -> BaseException:
        engine = engine or Engine("FlinkRunner")
        with pytest.raises(Exception) as caught, reporting_engine_failure(engine):  # noqa: PT011
            raise RuntimeError(text)
        return caught.value

    def test_the_fault_says_where_the_log_is(self) -> None:
        engine = Engine.of("FlinkRunner", ["--flink_master=flink:8081"])
        fault = self.raised("no task slots", engine)
        assert isinstance(fault, EnvironmentFault)
        assert "FlinkRunner at flink:8081 failed: RuntimeError: no task slots" in str(fault)
        assert "job manager and task managers, on http://flink:8081" in fault.remedy

    def test_of_a_traceback_the_end_is_shown(self) -> None:
        trace = "Traceback (most recent call last):\n  File x\n"
        fault = self.raised(f"failed\n{trace}KeyError: 1\n\nDuring\n{trace}    ^^\nOSError: no slots\nleft\n")
        assert "failed: RuntimeError: OSError: no slots left" in str(fault)

    def test_another_python_or_beam(self) -> None:
        text = (
            "RuntimeError: not compatible. Submission environment: beam:version:sdk_base:apache/"
            "beam_python3.11_sdk:2.72.0. Runtime environment: beam:version:sdk_base:apache/"
            "beam_python3.13_sdk:2.77.0.\n"
        )
        fault = self.raised(text)
        assert str(fault) == (
            "a Beam worker has another Beam SDK: python3.13_sdk:2.77.0, here python3.11_sdk:2.72.0"
        )

    def test_the_error_of_a_library_is_one_line(self) -> None:
        text = "job failed\nTraceback\n  File x\nZeroDivisionError: by zero [while running 'Map']\n\nmore"
        assert repr(self.raised(text)) == repr(
            RuntimeError("ZeroDivisionError: by zero [while running 'Map']")
        )

    @pytest.mark.parametrize(
        "text",
        [
            "AttributeError: Can't get attribute '_Filter' on <module 'bitext.components.x' from '/a/x.py'>",
            "AttributeError: module 'bitext.components.x' has no attribute '_Filter'",
            "ImportError: cannot import name 'Parts' from 'bitext.components.x' (/a/x.py)",
        ],
    )
    def test_another_version_whose_modules_lack_a_name(self, text: str) -> None:
        fault = self.raised(f"Traceback\n{text} [while running 'S']")
        assert isinstance(fault, EnvironmentFault)
        assert "has another version of bitext: its module bitext.components.x differs" in str(fault)

    def test_a_package_that_only_workers_lack(self) -> None:
        text = "x\nModuleNotFoundError: No module named 'msgspec.json' [while running 'S']"
        fault = self.raised(text)
        assert isinstance(fault, EnvironmentFault)
        assert "cannot import msgspec.json" in str(fault)
        assert "install this version of bitext" in fault.remedy
        engine = Engine("FlinkRunner")
        assert missing_package("ModuleNotFoundError: No module named 'nobody_has_it'", engine) is None


@pytest.mark.parametrize(
    ("runner", "options", "page", "logs"),
    [
        ("FlinkRunner", ["--flink_master=f:8081"], "http://f:8081", "http://f:8081"),
        ("FlinkRunner", ["--flink_master=https://f/x/"], "https://f/x", "https://f/x"),
        ("FlinkRunner", ["--flink_master=[local]"], "", "task managers"),
        ("PortableRunner", ["--job_endpoint=h:8099"], "", "job service at h:8099"),
        ("PortableRunner", ["--job_endpoint=embed"], "", "output of the job service and"),
        ("SparkRunner", ["--spark_master_url=spark://s:7077"], "", "Spark's driver"),
        (
            "DataflowRunner",
            ["--project=p", "--region=r"],
            "https://console.cloud.google.com/dataflow/jobs/r/id?project=p",
            "Cloud Logging",
        ),
        ("DataflowRunner", [], "", "Cloud Logging"),
    ],
)
def test_where_to_look(runner: str, options: list[str], page: str, logs: str) -> None:
    engine = Engine.of(runner, [*options, "--s3_secret_access_key=hidden"])
    assert engine.page("id") == page
    assert logs in engine.logs
    assert "hidden" not in str(engine)


def test_a_job_name_has_the_letters_that_all_engines_allow() -> None:
    assert job_name("bitext", "My_corpus.v2", "20261130T1Z-ab", "ExampleGen", "") == (
        "bitext-my-corpus-v2-20261130t1z-ab-examplegen"
    )


class TestWorkerCheck:
    """The check runs when a DoFn is unpickled, before its other attributes."""

    @pytest.fixture(autouse=True)
    def first_time(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(sys, installation.ATTRIBUTE, None, raising=False)
        yield
        Notes.are_added = False

    @staticmethod
    def function() -> Any:
        from apache_beam import DoFn

        function = DoFn()
        function.late = Late()
        installation.add_check(function)
        return function

    def test_the_same_installation_passes_and_errors_get_notes(self) -> None:
        from apache_beam.internal import pickler

        again = pickler.loads(pickler.dumps(self.function()))
        assert (getattr(again, installation.ATTRIBUTE), again.late) == (None, 1)
        assert DataError("m", "r").__notes__ == [NOTE + as_json(DataError("m", "r"))]
        Notes.are_added = False
        pickler.loads(pickler.dumps(self.function()))  # the versions are compared once in a process
        assert Notes.are_added

    @pytest.mark.parametrize(
        ("name", "found", "said"),
        [
            ("apache-beam", "2.1.0", "apache-beam 2.1.0, here "),
            ("bitext", None, "no bitext, here "),
            ("tensorflow", "1.0", "tensorflow 1.0, here "),
        ],
    )
    def test_another_version_is_named(
        self, name: str, found: str | None, said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from apache_beam.internal import pickler

        content, real = pickler.dumps(self.function()), importlib.metadata.version

        def version(distribution: str) -> str:
            if distribution != name:
                return real(distribution)
            if found is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return found

        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(Late, "made", staticmethod(fail))
        with pytest.raises(ImportError) as caught:
            pickler.loads(content)
        fault = installation.installation_fault(f"Traceback\n{caught.value} [while running 'S']")
        assert fault is not None
        assert said in str(fault)
        assert sys.executable in str(fault)
        assert len(str(fault)) < 400

    def test_other_source_code_of_the_same_version_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        content = pickle.dumps(self.function())
        monkeypatch.setattr(installation, "source_digest", lambda: "other")
        with pytest.raises(ImportError) as caught:
            pickle.loads(content)
        fault = installation.installation_fault(str(caught.value))
        assert "the same version of bitext with other source code" in str(fault)

    def test_a_damaged_report_is_still_a_fault(self) -> None:
        assert isinstance(installation.installation_fault(f"{installation.REPORT}[1"), EnvironmentFault)

    def test_the_digest_covers_components_and_schemas(self) -> None:
        assert installation.expected_versions()[installation.CODE] == installation.source_digest()
        assert {"tensorflow", "apache-beam", "pyarrow", "bitext"} <= set(installation.expected_versions())


class Late:
    """An attribute that must not be unpickled on a worker with another installation."""

    @staticmethod
    def made() -> int:
        return 1

    def __reduce__(self) -> tuple[Any, ...]:
        return call_made, ()


def call_made() -> int:
    return Late.made()


def fail() -> int:
    raise AssertionError("unpickled before the check")


@contextlib.contextmanager
def flink_server(jobs: list[dict[str, Any]], requests: list[str]) -> Iterator[str]:
    """Context manager: an HTTP server that answers as Flink's REST interface does; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer()

        def do_PATCH(self) -> None:
            self.answer()

        def answer(self) -> None:
            requests.append(f"{self.command} {self.path}")
            metrics = {"read-records": 5, "write-records": 7, "read-bytes": 9}
            vertices = [
                {"status": "FINISHED", "metrics": metrics},
                {"status": "RUNNING", "metrics": {**metrics, "read-records": 1000}},
            ]
            found: Any = {"/jobs/overview": {"jobs": jobs}, "/jobs/j2": {"vertices": vertices}}.get(self.path)
            if self.command == "PATCH":
                found = {}
            self.send_response(200 if found is not None else 404)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *arguments: object) -> None:
            """Prints nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class TestFlink:
    JOBS = [
        {"jid": "j1", "name": "mine", "state": "FINISHED", "start-time": 1},
        {"jid": "j2", "name": "mine", "state": "RUNNING", "start-time": 2},
        {"jid": "j3", "name": "other", "state": "RUNNING", "start-time": 3},
    ]

    def test_counts_of_a_job(self) -> None:
        with flink_server(self.JOBS, []) as address:
            assert flink.progress(f"http://{address}", "mine") == (
                "1 of 2 tasks finished, 1 running, 1,019 records"
            )
            assert flink.progress(f"http://{address}", "nobody") == ""
        assert flink.progress(f"http://{address}", "mine") == ""

    def test_an_orphan_is_canceled_by_its_name(self, tmp_path: Path) -> None:
        requests: list[str] = []
        lines: list[str] = []
        records = JobRecords(tmp_path / ".jobs")
        with flink_server(self.JOBS, requests) as address:
            for name in ("mine", "gone"):
                options = {"flink_master": address}
                records.put(JobRecord(name=name, runner="FlinkRunner", options=options))
            records.end_orphans(lines.append)
        assert [line.rpartition(": ")[2] for line in lines] == [
            "the engine no longer knows it",
            "asked to cancel it",
        ]
        assert "PATCH /jobs/j2?mode=cancel" in requests
        assert list((tmp_path / ".jobs").glob("*.json")) == []


def test_the_error_of_a_thread_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError("the channel is closed")

    with logging_to(tmp_path / "run.log"):
        thread = threading.Thread(target=fail, name="grpc-7")
        thread.start()
        thread.join()
    assert capfd.readouterr() == ("", "")
    text = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert "the thread grpc-7 ended with an error" in text
    assert "OSError: the channel is closed" in text


class DataflowResult:
    """What a runner without a job service returns: a job that ends when it is canceled, or at once."""

    def __init__(self, ends: bool, counts: Callable[[], str]) -> None:
        self.state, self._counts, self._ended = "RUNNING", counts, threading.Event()
        if ends:
            self._ended.set()

    def job_id(self) -> str:
        return "2026-11-30_01"

    def metrics(self) -> SimpleNamespace:
        return SimpleNamespace(query=self._counts)

    def wait_until_finish(self) -> None:
        self._ended.wait(60)

    def cancel(self) -> None:
        self.state = "CANCELLED"
        self._ended.set()


class TestRunnerWithoutJobService:
    ENGINE = Engine.of("DataflowRunner", ["--project=p", "--region=r"])

    @pytest.fixture(autouse=True)
    def always_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(job_module, "LOOK_SECONDS", 0.0)

    def watch(self, folder: Path, lines: list[str]) -> Watch:
        return Watch(lines.append, records=JobRecords(folder), job_name=lambda: "name", stall_timeout=1)

    def test_a_job_that_ends(self, tmp_path: Path) -> None:
        lines = list[str]()
        Job(self.ENGINE, self.watch(tmp_path, lines)).wait(DataflowResult(True, lambda: "0"))
        page = "https://console.cloud.google.com/dataflow/jobs/r/2026-11-30_01?project=p"
        assert lines[0] == f"Beam job name, id 2026-11-30_01 on DataflowRunner, web page {page}"
        assert list(tmp_path.iterdir()) == []

    def test_a_job_that_counts_nothing_new_is_canceled(self, tmp_path: Path) -> None:
        lines, result = list[str](), DataflowResult(False, lambda: "5 elements")
        with pytest.raises(EnvironmentFault, match="is RUNNING and made no progress"):
            Job(self.ENGINE, self.watch(tmp_path, lines)).wait(result)
        assert (result.state, lines[-1]) == ("CANCELLED", "Beam job: canceled")
        assert list(tmp_path.iterdir()) == []

    def test_counts_are_progress_and_their_failure_is_none(self, tmp_path: Path) -> None:
        numbers, result = itertools.count(), DataflowResult(False, lambda: "")

        def counts() -> str:
            if (number := next(numbers)) == 12:  # at five a second: longer than the limit
                result.cancel()
            return str(number)

        result._counts = counts
        Job(self.ENGINE, self.watch(tmp_path, [])).wait(result)

        def fail() -> str:
            raise ConnectionResetError("reset")

        with pytest.raises(EnvironmentFault, match="made no progress"):
            Job(self.ENGINE, self.watch(tmp_path, [])).wait(DataflowResult(False, fail))


class TestRecords:
    def test_a_record_is_written_whole_replaced_and_removed(self, tmp_path: Path) -> None:
        records = JobRecords(tmp_path / "new" / ".jobs")
        record = JobRecord(name="n", id="1", runner="R", options={"job_endpoint": "h:1"})
        records.put(record)
        records.put(JobRecord(name="n", id="2", runner="R", options={}))
        [file] = (tmp_path / "new" / ".jobs").iterdir()
        assert json.loads(file.read_bytes())["id"] == "2"
        records.remove("n")
        records.remove("n")
        assert list(file.parent.iterdir()) == []

    def test_an_engine_that_cannot_be_reached_keeps_the_record(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from bitext.pipeline.beam import job_records
        from tests.pipeline.engine_processes import free_port

        real = job_records.job_service.connect
        monkeypatch.setattr(job_records.job_service, "connect", lambda endpoint: real(endpoint, 0.5))
        records, lines = JobRecords(tmp_path), list[str]()
        options = {"job_endpoint": f"localhost:{free_port()}"}
        records.put(JobRecord(name="n", id="1", runner="PortableRunner", options=options))
        records.end_orphans(lines.append)
        assert len(lines) == 1
        assert lines[0].startswith(
            "warning: a killed run left the Beam job n on PortableRunner at localhost:"
        )
        assert "does not answer" in lines[0]
        assert len(list(tmp_path.glob("*.json"))) == 1

    def test_an_engine_that_bitext_cannot_ask_is_named(self, tmp_path: Path) -> None:
        records, lines = JobRecords(tmp_path), list[str]()
        options = {"project": "p", "region": "r"}
        records.put(JobRecord(name="n", id="7", runner="DataflowRunner", options=options))
        (tmp_path / "damaged.json").write_text("{")
        records.end_orphans(lines.append)
        assert len(lines) == 1
        assert "https://console.cloud.google.com/dataflow/jobs/r/7?project=p" in lines[0]
        assert list(tmp_path.iterdir()) == []
