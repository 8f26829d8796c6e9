"""`bitext history`: every run is accounted for once, with its result, and the page renders."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components import pages
from bitext.components.artifacts.page import Chart, Table, Text
from bitext.pipeline import cli
from bitext.pipeline.layout import Layout
from bitext.pipeline.lock import locked
from bitext.pipeline.records import ROLLBACK, State
from bitext.pipeline.reports import history
from bitext.pipeline.reports.history import page, table
from bitext.pipeline.reports.history.entries import Entry
from bitext.pipeline.reports.history.scores import comparable
from bitext.pipeline.reports.writing import write_page
from tests.pipeline import fakes, runs_on_record
from tests.pipeline.runs_on_record import NODES, SIGNATURE, Recorder, every_block


def collect(folder: Path, limit: int | None = None) -> history.History:
    return history.collect(runs_on_record.configuration(folder), limit)


def recorder(folder: Path, window: int = 0, with_files: bool = True) -> Recorder:
    return Recorder(folder / "root", window, with_files)


def outcomes(folder: Path) -> list[str]:
    return [table.outcome_text(entry) for entry in collect(folder).entries]


def charts(report: history.History) -> dict[str, Chart]:
    blocks = [block for section in page.page(report).sections for block in every_block(section.blocks)]
    return {block.title: block for block in blocks if isinstance(block, Chart)}


def tables(report: history.History) -> dict[str, Table]:
    blocks = [block for section in page.page(report).sections for block in every_block(section.blocks)]
    return {block.title: block for block in blocks if isinstance(block, Table)}


class TestOutcomes:
    def test_each_kind_of_run(self, tmp_path: Path) -> None:
        record = recorder(tmp_path)
        for outcome in ("pushed", "unchanged", "refused", "not pushed", "pushed", "Trainer"):
            record.full(outcome)
        record.rollback(1)
        record.rollback(1, is_complete=False)
        record.killed()
        assert outcomes(tmp_path) == [
            *("pushed 1", "unchanged", "refused", "not pushed", "pushed 2", "failed"),
            *("rolled back to 1 as 3", "failed", "not ended"),
        ]
        reasons = [entry.reasons for entry in collect(tmp_path).entries]
        assert reasons == [
            ("BLEU is what it is",),
            ("version 1 stays: the model is the same",),
            ("BLEU is what it is",),
            ("the reasons are not on record: bitext gc removed the verdict",),
            ("BLEU is what it is",),
            ("Trainer: Trainer broke",),
            ("users complain",),
            ("the disk is full",),
            ("the process has ended; the next run continues",),
        ]

    def test_a_run_in_progress(self, tmp_path: Path) -> None:
        recorder(tmp_path).killed()
        with locked(tmp_path / "root"):
            [entry] = collect(tmp_path).entries
        assert (entry.outcome, entry.reasons, entry.seconds) == ("not ended", ("it is running",), None)

    def test_a_killed_run_took_as_long_as_it_is_known_to_have_moved(self, tmp_path: Path) -> None:
        record = recorder(tmp_path)
        for seconds in (0.0, 42.0):
            run = record.killed()
            run.state, run.seconds, run.finished = State.CANCELED, seconds, run.started + seconds
            record.store.put_run(run)
        assert [entry.seconds for entry in collect(tmp_path).entries] == [None, 42.0]

    def test_a_run_of_some_nodes(self, tmp_path: Path) -> None:
        recorder(tmp_path).single(0)
        [entry] = collect(tmp_path).entries
        assert (entry.outcome, entry.reasons) == ("partial", ("it ended after ExampleGen",))

    def test_a_real_pipeline(self, toy: Path) -> None:
        assert cli.main(["run", "toy.yaml"]) == 0
        fakes.Calls.hooks["Train"] = fakes.raising(ValueError("bad"))
        assert cli.main(["run", "toy.yaml", "--force", "Train"]) == 1
        del fakes.Calls.hooks["Train"]
        assert cli.main(["run", "toy.yaml"]) == 0
        from bitext.pipeline.config import load

        first, failed, cached = history.collect(load(toy / "toy.yaml")).entries
        assert [e.outcome for e in (first, failed, cached)] == ["pushed", "failed", "unchanged"]
        assert first.reasons == ("BLEU 31.25 is under 40",)
        assert failed.reasons == ("Train: ValueError: bad",)
        assert first.scores["bleu"].interval == (30.0, 32.5)
        assert (first.is_evaluated, cached.is_evaluated) == (True, False)
        assert first.nodes["Train"].peak_memory
        assert cached.nodes == {}
        assert [part.rows for part in first.parts] == [4]


class TestPasses:
    def test_runs_of_single_nodes_are_one_pass(self, tmp_path: Path) -> None:
        record = recorder(tmp_path)
        record.full()
        for node in range(len(NODES)):
            record.single(node)
        record.single(0)
        whole, nightly, started = collect(tmp_path).entries
        assert [len(e.runs) for e in (whole, nightly, started)] == [1, len(NODES), 1]
        assert (nightly.outcome, nightly.version, started.outcome) == ("pushed", 2, "partial")
        assert set(nightly.nodes) == set(NODES)
        assert nightly.seconds == len(NODES) * 120
        assert nightly.nodes["Trainer"].seconds == 15  # the runs after it have it from the cache

    def test_a_task_that_is_repeated_stays_in_its_pass(self, tmp_path: Path) -> None:
        record = recorder(tmp_path)
        record.single(0)
        record.single(1, failed=True)
        record.single(1)
        record.rollback(0)
        record.single(2)
        nightly, rolled_back = collect(tmp_path).entries
        assert (len(nightly.runs), rolled_back.outcome) == (4, "rolled back")
        assert nightly.nodes["StatisticsGen"].seconds == 22

    def test_a_node_that_runs_again_after_a_whole_run_is_a_pass_of_its_own(self, tmp_path: Path) -> None:
        record = recorder(tmp_path)
        record.full()
        record.single(5)
        assert [len(entry.runs) for entry in collect(tmp_path).entries] == [1, 1]


class TestContents:
    def test_windows_of_spans(self, tmp_path: Path) -> None:
        record = recorder(tmp_path, window=2)
        for _ in range(4):
            record.full()
        entries = collect(tmp_path).entries
        assert [[part.part for part in e.parts] for e in entries[1:]] == [
            ["span 0", "span 1"],
            ["span 1", "span 2"],
            ["span 2", "span 3"],
        ]
        assert [[part.is_new for part in e.parts] for e in entries[1:]] == [[False, True]] * 3
        assert entries[0].features["source_characters"].distance is None
        assert all(0 < (e.features["source_characters"].distance or 0) < 0.1 for e in entries[1:])
        assert entries[3].features["source_ending"].mean is None
        low, median, high = (
            getattr(entries[3].features["source_characters"], n) for n in ("low", "median", "high")
        )
        assert low < median < high
        report = collect(tmp_path)
        names = [one.name for one in charts(report)["Rows of each span or corpus"].series]
        assert names == ["span 0", "span 1", "span 2", "span 3"]
        assert charts(report)["Rows that did not become examples, by reason"].series[0].name == "too_long"

    def test_collected_statistics_leave_the_rest_and_the_page_says_so(self, tmp_path: Path) -> None:
        record = recorder(tmp_path, window=2, with_files=False)
        record.full()
        report = collect(tmp_path)
        [entry] = report.entries
        assert (entry.collected, entry.features, entry.scores["bleu"].interval) == (True, {}, (29, 31))
        notes = [block.text for block in page.page(report).lead if isinstance(block, Text)]
        assert ["bitext gc removed outputs of 1 " in note for note in notes] == [True]

    def test_scores_of_records_of_older_versions(self, tmp_path: Path) -> None:
        record = recorder(tmp_path)
        record.full()
        [entry] = collect(tmp_path).entries
        assert entry.scores["chrf"].interval is None
        assert charts(collect(tmp_path))["chrF on the test split"].series[0].low == ()

    def test_the_served_model_follows_pushes_and_rollbacks(self, tmp_path: Path) -> None:
        record = recorder(tmp_path)
        record.full(bleu=20)
        record.full("refused", bleu=10)
        record.full(bleu=30)
        record.rollback(1)
        [trained, served] = charts(collect(tmp_path))["BLEU on the test split"].series
        assert (trained.y, trained.marked) == ((20, 10, 30), (1,))
        assert served.y == (20, 20, 30, 20)

    def test_scores_with_other_signatures_are_not_one_line(self, tmp_path: Path) -> None:
        record = recorder(tmp_path)
        record.full(bleu=20)
        record.full(bleu=60, signature=SIGNATURE.replace("13a", "char"))
        report = collect(tmp_path)
        [one, other, _] = charts(report)["BLEU on the test split"].series
        assert (one.y, other.y) == ((20,), (60,))
        section = next(s for s in page.page(report).sections if s.id == "scores")
        warnings = [b.text for b in section.blocks if isinstance(b, Text) and b.tone == "warning"]
        assert ["Do not compare scores across this change" in text for text in warnings] == [True]

    def test_the_number_of_references_and_resamples_does_not_matter(self) -> None:
        other = SIGNATURE.replace("nrefs:1", "nrefs:var").replace("bs:1000", "bs:9")
        assert comparable(SIGNATURE) == comparable(other)
        assert comparable(SIGNATURE) != comparable(SIGNATURE.replace("2.6.0", "2.5.1"))

    def test_cost(self, tmp_path: Path) -> None:
        record = recorder(tmp_path)
        record.full()
        record.full("unchanged")
        report = collect(tmp_path)
        by_node = {row[0]: row for row in tables(report)["Nodes"].rows}
        assert by_node["Trainer"] == ("Trainer", 1, 15, 15, 15, 15, 0.5)
        assert charts(report)["Speed of the training"].series[0].y == (6000,)  # a cached node has no point


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the scripts of pages, which take a second to build."""
    return tmp_path_factory.mktemp("assets")


