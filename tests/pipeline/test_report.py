"""The page of a run: written at the end of every run, and by `bitext report`."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import webbrowser
from pathlib import Path

import pytest

from bitext.components import pages
from bitext.components.shared.errors import DataError
from bitext.pipeline import cli, config, graph
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import ROLLBACK, State
from bitext.pipeline.reports import run_page
from bitext.pipeline.reports.run_page import record, settings
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls, raising

CONFIG = "name: toy\nexample_gen: {files: [rows.txt]}\n"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the configuration and the data of the fake pipeline, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.yaml").write_text(CONFIG)
    (tmp_path / "rows.txt").write_text("a\ntest b\n")
    monkeypatch.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(tmp_path))
    Calls.clear()
    return tmp_path


def newest() -> str:
    """The text of the page that was written last."""
    return max(Path("runs/toy/reports").glob("*.html"), key=lambda p: p.stat().st_mtime_ns).read_text()


def page() -> pages.Page:
    """The page of the newest run."""
    found = record.load(config.load(Path("toy.yaml")))
    assert found is not None
    return run_page.build(found)


def nodes_of(shown: pages.Page) -> dict[str, tuple[object, ...]]:
    table = shown.sections[0].blocks[0]
    return {str(row[0]): row[1:] for row in table.rows}  # type: ignore[union-attr]


def test_a_complete_run_ends_with_the_path_of_its_page(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "toy.yaml"]) == 0
    path = Path(re.findall(r"^Report +(\S+)$", capsys.readouterr().out, re.MULTILINE)[0])
    text = path.read_text(encoding="utf-8")
    assert path.stem in text
    assert "The model was blessed and is version 1" in text
    assert "31.25" in text
    assert [state for state, *_ in nodes_of(page()).values()] == ["ran"] * 4
    assert cli.main(["run", "toy.yaml"]) == 0
    shown = nodes_of(page())
    assert [state for state, *_ in shown.values()] == ["cached"] * 4
    assert {made_by for _, _, made_by, *_ in shown.values()} == {path.stem}


def test_a_refused_run_has_a_page_with_the_reason(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(toy, bless=False))
    assert cli.main(["run", "toy.yaml"]) == 4
    assert re.search(r"^report: runs/toy/reports/\S+\.html$", capsys.readouterr().err, re.MULTILINE)
    verdict = page().verdict
    assert verdict is not None
    assert (verdict.tone, "BLEU 31.25 is under 40" in verdict.text) == ("bad", True)
    assert verdict.text in newest()


def test_a_failed_run_has_a_page_with_error_and_remedy(toy: Path) -> None:
    Calls.hooks["Train"] = raising(DataError("line 7 of <b>x</b> is bad", "correct line 7"))
    assert cli.main(["run", "toy.yaml"]) == 3
    text = newest()
    assert "The run failed in Train: line 7 of &lt;b&gt;x&lt;/b&gt; is bad" in text
    assert "<b>x</b>" not in text
    assert "What to do: correct line 7" in text
    states = {name: row[0] for name, row in nodes_of(page()).items()}
    assert states == {"Source": "ran", "Train": "failed", "Evaluate": "not run", "Push": "not run"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_has_a_page(toy: Path, number: int, code: int) -> None:
    Calls.hooks["Evaluate"] = lambda context: signal.raise_signal(number)
    assert cli.main(["run", "toy.yaml"]) == code
    text = newest()
    assert "The run was interrupted in Evaluate" in text
    assert "What to do: the same command continues where this one stopped" in text
    assert "Traceback" not in text
    assert page().sections[0].summary == "2 of 4 nodes are complete, 0 of them cached."
    evaluation = next(section for section in page().sections if section.title == "Evaluation")
    assert "the run was interrupted in Evaluate." in str(evaluation.blocks)


def test_a_partial_run_has_a_page(toy: Path) -> None:
    assert cli.main(["run", "toy.yaml", "--to", "Train"]) == 0
    assert "It ends after Train, and no model was judged" in newest()
    assert cli.main(["run", "toy.yaml", "--from", "Evaluate", "--to", "Evaluate"]) == 0
    states = {name: row[0] for name, row in nodes_of(page()).items()}
    assert states["Source"] == states["Train"] == "taken from an earlier run"
    assert states["Evaluate"] == "ran"


def test_a_complete_run_without_a_report_describes_what_it_made_itself(toy: Path) -> None:
    assert cli.main(["run", "toy.yaml"]) == 0  # the fake pipeline has no Reporter
    found = record.load(config.load(Path("toy.yaml")))
    assert found is not None
    evaluation = next(e for e in found.nodes.values() for a in e.all_outputs() if a.type == "ModelEvaluation")
    evaluation.state = State.CACHED
    texts = {section.title: str(section.blocks) for section in run_page.build(found, only_new=True).sections}
    assert f"bitext report --run {found.run.run_id}" in texts["Evaluation"]
    assert "An earlier run" not in texts["Data"]
    assert "An earlier run" not in str(run_page.build(found).sections)


def test_a_run_that_does_not_start_has_none(toy: Path) -> None:
    assert cli.main(["run", "toy.yaml", "--set", "trainer.steps=many"]) == 2
    assert not Path("runs").exists()


def test_a_page_that_cannot_be_written_is_a_warning(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/toy").mkdir(parents=True)
    Path("runs/toy/reports").write_text("a file")
    assert cli.main(["run", "toy.yaml"]) == 0
    captured = capsys.readouterr()
    assert "warning: the run has no report: the page runs/toy/reports/" in captured.err
    assert "Report  " not in captured.out
    assert cli.main(["run", "toy.yaml", "--log-format", "json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["report"] is None


def test_every_damaged_artifact_leaves_a_page(toy: Path) -> None:
    assert cli.main(["run", "toy.yaml"]) == 0
    files = [path for path in Path("runs/toy").glob("*/*/*/*") if path.is_file()]
    assert len(files) > 4
    for path in files:
        content = path.read_bytes()
        for damaged in (b"", b"\x00\xff", b"null"):
            path.write_bytes(damaged)
            assert pages.render(page())
        path.write_bytes(content)


def test_scores_that_cannot_be_read_are_named(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "toy.yaml"]) == 0
    [path] = Path("runs/toy").glob("Evaluate/*/*/metrics.json")
    path.write_bytes(b"{")
    assert "The scores cannot be read: " in str(page().lead)
    capsys.readouterr()
    assert cli.main(["report", "toy.yaml"]) == 0
    assert "warning: the scores cannot be read: " in capsys.readouterr().err
    assert cli.main(["status", "toy.yaml"]) == 0
    assert "the scores cannot be read: " in capsys.readouterr().out


def test_the_page_of_a_killed_run(toy: Path) -> None:
    loaded = config.load(Path("toy.yaml"))
    Calls.hooks["Train"] = raising(DataError("bad", ""))
    assert cli.main(["run", "toy.yaml"]) == 3
    found = record.load(loaded)
    assert found is not None
    found.run.state, found.run.finished, found.nodes["Train"].state = State.RUNNING, 0.0, State.RUNNING
    found = dataclasses.replace(found, progress={"alive": False, "activity": "it has ended"})
    shown = run_page.build(found)
    assert shown.verdict is not None
    assert shown.verdict.text == "The process of this run was killed in Train. The next run continues."
    assert nodes_of(shown)["Train"][0] == "killed"
    assert "unknown" in str(shown.lead)


def test_a_model_that_was_blessed_by_force(toy: Path) -> None:
    assert cli.main(["run", "toy.yaml"]) == 0
    found = record.load(config.load(Path("toy.yaml")))
    assert found is not None
    [blessing] = found.outputs("ModelBlessing")
    blessing.properties["forced"] = "second"
    verdict = run_page.build(found).verdict
    assert verdict is not None
    assert verdict.tone == "warning"
    assert verdict.text.startswith(
        "The model was blessed by force, and it is version 1. The reason: second. The checks: BLEU"
    )


def test_outputs_that_gc_removed_are_named(toy: Path) -> None:
    assert cli.main(["run", "toy.yaml"]) == 0
    [first] = (path.stem for path in Path("runs/toy/reports").iterdir())
    Path("rows.txt").write_text("other\ntest rows\n")
    assert cli.main(["run", "toy.yaml"]) == 0
    runs = {path.stem for path in Path("runs/toy/reports").iterdir()}
    assert cli.main(["gc", "toy.yaml", "--keep", "1"]) == 0
    left = {path.stem for path in Path("runs/toy/reports").iterdir()}
    assert left == runs - {first}
    assert {path.stem for path in Path("runs/toy/logs").iterdir()} == left
    assert cli.main(["report", "toy.yaml", "--run", first]) == 0
    assert "removed since: " in Path(f"runs/toy/reports/{first}.html").read_text()


def test_the_report_of_an_earlier_run_is_written_to_a_file(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "toy.yaml", "--to", "Source"]) == 0
    [first] = (path.stem for path in Path("runs/toy/reports").iterdir())
    assert cli.main(["run", "toy.yaml"]) == 0
    capsys.readouterr()
    assert cli.main(["report", "toy.yaml", "--run", first, "--output", "out.html"]) == 0
    assert capsys.readouterr().out == "Report      out.html\n"
    assert "It ends after Source" in Path("out.html").read_text()
    assert cli.main(["report", "toy.yaml", "--run", "previous", "--output", "previous.html"]) == 0
    assert cli.main(["report", "toy.yaml", "--run", first.lower(), "--output", "prefix.html"]) == 0
    for name in ("previous.html", "prefix.html"):
        assert Path(name).read_text() == Path("out.html").read_text()


@pytest.mark.parametrize("arguments", [[], ["--run", "20260131T120000Z-1a2b"]])
def test_a_run_that_is_not_on_record_is_refused(
    toy: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert cli.main(["report", "toy.yaml", *arguments]) == 2
    assert "of pipeline 'toy'" in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", ""], "a path must not be empty"),
        (["--output", "-"], "a page is written to a file, not to standard output"),
        (["--output", "no/such/x.html"], "the folder no/such does not exist: create it"),
        (["--output", "rows.txt/x.html"], "the folder rows.txt is no folder"),
        (["--run", ""], "a run must not be empty"),
    ],
)
def test_arguments_that_are_refused(
    toy: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["report", "toy.yaml", *arguments])
    assert (end.value.code, words in capsys.readouterr().err) == (2, True)
    assert {path.name for path in toy.iterdir()} == {"toy.yaml", "rows.txt"}


def test_a_report_that_cannot_be_written_names_the_file(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "toy.yaml"]) == 0
    Path("folder").mkdir()
    assert cli.main(["report", "toy.yaml", "--output", "folder"]) == 2
    assert "--output folder is a folder" in capsys.readouterr().err
    Path("runs/toy/reports").rename("reports")
    Path("runs/toy/reports").write_text("a file, not a folder")
    assert cli.main(["report", "toy.yaml"]) == 6
    assert "the page runs/toy/reports/" in (message := capsys.readouterr().err)
    assert "cannot be written: " in message


def test_open_uses_a_browser_only_with_a_display(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["run", "toy.yaml"]) == 0
    assert cli.main(["report", "toy.yaml", "--open"]) == 0
    assert "no web browser can be opened here" in capsys.readouterr().err
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert cli.main(["report", "toy.yaml", "--open"]) == 0
    assert [url.startswith("file:///") for url in opened] == [True]


def test_the_configuration_of_the_run_is_on_its_page(toy: Path) -> None:
    assert cli.main(["run", "toy.yaml", "--set", "trainer.steps=777"]) == 0
    (toy / "toy.yaml").write_text(CONFIG + "trainer: {steps: 888}\n")
    assert cli.main(["report", "toy.yaml"]) == 0
    text = newest()
    assert "steps: 777" in text
    assert "steps: 888" not in text
    assert "bitext run toy.yaml --set trainer.steps=777" in text
    [path] = Path("runs/toy/logs").glob("*.yaml")
    assert config.load(path).trainer.steps == 777


def test_the_record_of_the_configuration_changes_no_cache_key(toy: Path) -> None:
    assert cli.main(["run", "toy.yaml"]) == 0
    Calls.nodes.clear()
    assert cli.main(["run", "toy.yaml", "--set", "metrics.textfile=m.prom"]) == 0
    assert Calls.nodes == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql://ann:pa55@db/x", "mysql://***@db/x"),
        ("https://token@host/corpus.tsv", "https://***@host/corpus.tsv"),
        ("--flink_password=pa55", "--flink_password=***"),
        ("--s3_secret_access_key=pa55", "--s3_secret_access_key=***"),
        ("beam.options=[--api_key=pa55]", "beam.options=[--api_key=***"),
        ("metadata.mysql.password_env=NAME", "metadata.mysql.password_env=NAME"),
        ("trainer.batch_tokens=1600", "trainer.batch_tokens=1600"),
        ("data/a@b.tsv", "data/a@b.tsv"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert settings.masked(text) == shown


def test_secrets_are_in_no_file_of_the_run(toy: Path) -> None:
    secret = "--s3_secret_access_key=pa55word"
    assert cli.main(["run", "toy.yaml", "--set", f"beam.options=[{secret}]"]) == 0
    for path in (*Path("runs/toy/logs").iterdir(), *Path("runs/toy/reports").iterdir()):
        assert "pa55word" not in path.read_text(encoding="utf-8"), path


def test_a_rollback_has_a_page(toy: Path) -> None:
    loaded = config.load(Path("toy.yaml"))
    assert cli.main(["run", "toy.yaml"]) == 0
    found = record.load(loaded)
    assert found is not None
    rollback = dataclasses.replace(next(iter(found.nodes.values())), node=ROLLBACK)
    found = dataclasses.replace(found, nodes={ROLLBACK: rollback})
    assert "Data" not in [section.title for section in run_page.build(found).sections]


def test_a_run_whose_record_does_not_name_the_nodes_has_all_sections(toy: Path) -> None:
    assert cli.main(["run", "toy.yaml"]) == 0
    found = record.load(config.load(Path("toy.yaml")))
    assert found is not None
    found.run.nodes = ""  # as older versions recorded it
    assert "Data" in [section.title for section in run_page.build(found).sections]


def test_a_running_run_is_told(toy: Path) -> None:
    seen: list[pages.Page] = []
    Calls.hooks["Train"] = lambda context: seen.append(page())
    assert cli.main(["run", "toy.yaml"]) == 0
    [during] = seen
    assert during.verdict is not None
    assert during.verdict.text.startswith("This run was running when this page was written. Train works;")
    assert nodes_of(during)["Train"][0] == "running"
    training = next(section for section in during.sections if section.title == "Training")
    assert "the run is still in Train." in str(training.blocks)


def test_the_paths_of_a_run(toy: Path) -> None:
    layout = Layout(Path("runs/toy"))
    assert str(layout.report("r")) == "runs/toy/reports/r.html"
    assert str(layout.config_file("r")) == "runs/toy/logs/r.yaml"
