"""Beam: the direct runner needs no other process, and the failure of another runner names the runner."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault
from bitext.pipeline.beam import (
    LOCAL,
    Engine,
    Watch,
    pipeline_factory,
    reporting_engine_failure,
)
from bitext.pipeline.config import beam_section


def test_the_direct_runner_is_the_runner_in_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import apache_beam
    from apache_beam.runners.portability import prism_runner
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("Beam chose Prism, a runner in another process")

    monkeypatch.setattr(prism_runner.PrismRunner, "__init__", fail)
    with pipeline_factory()() as pipeline:
        assert type(pipeline.runner) is FnApiRunner
        lines = pipeline | apache_beam.Create([1, 2, 3]) | apache_beam.Map(str)
        _ = lines | apache_beam.io.WriteToText(str(tmp_path / "out"), num_shards=1)
    assert sorted((tmp_path / "out-00000-of-00001").read_text().split()) == ["1", "2", "3"]


def test_an_error_names_the_step_that_failed() -> None:
    import apache_beam

    def divide(value: int) -> int:
        return 1 // value

    pipeline = pipeline_factory()()
    _ = pipeline | apache_beam.Create([0]) | "Divide" >> apache_beam.Map(divide)
    with pytest.raises(Exception, match="division") as caught:
        pipeline.run().wait_until_finish()
    assert "Divide" in str(caught.value)


def test_beam_knows_the_runners_that_the_configuration_accepts() -> None:
    from apache_beam.options.pipeline_options import StandardOptions

    assert set(beam_section.BEAM_RUNNERS) <= set(StandardOptions.KNOWN_RUNNER_NAMES)
    assert LOCAL in beam_section.BEAM_RUNNERS


def test_an_unknown_runner_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"beam\.runner NoSuchRunner"):
        pipeline_factory("NoSuchRunner")()


class TestEngine:
    """The error about a failure of another runner names the runner and its address."""

    def test_the_name_includes_the_address(self) -> None:
        assert Engine.of("FlinkRunner", ["--flink_master=host:8081"]).name == "FlinkRunner at host:8081"
        assert Engine.of("DataflowRunner", ["--region=europe-west1"]).name == "DataflowRunner"

    @pytest.mark.slow  # it waits for a minute
    def test_a_job_server_that_does_not_answer_is_named_and_the_wait_is_announced(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import apache_beam as beam

        with socket.create_server(("127.0.0.1", 0)) as closed:
            endpoint = f"localhost:{closed.getsockname()[1]}"
        monkeypatch.setattr("bitext.pipeline.beam.pipelines.QUIET_SECONDS", 0.2)
        lines: list[str] = []
        options = [f"--job_endpoint={endpoint}", "--job_server_timeout=1"]
        pipeline = pipeline_factory("PortableRunner", options, Watch(lines.append))()
        _ = pipeline | beam.Create([1])
        with pytest.raises(EnvironmentFault) as caught:
            pipeline.run()
        assert str(caught.value).startswith(f"Beam's PortableRunner at {endpoint} failed: ")
        assert "does not answer" in str(caught.value)
        assert f"the cause is in the output of the job service at {endpoint}" in caught.value.remedy
        [line] = lines
        assert line.startswith(f"waiting for Beam's PortableRunner at {endpoint} to take the job; ")

    def test_a_real_job_server_runs_the_pipeline_and_returns_errors_of_its_functions(
        self, tmp_path: Path
    ) -> None:
        import apache_beam as beam
        from apache_beam.runners.portability.local_job_service import LocalJobServicer

        def refuse(value: int) -> None:
            raise DataError("line 3 of the file\nis damaged", "a remedy")

        servicer = LocalJobServicer(str(tmp_path))
        port = servicer.start_grpc_server(0)
        options = [f"--job_endpoint=localhost:{port}", "--environment_type=LOOPBACK"]
        try:
            with pipeline_factory("PortableRunner", options)() as pipeline:
                lines = pipeline | beam.Create([1]) | beam.Map(str)
                _ = lines | beam.io.WriteToText(str(tmp_path / "out"), num_shards=1)
            assert (tmp_path / "out-00000-of-00001").read_text() == "1\n"
            pipeline = pipeline_factory("PortableRunner", options)()
            _ = pipeline | beam.Create([1]) | beam.Map(refuse)
            with pytest.raises(DataError) as caught:
                pipeline.run()
            assert str(caught.value) == "line 3 of the file\nis damaged"
        finally:
            servicer.stop()

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Pipeline job-1 failed in state FAILED: no task slots", EnvironmentFault),
            ("ZeroDivisionError: division by zero [while running 'Step']", RuntimeError),
            ("Trace\nbitext.components.shared.errors.ConfigError: bad [while running 'Step']", ConfigError),
        ],
    )
    def test_the_type_of_an_error_depends_on_what_raised_it(
        self, text: str, expected: type[Exception]
    ) -> None:
        with (
            pytest.raises(Exception, match="no task slots|division by zero|bad") as caught,
            reporting_engine_failure(Engine("FlinkRunner")),
        ):
            raise RuntimeError(text)
        assert type(caught.value) is expected
