"""A copy of a pipeline root is a pipeline of its own; roots do not push in turns to one serving folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from bitext.components.artifacts.base import SAVED_MODEL_FILE
from bitext.components.artifacts.pushed import ServedVersion, VersionMetadata
from bitext.components.pusher.serving import versions
from bitext.pipeline import cli, graph, identity
from bitext.pipeline.config import Metadata
from bitext.pipeline.identity import claim, place
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import State
from bitext.pipeline.store import Store
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls


@pytest.fixture
def checkout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which `bitext run toy.yaml` was run once."""
    monkeypatch.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(Path()))
    first = folder / "first"
    first.mkdir()
    for name in ("toy.yaml", "rows.txt"):
        shutil.copy(folder / name, first)
    monkeypatch.chdir(first)
    assert cli.main(["run", "toy.yaml"]) == 0
    return first


def root_ids(checkout: Path) -> set[str]:
    """Returns the ids of the roots of all runs on record."""
    return {run.root_id for run in Store(Metadata(), checkout / "runs" / "toy", "toy").runs()}


def test_a_copy_pushes_to_its_own_serving_folder_and_says_that_it_is_a_copy(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = checkout.with_name("copy")
    shutil.copytree(checkout, copy)
    shutil.rmtree(copy / "serving")
    monkeypatch.chdir(copy)
    Calls.nodes.clear()
    assert cli.main(["run", "toy.yaml", "--log-format", "json"]) == 0
    assert Calls.nodes == ["Push"]
    output = capsys.readouterr().out
    assert f"is a copy of {checkout / 'runs' / 'toy'}, which is still there" in output
    assert json.loads(output.splitlines()[-1])["pushed_path"] == str(copy / "serving" / "toy" / "1")
    assert (copy / "serving" / "toy" / "1").is_dir()
    assert cli.main(["status", "toy.yaml", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pushed"]["path"] == str(copy / "serving" / "toy" / "1")
    assert str(checkout) not in json.dumps([run["nodes"] for run in report["runs"]])
    Calls.nodes.clear()
    assert cli.main(["run", "toy.yaml"]) == 0
    assert Calls.nodes == []
    assert "is a copy" not in capsys.readouterr().out
    assert root_ids(copy).isdisjoint(root_ids(checkout))
    assert not list((copy / "runs" / "toy").glob(".unrecorded"))


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_a_root_whose_id_is_lost_keeps_its_cache(checkout: Path, content: bytes | None) -> None:
    id_file = Layout(Path("runs/toy")).id_file
    before = root_ids(checkout)
    id_file.unlink()
    if content is not None:
        id_file.write_bytes(content)
    Calls.nodes.clear()
    assert cli.main(["run", "toy.yaml"]) == 0
    assert Calls.nodes == []
    assert root_ids(checkout) == before


def test_status_of_a_copy_does_not_show_the_model_of_the_original(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = checkout.with_name("copy")
    shutil.copytree(checkout / "runs", copy / "runs")
    shutil.copy(checkout / "toy.yaml", copy)
    monkeypatch.chdir(copy)
    capsys.readouterr()
    assert cli.main(["status", "toy.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pushed"] is None


def test_a_moved_or_linked_root_is_no_copy(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = root_ids(checkout)
    linked = checkout.with_name("linked")
    linked.symlink_to(checkout)
    monkeypatch.chdir(linked)
    assert cli.main(["run", "toy.yaml"]) == 0
    moved = checkout.with_name("moved")
    checkout.rename(moved)
    monkeypatch.chdir(moved)
    assert cli.main(["run", "toy.yaml"]) == 0
    assert "is a copy" not in capsys.readouterr().out
    assert root_ids(moved) == before


def test_a_copy_on_another_host_is_a_pipeline_of_its_own(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = root_ids(checkout)
    copy = checkout.with_name("copy")
    shutil.copytree(checkout, copy)
    shutil.rmtree(checkout)  # another host does not see it
    monkeypatch.chdir(copy)
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "other")
        Calls.nodes.clear()
        assert cli.main(["run", "toy.yaml"]) == 0
        output = capsys.readouterr().out
        assert f":{checkout / 'runs' / 'toy'}, or was moved from there: from now on" in output
        assert Calls.nodes == []  # its records were copied with it
        assert before.isdisjoint(root_ids(copy))
        assert cli.main(["run", "toy.yaml"]) == 0
        assert "is a copy" not in capsys.readouterr().out


@pytest.mark.parametrize("change", ["mounted", "inodes are made up", "owner was changed"])
def test_a_root_that_is_mounted_on_another_host_is_the_same(
    checkout: Path, change: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = root_ids(checkout)
    moved = checkout.with_name("mounted")
    checkout.rename(moved)
    monkeypatch.chdir(moved)
    id_file = Layout(Path("runs/toy")).id_file
    if change == "inodes are made up":
        inode, changed = identity.id_file_stamp(Layout(Path("runs/toy"))).split()
        monkeypatch.setattr(identity, "id_file_stamp", lambda _: f"{inode}9 {changed}")
    elif change == "owner was changed":
        shutil.chown(id_file, os.getuid())
    monkeypatch.setattr("socket.gethostname", lambda: "other")
    assert cli.main(["run", "toy.yaml"]) == 0
    assert "is a copy" not in capsys.readouterr().out
    assert root_ids(moved) == before


@pytest.mark.parametrize("interrupted_before", ["change_root_id", "replace"])
def test_a_claim_that_was_killed_is_continued(
    checkout: Path, interrupted_before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = checkout.with_name("copy")
    shutil.copytree(checkout, copy)
    layout = Layout(copy / "runs" / "toy")
    store = Store(Metadata(), layout.root, "toy")
    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(
            Store if interrupted_before == "change_root_id" else Path,
            interrupted_before,
            lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            claim(layout, store, said.append)
    new = claim(layout, store, said.append)
    assert len(said) == 1
    assert claim(layout, store, said.append) == new == layout.read_id()
    assert root_ids(copy) == {new}
    assert not layout.new_id_file.exists()


def push_from(root_id: str | None, version: int, pushed_from: str = "there:/runs/toy") -> None:
    """Pushes a version from another root."""
    folder = Path("serving") / "toy" / str(version)
    (folder / "assets.extra").mkdir(parents=True)
    (folder / SAVED_MODEL_FILE).write_bytes(b"x")
    inode = folder.parent.stat().st_ino
    metadata = VersionMetadata(
        "sha256:0", pipeline="toy", root_id=root_id, place=pushed_from, folder_inode=inode
    )
    (folder / ServedVersion.METADATA).write_bytes(metadata.encode())


def test_a_serving_folder_that_another_root_took_over_is_refused(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push_from("another root", 2)
    Calls.nodes.clear()
    assert cli.main(["run", "toy.yaml"]) == 2
    error = capsys.readouterr().err
    assert "version 2, was pushed by another root of the pipeline 'toy', there:/runs/toy" in error
    assert "--set pusher.take_over=true" in error
    assert Calls.nodes == []
    assert cli.main(["run", "toy.yaml", "--to", "Evaluate"]) == 0  # it pushes nothing
    assert versions(Path("serving/toy")) in ([1, 2], [2, 1])
    assert cli.main(["run", "toy.yaml", "--set", "pusher.take_over=true"]) == 0


def test_a_copy_of_a_checkout_with_its_serving_folder_is_not_refused(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_from(Layout(Path("runs/toy")).read_id(), 2)
    assert cli.main(["run", "toy.yaml"]) == 0
    copy = checkout.with_name("copy")
    shutil.copytree(checkout, copy)
    monkeypatch.chdir(copy)
    assert cli.main(["run", "toy.yaml"]) == 0


def test_a_copy_of_a_root_that_pushes_to_the_folder_of_the_original_is_refused(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    push_from(Layout(Path("runs/toy")).read_id(), 2, place(Layout(Path("runs/toy"))))
    copy = checkout.with_name("copy")
    shutil.copytree(checkout / "runs", copy / "runs")
    for name in ("toy.yaml", "rows.txt"):
        shutil.copy(name, copy)
    (copy / "serving").symlink_to(checkout / "serving")
    monkeypatch.chdir(copy)
    assert cli.main(["run", "toy.yaml"]) == 2
    assert str(checkout / "runs" / "toy") in capsys.readouterr().err


@pytest.mark.parametrize("root_id", [None, "an earlier root"])
def test_a_new_root_may_push_to_the_folder_of_its_name(checkout: Path, root_id: str | None) -> None:
    push_from(root_id, 2)
    shutil.rmtree("runs")
    assert cli.main(["run", "toy.yaml"]) == 0


def test_the_runs_of_the_original_that_were_in_progress_end_in_the_copy(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(Metadata(), checkout / "runs" / "toy", "toy")
    [run] = store.runs()
    run.id, run.run_id, run.state = None, "in progress", State.RUNNING
    store.put_run(run)
    copy = checkout.with_name("copy")
    shutil.copytree(checkout, copy)
    monkeypatch.chdir(copy)
    assert cli.main(["run", "toy.yaml"]) == 0
    states = {r.run_id: r.state for r in Store(Metadata(), copy / "runs" / "toy", "toy").runs()}
    assert states["in progress"] == State.CANCELED
    assert next(r.state for r in store.runs()) == State.RUNNING