STEPS = st.sampled_from(
    ["pushed", "refused", "not pushed", "unchanged", *NODES, "rollback", "nightly", "failed task", "killed"]
)


@settings(max_examples=25)
@given(
    steps=st.lists(STEPS, min_size=1, max_size=12),
    window=st.sampled_from([0, 3]),
    with_files=st.booleans(),
)
def test_every_run_is_accounted_for_once(
    assets: Path, steps: list[str], window: int, with_files: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        record = recorder(Path(folder), window, with_files)
        record.full()
        for step in steps:
            if step == "rollback":
                record.rollback(1)
            elif step == "nightly":
                for node in range(len(NODES)):
                    record.single(node)
            elif step == "failed task":
                record.single(0)
                record.single(1, failed=True)
            elif step == "killed":
                record.killed()
            else:
                record.full(step)
        report = collect(Path(folder))
        ids = [run.run_id for run in record.runs]
        assert [run for entry in report.entries for run in entry.runs] == ids or Counter(
            run for entry in report.entries for run in entry.runs
        ) == Counter(ids)
        html = pages.render(page.page(report), assets=assets)
        shown = tables(report)["All runs, newest first"].rows
        assert [row[0] for row in shown] == [entry.id for entry in reversed(report.entries)]
        assert all(entry.id in html for entry in report.entries)
        assert all(entry.reasons for entry in report.entries)
        assert {e.outcome for e in report.entries if e.rolled_back_to is not None} <= {"rolled back"}
        again = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(report))), history.History)
        assert again == report


