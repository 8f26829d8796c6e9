"""`bitext run --log-format json` prints the events of a run as JSON lines."""

from __future__ import annotations

import datetime
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitext.components.component import Context
from bitext.components.shared import errors
from bitext.pipeline import cli, graph, terminal
from bitext.pipeline.lock import locked
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls, raising

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "operate.md").read_text(encoding="utf-8")
COMMON = {"time", "event", "run", "node", "message"}
Events = list[dict[str, Any]]
Run = Callable[..., tuple[int, Events, str]]


@pytest.fixture
def run(toy: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Returns a function that runs the command, and returns exit code, events and standard error."""

    def call(*arguments: str) -> tuple[int, Events, str]:
        capsys.readouterr()
        code = cli.main(["run", "toy.yaml", "--log-format", "json", *arguments])
        captured = capsys.readouterr()
        return code, [json.loads(line) for line in captured.out.splitlines()], captured.err

    return call


def events_and_nodes(events: Events) -> list[tuple[str, str | None]]:
    return [(event["event"], event["node"]) for event in events]


def documented_fields() -> dict[str, set[str]]:
    """Returns the fields of each event in the table of the documentation, without the common fields.

    A row can refer to another event: "as `run_finished`".
    """
    rows = re.findall(r"^\| `((?:run|node)_\w+)` \|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE)
    texts = {event: text.strip() for event, text in rows}
    return {
        event: set(re.findall(r"`(\w+)`", texts.get(text.removeprefix("as `").removesuffix("`"), text)))
        for event, text in texts.items()
    }


def test_the_events_of_a_run_and_of_a_cached_run(toy: Path, run: Run) -> None:
    code, first, error = run()
    assert (code, error) == (0, "")
    assert events_and_nodes(first) == [
        ("run_started", None),
        ("node_started", "Source"),
        ("node_said", "Source"),
        ("node_finished", "Source"),
        *((event, node) for node in fakes.NODES[1:] for event in ("node_started", "node_finished")),
        ("run_finished", None),
    ]
    assert len({event["run"] for event in first}) == 1
    assert (first[0]["pipeline"], first[0]["root"]) == ("toy", "runs/toy")
    assert first[2]["message"] == "2 rows"
    last = first[-1]
    assert last["seconds"] >= sum(event.get("seconds", 0) for event in first[:-1])
    path = str(toy / "serving" / "toy" / "1")
    result = {key: last[key] for key in documented_fields()["run_finished"] - {"seconds", "log", "report"}}
    assert result == {
        "state": "COMPLETE",
        "exit_code": 0,
        "bleu": 31.25,
        "blessed": True,
        "pushed_version": 1,
        "pushed_path": path,
        "error": None,
        "remedy": None,
    }
    assert Path(last["log"]).read_text(encoding="utf-8").count("2 rows") == 1
    assert last["report"] == f"runs/toy/reports/{last['run']}.html"
    assert Path(last["report"]).is_file()
    code, second, _ = run("--explain-cache")
    assert code == 0
    assert events_and_nodes(second) == [
        ("run_started", None),
        *((event, node) for node in fakes.NODES for event in ("node_cached", "node_reason")),
        ("run_finished", None),
    ]
    assert second[2]["message"] == f"because nothing changed since run {first[0]['run']}"
    assert second[-1]["bleu"] == 31.25


def test_times_are_utc_to_the_millisecond_and_in_order(run: Run) -> None:
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(milliseconds=1)
    times = [event["time"] for event in run()[1]]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)
    parsed = [datetime.datetime.fromisoformat(time) for time in times]
    assert [before, *parsed] == sorted([before, *parsed])


def test_taken_outputs_of_an_earlier_run_are_events(run: Run) -> None:
    first_run_id = run()[1][0]["run"]
    events = run("--from", "Push")[1]
    assert [(e["node"], e["from_run"]) for e in events if e["event"] == "node_taken"] == [
        (node, first_run_id) for node in fakes.NODES[:-1]
    ]


@pytest.mark.parametrize(
    ("error", "code", "state", "message"),
    [
        (errors.DataError("the\nthing", "the remedy"), 3, "FAILED", "the\nthing"),
        (ZeroDivisionError("oh"), 1, "FAILED", "ZeroDivisionError: oh"),
        (KeyboardInterrupt(), 130, "CANCELED", "interrupted"),
    ],
)
def test_an_error_is_the_last_event_and_on_standard_error(
    run: Run, error: BaseException, code: int, state: str, message: str
) -> None:
    Calls.hooks["Train"] = raising(error)
    exit_code, events, stderr = run()
    last = events[-1]
    assert (exit_code, last["exit_code"], last["state"], last["error"]) == (code, code, state, message)
    assert (last["event"], last["node"], last["bleu"], last["blessed"]) == ("run_failed", "Train", None, None)
    shown = message.replace("\n", "\n  ")
    assert stderr.startswith(f"error: {shown}\nwhat to do: {last['remedy']}\nlog: {last['log']}\n")


def test_the_last_event_of_a_failed_run_has_the_scores_so_far(run: Run) -> None:
    Calls.hooks["Push"] = lambda context: signal.raise_signal(signal.SIGTERM)
    last = run()[1][-1]
    assert (last["exit_code"], last["bleu"], last["blessed"], last["pushed_version"]) == (
        143,
        31.25,
        True,
        None,
    )


def test_a_run_with_a_refused_model_ends_with_run_finished(
    toy: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(toy, bless=False))
    code, events, _ = run()
    last = events[-1]
    assert (code, last["exit_code"], last["event"], last["state"]) == (4, 4, "run_finished", "COMPLETE")
    assert (last["blessed"], last["pushed_version"], last["pushed_path"]) == (False, None, None)
    assert "BLEU 31.25 is under 40" in last["error"]


def test_an_error_before_the_run_starts_is_an_event_without_run_id(toy: Path, run: Run) -> None:
    code, events, _ = run("--set", "trainer.steps=many")
    assert (code, events_and_nodes(events), events[0]["run"]) == (2, [("run_failed", None)], None)
    with locked(toy / "runs" / "toy"):
        code, events, _ = run("--wait=0.01")
    assert (code, events_and_nodes(events)) == (5, [("run_said", None), ("run_failed", None)])
    assert all(f"process {os.getpid()} on " in event["message"] for event in events)
    assert (events[-1]["exit_code"], events[-1]["state"], events[-1]["run"]) == (5, None, None)


def test_prints_of_a_library_go_to_standard_error(run: Run) -> None:
    Calls.hooks["Train"] = lambda context: print("Using 7 threads")
    code, events, error = run()
    assert code == 0
    assert not any("threads" in event["message"] for event in events)
    assert "Using 7 threads" in error


def test_the_log_file_is_the_same_in_both_formats(toy: Path, run: Run) -> None:
    def logged_lines() -> list[str]:
        [path] = (toy / "runs" / "toy" / "logs").glob("*.log")
        text = path.read_text(encoding="utf-8")
        path.unlink()
        return [re.sub(r"^.{23} |run \S+,", "", line) for line in text.splitlines() if "done in" not in line]

    run()
    as_json = logged_lines()
    (toy / "runs" / "toy" / "metadata.sqlite").unlink()
    assert cli.main(["run", "toy.yaml"]) == 0
    as_text = [line for line in logged_lines() if "metadata record" not in line]
    assert as_json == as_text
    assert as_json


def test_undecodable_names_and_an_ascii_locale_are_escaped(toy: Path) -> None:
    code = (
        "import sys\nfrom bitext.pipeline.terminal import JsonLines\n"
        "JsonLines(sys.stdout).say('\\udcff é 語')"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert json.loads(process.stdout)["message"] == "\udcff é 語"


def test_a_run_with_json_events_draws_no_bar(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(context: Context) -> None:
        with context.progress("rows", 10) as progress:
            progress.advance(5)

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    Calls.hooks["Train"] = work
    run()
    assert capsys.readouterr().err == ""


def test_the_documentation_has_every_event_and_every_field(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(context: Context) -> None:
        with context.progress("rows", 10) as progress:
            progress.advance(5)

    monkeypatch.setattr(terminal, "PROGRESS_SECONDS", 0)
    Calls.hooks["Train"] = work
    Calls.hooks["Push"] = raising(errors.DataError("bad day"))
    events = [*run()[1], *run("--explain-cache")[1]]
    Calls.hooks.clear()
    events += [*run()[1], *run("--from", "Push")[1]]
    Path("runs/toy/metadata.sqlite").unlink()
    events += run()[1]  # moves the unrecorded outputs and reports it
    assert all(set(event) >= COMMON for event in events)
    assert {event["event"]: set(event) - COMMON for event in events} == documented_fields()
