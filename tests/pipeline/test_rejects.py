"""`bitext rejects` shows the rejected rows of the newest run, by reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bitext.components.artifacts import Reject, Rejects, Summary
from bitext.pipeline import cli
from bitext.pipeline.config import load
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import Execution, Run, State, StoredArtifact
from bitext.pipeline.store import Store


def rows(reason: str, count: int, file: str = "a.tsv") -> list[Reject]:
    return [Reject(file, n + 1, reason, f"detail {n}", f"text {n}") for n in range(count)]


class Root:
    """A pipeline root with runs whose rejects a test gives."""

    def __init__(self, folder: Path):
        (folder / "toy.yaml").write_text("name: toy\nexample_gen: {files: [a.tsv]}\n", encoding="utf-8")
        self.layout = Layout(folder / "runs" / "toy")
        self.store = Store(load(folder / "toy.yaml").metadata, self.layout.root, "toy")
        self.count = 0

    def add_run(self, state: State, *spans: list[Reject], cached: bool = False) -> Run:
        """Records a run of ExampleGen with the rejects of each span."""
        self.count += 1
        root = self.layout.root
        run = Run(f"r{self.count}", "toy", str(root), state, 1.0, 2.0, nodes="ExampleGen, Trainer")
        self.store.put_run(run)
        stored = []
        for number, rejects in enumerate(spans):
            path = root / "ExampleGen" / "rejects" / f"{self.count}{number}"
            path.mkdir(parents=True)
            artifact = Rejects(path)
            artifact.write_rows(rejects)
            artifact.write_summary(Summary(rows=len(rejects) + 7, accepted=7, rejected=len(rejects)))
            stored.append(StoredArtifact(Rejects.TYPE_NAME, str(path), "d"))
        if spans:
            done = State.CACHED if cached else State.COMPLETE
            self.store.put_execution(
                Execution("ExampleGen", run.run_id, done, 1.0, 2.0, outputs={"rejects": tuple(stored)}), run
            )
        return run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    monkeypatch.chdir(tmp_path)
    return Root(tmp_path)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Returns what `bitext rejects` prints."""
    capsys.readouterr()
    assert cli.main(["rejects", "toy.yaml", *arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(shown(capsys, "--json", *arguments))
    return report


def test_rows_of_all_spans_by_reason(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    root.add_run(
        State.COMPLETE, rows("too_long", 2), [*rows("length_ratio", 12, "b.tsv"), *rows("too_long", 1)]
    )
    output = shown(capsys)
    assert "run r1  COMPLETE" in output
    assert "29 rows: 14 became examples, 0 exact duplicates, 15 rejected" in output
    assert output.index("length_ratio: 12 rows") < output.index("too_long: 3 rows"), "most rows first"
    assert "    b.tsv:1: detail 0: 'text 0'\n" in output
    assert "and 2 more (--limit 0 shows all)" in output
    assert output.count("a.tsv:1: ") == 2


def test_limit_and_reason(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    root.add_run(State.COMPLETE, [*rows("too_long", 20), *rows("empty_side", 3)])
    report = as_json(capsys, "--limit", "2")
    assert [(row["reason"], row["line"]) for row in report["rejects"]] == [
        *(("too_long", 1), ("too_long", 2)),
        *(("empty_side", 1), ("empty_side", 2)),
    ]
    assert report["reasons"] == {"too_long": 20, "empty_side": 3}, "the counts are not limited"
    assert len(as_json(capsys, "--limit", "0")["rejects"]) == 23
    only = as_json(capsys, "--reason", "empty_side")
    assert {row["reason"] for row in only["rejects"]} == {"empty_side"}
    assert "too_long" not in shown(capsys, "--reason", "empty_side")
    assert "length_ratio: no row" in shown(capsys, "--reason", "length_ratio")


def test_a_reason_that_does_not_exist(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    root.add_run(State.COMPLETE, rows("too_long", 1))
    error = shown(capsys, "--reason", "Too-Long", code=2)
    assert "--reason Too-Long: there is no such reason" in error
    assert "did you mean too_long? the reasons are too_long, " in error
    with pytest.raises(SystemExit):
        cli.main(["rejects", "toy.yaml", "--limit", "-1"])


def test_the_newest_run_counts_and_one_without_a_corpus_does_not(
    root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "No run has read a corpus yet. Read it with: bitext run toy.yaml --to ExampleGen" in shown(capsys)
    assert as_json(capsys) == {"run": None, "rejected": 0, "reasons": {}, "corpora": [], "rejects": []}
    root.add_run(State.COMPLETE, rows("too_long", 1))
    root.add_run(State.COMPLETE, rows("empty_side", 4), cached=True)
    root.add_run(State.FAILED)
    assert as_json(capsys)["run"] == "r2"


def test_the_rows_that_stopped_a_run(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    root.add_run(State.COMPLETE, rows("too_long", 1))
    failed = root.add_run(State.FAILED)
    kept = Rejects(root.layout.failure(failed.run_id, "ExampleGen"))
    kept.path.mkdir(parents=True)
    kept.write_rows(rows("missing_column", 5))
    output = shown(capsys)
    assert "run r2  FAILED\n5 rows rejected, over example_gen.max_reject_share" in output
    assert "missing_column: 5 rows" in output
    assert as_json(capsys)["files"] == [str(kept.rows_file.relative_to(Path.cwd()))]
    kept.rows_file.write_bytes(b"no gzip")
    assert "is damaged" in shown(capsys, code=3)


def test_text_that_a_terminal_would_obey_is_escaped(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    row = Reject("a\x1b.tsv", 1, "control_characters", "has U+001B", "\x1b[2J\u202etext\n" + "x" * 500)
    root.add_run(State.COMPLETE, [row])
    output = shown(capsys)
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "a\\x1b.tsv:1: has U+001B: '\\x1b[2J" in output
    assert output.count("x" * 100) == 1, "a long row is cut"


def test_no_row_was_rejected(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    root.add_run(State.COMPLETE, [], [])
    assert "14 rows: 14 became examples, 0 exact duplicates, 0 rejected" in shown(capsys)


def test_a_run_that_begins_at_transform_has_read_no_corpus(
    root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    root.add_run(State.COMPLETE, rows("too_long", 1))
    run = root.add_run(State.COMPLETE)
    path = root.layout.root / "Transform" / "rejects" / "2"
    path.mkdir(parents=True)
    Rejects(path).write_rows([])
    Rejects(path).write_summary(Summary(rows=0, accepted=0))
    outputs = {"rejects": (StoredArtifact(Rejects.TYPE_NAME, str(path), "d"),)}
    root.store.put_execution(
        Execution("Transform", run.run_id, State.COMPLETE, 1.0, 2.0, outputs=outputs), run
    )
    assert as_json(capsys)["run"] == "r1"


def test_the_rows_by_corpus_with_what_transform_leaves_out(
    root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    summaries = [
        Summary(
            rows=10, accepted=6, duplicates=1, golden_removed=1, rejected=2, reasons={"copied": 2}, corpus="a"
        ),
        Summary(rows=1200, accepted=1200, fixed={"fix_blanks": 3}, corpus="law"),
        Summary(rows=5, accepted=5, corpus="a"),
    ]
    left_out = Summary(
        rows=0, accepted=0, left_out={"a": {"near_duplicate": 3}, "law": {"exact duplicate": 1}}
    )
    run = root.add_run(State.COMPLETE)
    for node, of_node, rejected in (
        ("GoldenGen", [Summary(rows=4, accepted=4)], []),
        ("ExampleGen", summaries, rows("copied", 1)),
        ("Transform", [left_out], rows("near_duplicate", 1, "a/b.tsv")),
    ):
        stored = []
        for number, summary in enumerate(of_node):
            path = root.layout.root / node / "rejects" / str(number)
            path.mkdir(parents=True)
            Rejects(path).write_rows(rejected)
            Rejects(path).write_summary(summary)
            stored.append(StoredArtifact(Rejects.TYPE_NAME, str(path), "d"))
        outputs = {"rejects": tuple(stored)}
        root.store.put_execution(Execution(node, run.run_id, State.COMPLETE, 1.0, 2.0, outputs=outputs), run)
    dropped = {"near_duplicate": 3, "copied": 2, "exact duplicate": 1, "golden or test set": 1}
    assert as_json(capsys)["corpora"] == [
        {"corpus": "a", "rows": 15, "kept": 8, "dropped": dropped, "fixed": {}},
        {
            "corpus": "law",
            "rows": 1200,
            "kept": 1199,
            "dropped": {"exact duplicate": 1},
            "fixed": {"fix_blanks": 3},
        },
    ]
    output = shown(capsys)
    assert "a/b.tsv:1: detail 0" in output
    table = [line for line in output.splitlines() if line.startswith(("corpus", "a ", "law "))]
    assert table == [
        "corpus   rows   kept  dropped",
        "a          15      8        7  near_duplicate 3, copied 2, exact duplicate 1, golden or test set 1",
        "law     1,200  1,199        1  exact duplicate 1; corrected: blanks 3",
    ]