class TestCommand:
    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(["history", *arguments])
        output = capsys.readouterr()
        return code, output.out, output.err

    @pytest.fixture
    def recorded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        record = Recorder(tmp_path / "runs" / "toy")
        for _ in range(22):
            record.full()
        runs_on_record.configuration(tmp_path)
        return tmp_path

    def test_table_and_page(self, recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, err = self.run(capsys, "toy.yaml")
        lines = out.splitlines()
        assert (code, err) == (0, "")
        assert lines[0].split() == ["run", "when", "(UTC)", "result", "BLEU", "rows", "minutes"]
        assert lines[1].split() == [
            *("run0021", "2026-01-22", "03:00", "pushed", "22", "30.00", "[29.00,", "31.00]", "1,021", "2.0")
        ]
        assert len(lines) == 1 + 20 + 1 + 2
        assert lines[-3] == "and 2 earlier runs, which are on the page (--limit 22)"
        assert lines[-1] == "Page  runs/toy/reports/history.html"
        text = (recorded / "runs/toy/reports/history.html").read_text(encoding="utf-8")
        assert "run0000" in text
        assert "bitext gc removed" in text

    def test_limit(self, recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, out, _ = self.run(capsys, "toy.yaml", "--limit", "2", "--output", "deep.html")
        assert [line.split()[0] for line in out.splitlines()[1:3]] == ["run0021", "run0020"]
        assert out.splitlines()[3] == "and 20 earlier runs (--limit 0 shows all)"
        assert "run0019" not in (recorded / "deep.html").read_text(encoding="utf-8")
        _, out, _ = self.run(capsys, "toy.yaml", "--limit", "0")
        assert len(out.splitlines()) == 1 + 22 + 2

    def test_json(self, recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = self.run(capsys, "toy.yaml", "--json")
        report: dict[str, Any] = json.loads(out)
        assert (code, len(report["entries"]), report["page"]) == (0, 22, "")
        assert not (recorded / "runs/toy/reports").exists()
        _, out, _ = self.run(capsys, "toy.yaml", "--json", "--output", "h.html")
        assert json.loads(out)["page"] == "h.html"

    def test_no_runs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        runs_on_record.configuration(tmp_path)
        code, out, err = self.run(capsys, "toy.yaml")
        assert (code, out, err) == (0, "No runs yet. Start one with: bitext run toy.yaml\n", "")
        assert not (tmp_path / "runs").exists()

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["--limit", "-1"], 2, "must be 0 or more"),
            (["--limit", "x"], 2, "must be a whole number"),
            (["--output", "."], 2, "is a folder"),
            (["--output", "toy.yaml/h.html"], 2, "toy.yaml is no folder"),
        ],
    )
    def test_errors(
        self, recorded: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
    ) -> None:
        try:
            received, _, err = self.run(capsys, "toy.yaml", *arguments)
        except SystemExit as end:
            received, err = int(end.code or 0), capsys.readouterr().err
        assert (received, words in err, "what to do: " in err) == (code, True, True), err

    def test_the_browser_is_opened(
        self, recorded: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[str] = []
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr("webbrowser.open", lambda url: bool(opened.append(url)) or True)
        assert self.run(capsys, "toy.yaml", "--open")[0] == 0
        assert opened == [(recorded / "runs/toy/reports/history.html").as_uri()]
        monkeypatch.setattr("webbrowser.open", lambda url: False)
        code, _, err = self.run(capsys, "toy.yaml", "--open")
        assert (code, "open the file on a machine with a display" in err) == (0, True)


def test_a_rollback_is_recorded_as_the_store_has_it(tmp_path: Path) -> None:
    record = recorder(tmp_path)
    record.full()
    record.rollback(1)
    entry: Entry = collect(tmp_path).entries[-1]
    assert (entry.version, entry.rolled_back_to, entry.withdrawn) == (2, 1, 1)
    assert ROLLBACK in entry.nodes


def test_only_runs_with_a_page_are_linked(tmp_path: Path) -> None:
    record = recorder(tmp_path)
    record.full()
    record.full()
    layout = Layout(tmp_path / "root")
    layout.reports.mkdir()
    layout.report("run0001").write_text("the page of the run", encoding="utf-8")
    write_page(page.page(collect(tmp_path)), layout.reports / "history.html", layout)
    text = (layout.reports / "history.html").read_text(encoding="utf-8")
    assert 'href="run0001.html"' in text
    assert 'href="run0000.html"' not in text
    assert "run0000" in text
