"""The system clock is set, or the time zone changes: the order of runs and their durations do not."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bitext.components.component import Context
from bitext.pipeline import cli, graph
from bitext.pipeline.records import Execution, Run, State
from bitext.pipeline.store import messages
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls
from tests.pipeline.test_openmetrics import read_samples

DAY, YEARS = 86_400.0, 10 * 365 * 86_400.0


class Clock:
    """The system clock, which a test sets: `offset` is added to the true time."""

    offset = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    true_time, clock = time.time, Clock()
    monkeypatch.setattr(time, "time", lambda: true_time() + clock.offset)
    return clock


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Restores the time zone of this process afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        yield environment
    time.tzset()


def run(toy: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> list[str]:
    """Runs the fake pipeline as the command does and returns the nodes that ran."""
    Calls.nodes.clear()
    monkeypatch.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(toy, steps=steps))
    assert cli.main(["run", "toy.yaml"]) == 0
    return list(Calls.nodes)


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Returns what `bitext status --json` prints."""
    capsys.readouterr()
    assert cli.main(["status", "toy.yaml", "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("first", [YEARS, -YEARS, DAY, 0.0])
def test_the_newest_run_is_the_one_that_ran_last(
    toy: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    first: float,
) -> None:
    for steps, offset in ((1, first), (2, 0.0), (3, 0.0)):
        clock.offset = offset
        assert run(toy, monkeypatch, steps) == (list(fakes.NODES) if steps == 1 else list(fakes.NODES[1:]))
        written = read_samples()  # only the newest run writes the file
        assert written["bitext_run_start_timestamp_seconds"] == pytest.approx(time.time(), abs=60)
    runs = report(capsys)["runs"]
    assert [run["nodes"]["Train"]["outputs"]["model"].rpartition("/")[2] for run in runs] == ["10", "6", "2"]
    assert cli.main(["gc", "toy.yaml", "--keep", "1"]) == 0
    logs = {path.stem for path in (toy / "runs" / "toy" / "logs").glob("*.log")}
    assert logs == {runs[0]["id"]}
    assert Path(runs[0]["nodes"]["Train"]["outputs"]["model"]).is_dir()
    assert run(toy, monkeypatch, 3) == []
    assert cli.main(["lineage", "1", "toy.yaml", "--json"]) == 0


@pytest.mark.parametrize("change", [-DAY, DAY, -YEARS, YEARS])
def test_durations_do_not_change_with_the_clock(
    toy: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: float,
) -> None:
    def set_clock(context: Context) -> None:
        clock.offset += change

    Calls.hooks["Train"] = set_clock
    begun = time.monotonic()
    assert cli.main(["run", "toy.yaml", "--log-format", "json"]) == 0
    elapsed = time.monotonic() - begun
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    printed = [line["seconds"] for line in lines if "seconds" in line]
    assert len(printed) == len(fakes.NODES) + 1
    [recorded] = report(capsys)["runs"]
    nodes = [node["seconds"] for node in recorded["nodes"].values()]
    samples = read_samples()
    measured = [value for name, value in samples.items() if "_duration_seconds" in name]
    assert len(measured) == len(fakes.NODES) + 1
    for seconds in (*printed, recorded["seconds"], *nodes, *measured):
        assert 0 <= seconds <= elapsed
    assert recorded["seconds"] >= sum(nodes)
    started, ended = (samples[f"bitext_run_{word}_timestamp_seconds"] for word in ("start", "end"))
    assert ended - started == pytest.approx(change, abs=60)  # times are those of the clock


def test_the_duration_of_a_failed_run_does_not_change_with_the_clock(
    toy: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    def set_clock_and_fail(context: Context) -> None:
        clock.offset -= DAY
        raise ValueError("no")

    Calls.hooks["Train"] = set_clock_and_fail
    assert cli.main(["run", "toy.yaml"]) == 1
    [recorded] = report(capsys)["runs"]
    for seconds in (recorded["seconds"], recorded["nodes"]["Train"]["seconds"]):
        assert 0 <= seconds < 60


def test_the_time_zone_changes_nothing(
    toy: Path,
    zone: pytest.MonkeyPatch,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun = time.time()
    for steps, name in enumerate(("Pacific/Kiritimati", "UTC", "America/Los_Angeles"), 1):
        zone.setenv("TZ", name)
        time.tzset()
        run(toy, monkeypatch, steps)
    runs = report(capsys)["runs"]
    assert [run["nodes"]["Train"]["outputs"]["model"].rpartition("/")[2] for run in runs] == ["10", "6", "2"]
    for recorded in runs:
        moment = datetime.datetime.fromisoformat(recorded["started"])
        assert moment.utcoffset() == datetime.timedelta(0)
        assert begun - 1 <= moment.timestamp() <= time.time()
        assert recorded["id"].startswith(f"{moment:%Y%m%dT%H%M}")


def test_a_record_of_an_earlier_version_has_the_duration_of_the_clock() -> None:
    for started, finished, seconds in ((10.0, 12.5, 2.5), (10.0, 5.0, 0.0), (10.0, 0.0, 0.0)):
        execution = Execution("Train", "r", State.COMPLETE, started, finished)
        message = messages.execution_message(execution, 1)
        del message.properties["seconds"]
        assert messages.execution_record(message).seconds == seconds
        context = messages.run_message(Run("r", "toy", "/", State.COMPLETE, started, finished), 1)
        del context.properties["seconds"]
        record = messages.run_record(context)
        assert record is not None
        assert record.seconds == seconds
