"""The reports of real runs: complete, cached, refused, failed and terminated ones."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

from bitext.components.artifacts import Report
from tests.e2e import toy
from tests.e2e.conftest import Finished
from tests.e2e.toy import bitext

SECTIONS = ["Data", "Vocabulary", "Training", "Evaluation", "Sentences"]
OWN_SECTIONS = ["Run", *SECTIONS, "Lineage", "Configuration"]


def report_of(result: toy.Result) -> Path:
    """Returns the path that a run prints at its end."""
    [path] = re.findall(r"^(?:Report|report:) +(\S+\.html)$", result.out + result.err, re.MULTILINE)
    return Path(path)


def titles(text: str) -> list[str]:
    """Returns the titles of a page's sections."""
    return re.findall(r'<h2 id="[^"]*-title"><bdi>(.*?)</bdi>', text)


def test_a_complete_run_has_all_sections(finished: Finished) -> None:
    path = finished.folder / report_of(finished.result)
    text = path.read_text(encoding="utf-8")
    assert titles(text) == OWN_SECTIONS
    assert path.stat().st_size < 3_000_000
    assert "The model was blessed and is version 1" in text
    for visible in (
        "toy.tsv:51",
        "a line without its other side",
        "empty_side: 2 rows rejected",
        "toy version 1",
    ):
        assert visible in text, visible
    made = Report(toy.output(finished.folder, "Reporter", "report")).sections()
    assert [section.title for section in made] == SECTIONS


def test_a_cached_run_has_the_same_sections(copy: Path) -> None:
    before = toy.contents(copy / "runs" / "toy" / "Reporter")
    result = bitext(copy, "run", "toy.yaml")
    assert (result.code, result.ran()) == (0, [])
    assert toy.contents(copy / "runs" / "toy" / "Reporter") == before
    assert titles((copy / report_of(result)).read_text(encoding="utf-8")) == OWN_SECTIONS


def test_a_refused_run(copy: Path) -> None:
    result = bitext(copy, "run", "toy.yaml", "--set", "evaluator.min_bleu=100")
    assert (result.code, result.ran()) == (4, ["Evaluator", "Pusher", "Reporter"])
    text = (copy / report_of(result)).read_text(encoding="utf-8")
    assert "The model was refused, and nothing was pushed" in text
    assert titles(text) == OWN_SECTIONS


def test_rejected_rows_that_stop_a_run_are_in_its_report(tmp_path: Path) -> None:
    toy.write_tsv(tmp_path / "toy.tsv", [*toy.sentences()[:20], *[("one side <b>only</b>", "")] * 20])
    toy.write_config(tmp_path, toy.config())
    result = bitext(tmp_path, "run", "toy.yaml")
    assert result.code == 3
    text = (tmp_path / report_of(result)).read_text(encoding="utf-8")
    assert "The run failed in ExampleGen" in text
    assert "empty_side: 20 rows rejected" in text
    assert "toy.tsv:21" in text
    assert "one side &lt;b&gt;only&lt;/b&gt;" in text
    assert "There is nothing to show: the run failed in ExampleGen." in text


def test_anomalies_that_stop_a_run_are_in_its_report(copy: Path) -> None:
    result = bitext(copy, "run", "toy.yaml", "--set", "schema_gen.target_scripts=[Greek]")
    assert result.code == 3
    text = (copy / report_of(result)).read_text(encoding="utf-8")
    assert "The run failed in ExampleValidator" in text
    assert "target_script" in text.partition("Anomalies")[2]


def test_a_terminated_run_has_a_report_and_a_damaged_file_is_told(copy: Path) -> None:
    process = subprocess.Popen(
        toy.command("run", "toy.yaml", "--set", "trainer.steps=100000", "--log-format", "json"),
        cwd=copy,
        env=toy.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(json.loads(line))
        if lines[-1]["event"] == "node_said" and "weights" in lines[-1]["message"]:
            process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 143
    last = lines[-1]
    assert (last["event"], last["exit_code"]) == ("run_failed", 143)
    text = (copy / last["report"]).read_text(encoding="utf-8")
    assert "The run was interrupted in Trainer" in text
    assert titles(text)[:3] == ["Run", "Data", "Vocabulary"]

    statistics = toy.output(copy, "StatisticsGen", "statistics")
    for path in statistics.rglob("*.pb"):
        path.write_bytes(b"\x00\xff damaged")
    result = bitext(copy, "report", "toy.yaml", "--output", "again.html")
    assert (result.code, result.err) == (0, "")
    again = (copy / "again.html").read_text(encoding="utf-8")
    assert "This section cannot be made: ExampleStatistics" in again

    shutil.rmtree(copy / "runs" / "toy" / "Transform")
    result = bitext(copy, "report", "toy.yaml", "--output", "again.html")
    assert (result.code, result.err) == (0, "")
    assert "bitext gc removed the outputs" in (copy / "again.html").read_text(encoding="utf-8")
