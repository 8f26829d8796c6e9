"""`bitext verify` finds what is not as recorded, and its remedies mend it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bitext.components.artifacts.base import SAVED_MODEL_FILE
from bitext.components.artifacts.pushed import ServedVersion, VersionMetadata, model_digest
from bitext.components.pusher import serving
from bitext.pipeline import cli, graph
from bitext.pipeline.config import Metadata
from bitext.pipeline.layout import Layout
from bitext.pipeline.lock import locked
from bitext.pipeline.store import Store
from tests.pipeline import fakes
from tests.pipeline.test_integrity import flip


@pytest.fixture
def folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which `bitext run toy.yaml` was run."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(Path()))
    assert cli.main(["run", "toy.yaml"]) == 0
    shutil.rmtree("serving/toy/1")  # the fake pushes an empty folder
    for version in (1, 2):
        model = Path("models") / str(version)
        model.mkdir(parents=True)
        (model / SAVED_MODEL_FILE).write_text(str(version))
        metadata = VersionMetadata(model_digest(model), pipeline="toy")
        files = {ServedVersion.METADATA: metadata.encode()}
        serving.publish(model, Path("serving/toy"), version, metadata.digest, files)
    return folder


def verify(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Returns the report, and checks that the exit code agrees with it."""
    capsys.readouterr()
    code = cli.main(["verify", "toy.yaml", "--json", *arguments])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == (3 if report["problems"] else 0)
    return report


def outputs() -> dict[str, Path]:
    """Returns the output folders by type."""
    history = Store(Metadata(), Path("runs/toy"), "toy").executions()
    return {a.type: Path(a.uri) for e in reversed(history) for a in e.all_outputs() if not a.deleted}


def test_without_damage_it_counts_what_it_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = len(outputs())
    assert verify(capsys) == {"artifacts": count, "versions": 2, "problems": []}
    assert verify(capsys, "--serving") == {"artifacts": 0, "versions": 2, "problems": []}
    assert cli.main(["verify", "toy.yaml"]) == 0
    assert f"{count} outputs and 2 served versions" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["Examples", "Rejects", "Model", "ModelEvaluation", "ModelBlessing"])
def test_a_damaged_output_is_found_and_the_remedy_mends_it(
    folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = outputs()[kind]
    before = damaged.stat().st_mtime_ns
    flip(damaged)
    [problem] = verify(capsys)["problems"]
    assert problem["path"] == str(damaged)
    assert "is damaged: its files are not those that were recorded" in problem["problem"]
    assert verify(capsys, "--serving")["problems"] == []
    assert damaged.stat().st_mtime_ns == before
    node = damaged.parts[-3]
    assert problem["remedy"] == f"make it again: `bitext run CONFIG --force {node}`"
    assert cli.main(["verify", "toy.yaml"]) == 3
    assert f"`bitext run toy.yaml --force {node}`" in capsys.readouterr().out
    assert cli.main(["run", "toy.yaml", "--force", node]) == 0
    assert verify(capsys)["problems"] == []


def test_a_missing_output_is_found_and_one_that_gc_removed_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(outputs()["Model"])
    [problem] = verify(capsys)["problems"]
    assert problem["problem"] == "is missing"
    assert cli.main(["run", "toy.yaml", "--force", "Train"]) == 0
    assert cli.main(["gc", "toy.yaml", "--keep", "1"]) == 0
    assert verify(capsys)["problems"] == []


def test_a_damaged_output_of_an_earlier_run_is_not_made_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = outputs()["Rejects"]
    for rows in ("second\n", "third\n"):
        (folder / "rows.txt").write_text(rows)
        assert cli.main(["run", "toy.yaml"]) == 0
    flip(earlier)
    [problem] = verify(capsys)["problems"]
    assert problem["path"] == str(earlier)
    assert "gc CONFIG --keep 1" in problem["remedy"]
    assert cli.main(["gc", "toy.yaml", "--keep", "1"]) == 0
    assert verify(capsys)["problems"] == []


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("file", [SAVED_MODEL_FILE, str(ServedVersion.METADATA)])
def test_a_damaged_served_version_is_found(
    folder: Path, version: int, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "serving" / "toy" / str(version)
    (path / file).write_text("{")
    for arguments in ([], ["--serving"]):
        [problem] = verify(capsys, *arguments)["problems"]
        assert problem["path"] == str(path)
        assert ("as the next version" in problem["remedy"]) == (version == 2)


def test_a_served_version_whose_metadata_are_gone_is_found_by_its_card(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = Path("serving/toy/2")
    (version / ServedVersion.METADATA).rename(version / ServedVersion.CARD_JSON)
    [problem] = verify(capsys)["problems"]
    assert problem["problem"] == "is damaged: assets.extra/bitext.json cannot be read"


def test_a_served_version_without_a_model_is_found_and_another_program_s_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree("serving/toy/2/assets.extra")
    assert verify(capsys)["problems"] == []
    Path("serving/toy/2", SAVED_MODEL_FILE).unlink()
    [problem] = verify(capsys)["problems"]
    assert problem["problem"] == "is damaged: it has no SavedModel"


def test_a_damaged_page_of_the_metadata_file_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path("runs/toy/metadata.sqlite")
    with sqlite3.connect(file) as database:
        [(page,)] = database.execute("SELECT rootpage FROM sqlite_schema WHERE name LIKE 'idx_%' LIMIT 1")
        [(size,)] = database.execute("PRAGMA page_size")
    database.close()
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    file.write_bytes(bytes(content))
    capsys.readouterr()
    assert cli.main(["verify", "toy.yaml"]) == 3
    captured = capsys.readouterr()
    assert "metadata.sqlite" in captured.out + captured.err
    assert "restore a copy of the file" in captured.out + captured.err


def test_a_run_in_progress_and_a_pipeline_that_never_ran(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(Path("runs/toy")):
        assert cli.main(["verify", "toy.yaml"]) == 5
        assert verify(capsys, "--serving")["versions"] == 2
    shutil.rmtree("runs")
    assert verify(capsys) == {"artifacts": 0, "versions": 2, "problems": []}
    assert not Path("runs").exists()


def test_a_lost_id_is_found_and_not_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    id_file = Layout(Path("runs/toy")).id_file
    id_file.unlink()
    report = verify(capsys)
    assert [problem["path"] for problem in report["problems"]] == [str(id_file)]
    assert report["artifacts"] == len(outputs())
    assert not id_file.exists()
    assert cli.main(["run", "toy.yaml"]) == 0
    assert verify(capsys)["problems"] == []
