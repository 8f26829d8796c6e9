"""Local Beam runs stay in this process, need no other binary, and fail with the real traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.beam import pipeline_factory, remote_fingerprints


def test_the_direct_runner_is_the_runner_in_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import apache_beam
    from apache_beam.runners.portability import prism_runner
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("Prism was asked for")

    monkeypatch.setattr(prism_runner.PrismRunner, "__init__", never)
    with pipeline_factory()() as made:
        assert type(made.runner) is FnApiRunner
        lines = made | apache_beam.Create([1, 2, 3]) | apache_beam.Map(str)
        _ = lines | apache_beam.io.WriteToText(str(tmp_path / "out"), num_shards=1)
    assert sorted((tmp_path / "out-00000-of-00001").read_text().split()) == ["1", "2", "3"]


def test_a_failure_names_the_line_that_failed() -> None:
    import apache_beam

    def fails(value: int) -> int:
        return 1 // value

    made = pipeline_factory()()
    _ = made | apache_beam.Create([0]) | "Divide" >> apache_beam.Map(fails)
    with pytest.raises(Exception, match="division") as caught:
        made.run().wait_until_finish()
    assert "Divide" in str(caught.value)


def test_an_unknown_runner_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"beam\.runner NoSuchRunner"):
        pipeline_factory("NoSuchRunner")()


def test_fingerprints_follow_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = remote_fingerprints(str(tmp_path / "*"))
    (tmp_path / "a").write_text("12")
    assert list(before) == [str(tmp_path / "a")]
    assert before != remote_fingerprints(str(tmp_path / "*"))
