"""A run in progress: its status, its bar on a terminal, and what `--quiet` leaves."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from bitext.components.component import Context
from bitext.components.shared.errors import LockedError
from bitext.components.shared.progress import Progress, count
from bitext.pipeline import bars, live
from bitext.pipeline.bars import Bar
from bitext.pipeline.layout import Layout
from bitext.pipeline.lock import is_held, locked
from bitext.pipeline.records import Run, State
from bitext.pipeline.reports import running, status, status_table
from bitext.pipeline.terminal import JsonLines, Quiet
from tests.pipeline.fakes import Calls
from tests.pipeline.test_housekeeping import config_of
from tests.pipeline.test_runner import run

FIGURES = {"loss": 2.3456, "validated": 1600, "bleu": 30.123, "chrf": 51.0, "best_bleu": 30.4}


def work(context: Context, then: Any = lambda: None) -> None:
    """Trains 1,800 of 4,000 updates."""
    with context.progress("updates", 4000) as progress:
        progress.advance(1800)
        progress.note(**FIGURES)
        time.sleep(0)
        live_file = Path(context.working_dir).parents[2] / ".progress.json"
        written = live.read(live_file)
        assert written is not None
        then()


def progress_of(folder: Path) -> dict[str, Any]:
    """The progress that the status shows of the newest run."""
    progress: dict[str, Any] = status.collect(config_of(folder))["runs"][0]["progress"]
    return progress


class TestStatus:
    @pytest.fixture(autouse=True)
    def written_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "WRITTEN_SECONDS", 0.0)
        monkeypatch.setattr("bitext.components.shared.progress.OBSERVED_SECONDS", 0.0)

    def test_of_a_run_that_moves(self, folder: Path) -> None:
        seen: list[dict[str, Any]] = []
        texts: list[str] = []

        def look() -> None:
            seen.append(progress_of(folder))
            texts.append(status.render(status.collect(config_of(folder))))

        Calls.hooks["Train"] = lambda context: work(context, look)
        run(folder)
        [progress] = seen
        names = ("alive", "activity", "node", "part", "unit", "done", "total")
        assert [progress[name] for name in names] == [True, "moves", "Train", "", "updates", 1800, 4000]
        assert progress["figures"] == FIGURES
        assert progress["seconds_left"] == pytest.approx(2200 / progress["rate"], rel=0.2, abs=0.2)
        [text] = texts
        assert "\n    Train: 1,800 of 4,000 updates, " in text
        assert "\n    loss 2.346; validation at 1,600: BLEU 30.12, chrF 51.00, best BLEU 30.40\n" in text
        assert re.search(r"\n    moves, last moved \d\.\d s ago\n", text)
        assert status.collect(config_of(folder))["runs"][0]["progress"] is None
        assert not Layout(folder / "root").progress.exists()

    def test_of_a_run_that_hangs(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[dict[str, Any]] = []

        def look() -> None:
            later = time.time() + 12 * 60
            with monkeypatch.context() as patched:
                patched.setattr(time, "time", lambda: later)
                seen.append(progress_of(folder))

        Calls.hooks["Train"] = lambda context: work(context, look)
        run(folder)
        [progress] = seen
        assert progress["activity"].startswith("no progress for 12 min 0")
        assert progress["seconds_still"] == pytest.approx(720, abs=5)
        assert running.lines(progress)[-1].startswith("no progress for 12 min")

    def test_of_a_node_that_counts_nothing(self, folder: Path) -> None:
        seen: list[list[str]] = []
        Calls.hooks["Evaluate"] = lambda context: seen.append(running.lines(progress_of(folder)))
        run(folder)
        assert seen == [["Evaluate works", "moves, last moved 0.0 s ago"]]

    def test_of_a_killed_run(self, folder: Path) -> None:
        child = os.fork()
        if child == 0:
            Calls.hooks["Train"] = lambda context: work(context, lambda: os.kill(os.getpid(), signal.SIGKILL))
            run(folder)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        report = status.collect(config_of(folder))
        [killed] = report["runs"]
        assert (killed["state"], killed["progress"]["alive"]) == ("RUNNING", False)
        assert killed["progress"]["activity"] == running.ENDED
        assert killed["progress"]["done"] == 1800
        assert running.ENDED in status.render(report)
        assert "process" in status_table.render(report, 100, 10)
        run(folder)
        assert [r["progress"] for r in status.collect(config_of(folder))["runs"]] == [None, None]

    def test_a_status_file_of_another_version_is_ignored(self, tmp_path: Path) -> None:
        (tmp_path / "p").write_text('{"run": 7}')
        assert live.read(tmp_path / "p") is None
        assert live.read(tmp_path / "none") is None


def test_a_lock_is_seen_without_being_taken(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    with locked(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(LockedError), locked(tmp_path):
            pass
    assert not is_held(tmp_path)


def some_status(*, chrf: float = 51.0) -> dict[str, Any]:
    """A status as `collect` returns it."""
    scores = {"bleu": 30.25, "chrf": chrf, "chrfpp": 50.0, "ter": 48.5}
    runs = [
        {
            "id": f"2026013{n}T120000Z-1a2b",
            "state": State.COMPLETE if n < 9 else State.RUNNING,
            "started": f"2026-01-3{n}T12:00:00+00:00",
            "seconds": 194.0 if n < 9 else None,
            "spans": [],
            "nodes": {"Trainer": {"state": State.COMPLETE, "seconds": 9.0, "cached": False, "outputs": {}}},
            "scores": scores if n < 9 else {},
            "blessed": True if n < 9 else None,
            "reasons": ["BLEU is [bold]low[/bold] \x1b[31m"],
            "error": None,
            "forced": None,
            "problem": None,
            "progress": None,
            "tuning": None,
        }
        for n in (9, 1, 0)
    ]
    pushed = {
        "model": "toy",
        "version": 3,
        "path": "serving/toy/3",
        "run": runs[1]["id"],
        "rolled_back": False,
    }
    return {"runs": runs, "pushed": pushed}


class TestTable:
    @pytest.mark.parametrize("width", [80, 96, 116, 200])
    def test_fits_the_terminal(self, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        text = re.sub(r"\x1b\[[0-9;]*m", "", status.render(some_status(), width))
        assert max(map(cell_len, text.splitlines())) <= width
        lines = text.splitlines()
        [served] = [line for line in lines if line.startswith("20260131T120000Z-1a2b")]
        for part in ("COMPLETE", "3 min 14 s", "30.25", "51.00", "served"):
            assert part in served
        assert ("48.50" in served) == (width >= status_table.WITH_ALL_SCORES)
        assert "pushed: toy version 3 (model of run 20260131T120000Z-1a2b) at serving/toy/3" in lines
        assert "BLEU is [bold]low[/bold] \\x1b[31m" in text

    def test_colors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b[32m" not in status.render(some_status(), 100)
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        assert "\x1b[32mCOMPLETE" in status.render(some_status(), 100)

    @pytest.mark.parametrize("width", [0, 40, 79])
    def test_a_narrow_terminal_and_a_pipe_get_plain_text(self, width: int) -> None:
        text = status.render(some_status(), width)
        assert "\x1b" not in text.replace("\x1b[31m", "")
        assert text.splitlines()[0] == "20260139T120000Z-1a2b  RUNNING  2026-01-39T12:00:00+00:00"


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise io.UnsupportedOperation


def test_the_bar_is_hidden_while_a_line_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Tty()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = Bar()
    progress = Progress("updates", 100, 0, bar.show)
    progress.advance(40)
    progress.note(loss=2.5, best_bleu=3.25)
    with bar.hidden():
        print("a line", file=terminal)
    progress.end()
    text = terminal.getvalue()
    assert re.search(r"40% .* 40/100 updates, .*loss 2.5, best BLEU 3.25", text)
    assert re.search(r"\r *\ra line\n", text)
    assert text.endswith("\r")
    progress.end()  # nothing is left to remove


def test_work_that_is_not_to_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Tty()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("updates", 100, 0, Bar().show, is_drawn=False)
    progress.advance(40)
    progress.end()
    assert terminal.getvalue() == ""


def test_json_lines_tell_of_progress_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    out, now = io.StringIO(), 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    terminal = JsonLines(out)
    progress = Progress("rows", 1000, 0, terminal.show)
    for _ in range(10):
        now += 30.0
        progress.advance(50)
    progress.end()
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(e["event"], e["done"], e["seconds_left"]) for e in events] == [
        ("node_progress", 50 * n, pytest.approx((1000 - 50 * n) * 0.6)) for n in (2, 4, 6, 8, 10)
    ]
    assert events[0]["message"] == "100 of 1,000 rows"


def test_quiet_prints_warnings_only(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    terminal = Quiet()
    terminal.run_started("r", "toy", tmp_path)
    terminal.node_started("Train")
    terminal.say("step 1\nwarning: few rows")
    terminal.say("span 7: warning: none")
    terminal.node_finished(1.0)
    terminal.say_of_run("warning: a disk")
    assert capsys.readouterr().out.splitlines() == [
        "Train: warning: few rows",
        "Train: span 7: warning: none",
        "warning: a disk",
    ]


def test_a_run_of_another_root_has_no_progress(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    other = Run("r", "toy", str(tmp_path), State.RUNNING, 1.0, root_id="another")
    assert running.collect(other, layout) is None


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_command_draws_what_is_counted_below_its_messages(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Tty()
    monkeypatch.setattr(terminal, "isatty", lambda: is_terminal)
    monkeypatch.setattr("bitext.components.shared.progress.OBSERVED_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", terminal)
    with bars.drawn("sentences", 10) as say:
        count(4)
        say("warning: too long")
    text = terminal.getvalue()
    assert ("4/10 sentences" in text) == is_terminal
    assert ("\r" + text).split("\n")[0].endswith("\rwarning: too long")
    assert is_terminal or text == "warning: too long\n"
