"""Damaged outputs are found before a node reads them, and made again; `bitext verify` finds all damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bitext.components.artifacts import TransformGraph
from bitext.components.component import Context
from bitext.components.shared.errors import DataError
from bitext.pipeline.integrity import DamagedInput, problem_of
from bitext.pipeline.layout import Layout
from bitext.pipeline.plan import WorkItem
from bitext.pipeline.publish import Publisher
from bitext.pipeline.records import Execution, State, StoredArtifact
from bitext.pipeline.runner import Selection
from tests.pipeline.fakes import Calls
from tests.pipeline.test_runner import newest_execution, open_store, run


def flip(folder: Path) -> None:
    """Changes one bit of the largest file below a folder."""
    path = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def truncate(folder: Path) -> None:
    path = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1])


def delete_file(folder: Path) -> None:
    max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size).unlink()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flip": flip,
    "truncate": truncate,
    "delete": delete_file,
    "remove": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_output_is_made_again_before_it_is_read(
    folder: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder)
    expected = newest_execution(folder, "Train").outputs["model"][0]
    DAMAGES[damage](Path(expected.uri))
    result = run(folder, bless=False)  # Evaluate and Push run, and read the model
    assert Calls.nodes == ["Train", "Evaluate", "Push"]
    new = result.executions["Train"].outputs["model"][0]
    assert (new.digest, new.uri != expected.uri) == (expected.digest, True)
    if damage != "remove":  # otherwise, the cache missed it
        assert "is damaged: its files are not those that were recorded; moved to" in capsys.readouterr().out
        [aside] = (folder / "root" / ".damaged").glob("*/Train/model/*")
        assert aside.name == Path(expected.uri).name
    assert [e.state for e in result.executions.values()] == [State.CACHED] + [State.COMPLETE] * 3
    run(folder, bless=False)
    assert Calls.nodes == []


def test_damage_of_an_input_of_the_node_that_makes_it_again_is_found_too(folder: Path) -> None:
    run(folder)
    for node, key in (("Train", "model"), ("Source", "examples")):
        flip(
            Path(newest_execution(folder, node).outputs[key][0].uri)
            / ("" if key == "model" else "Split-train")
        )
    run(folder, bless=False)
    assert Calls.nodes == ["Source", "Train", "Evaluate", "Push"]


def test_only_the_splits_that_a_node_reads_are_compared(folder: Path) -> None:
    (folder / "rows.txt").write_text("a\ntest b\n", encoding="utf-8")
    run(folder)
    flip(Path(newest_execution(folder, "Source").outputs["examples"][0].uri) / "Split-test")
    run(folder, steps=2)  # Train reads the train split only
    assert Calls.nodes == ["Train", "Evaluate", "Push"]


def test_nodes_that_ran_before_the_damage_was_found_do_not_run_twice(folder: Path) -> None:
    run(folder)

    def damage_source(context: Context) -> None:
        flip(Path(newest_execution(folder, "Train").outputs["model"][0].uri))

    Calls.hooks["Evaluate"] = damage_source  # after Train, before Push
    run(folder, Selection(force=frozenset({"Train"})), steps=2)
    assert Calls.nodes == ["Train", "Evaluate", "Train", "Push"]


def test_damage_that_this_run_cannot_mend_is_an_error_with_a_remedy(folder: Path) -> None:
    run(folder)
    model = newest_execution(folder, "Train").outputs["model"][0]
    flip(Path(model.uri))
    with pytest.raises(DamagedInput, match=f"Model {model.uri} is damaged") as caught:
        run(folder, Selection(first="Evaluate", force=frozenset({"Evaluate"})))
    assert "--force Train" in caught.value.remedy
    assert isinstance(caught.value, DataError)
    assert Calls.nodes == []
    assert Path(model.uri).is_dir()


def test_a_damaged_baseline_of_an_earlier_run_is_an_error(folder: Path) -> None:
    run(folder)
    model = newest_execution(folder, "Train").outputs["model"][0]
    flip(Path(model.uri))
    with pytest.raises(DamagedInput, match=model.uri):
        run(folder, steps=2)
    assert Calls.nodes == ["Train"]


def test_a_node_whose_new_output_is_damaged_again_is_not_made_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute_and_damage(publisher: Publisher, item: WorkItem) -> Execution:
        execution = original(publisher, item)
        if execution.node == "Train":
            flip(Path(execution.outputs["model"][0].uri))
        return execution

    original = Publisher.execute_and_publish
    monkeypatch.setattr(Publisher, "execute_and_publish", execute_and_damage)
    with pytest.raises(DamagedInput):
        run(folder)
    assert Calls.nodes == ["Source", "Train", "Train"]


def test_without_verification_nothing_is_compared(folder: Path) -> None:
    from bitext.pipeline.runner import Runner
    from bitext.pipeline.terminal import Terminal
    from tests.pipeline import fakes

    run(folder)
    flip(Path(newest_execution(folder, "Train").outputs["model"][0].uri))
    Calls.nodes.clear()
    pipeline = fakes.pipeline(folder, bless=False)
    store = open_store(folder)
    Runner(
        pipeline, Layout(folder / "root"), lambda: store, fakes.no_beam, Terminal(), verify_inputs=False
    ).run()
    assert Calls.nodes == ["Evaluate", "Push"]


@pytest.mark.parametrize("with_files_digest", [True, False])
def test_a_kind_whose_digest_leaves_files_out(tmp_path: Path, with_files_digest: bool) -> None:
    """Without the digest of all files, as 0.2.0 recorded it, only the files that its digest covers count."""
    graph = TransformGraph(tmp_path / "graph")
    (graph.graph / "assets").mkdir(parents=True)
    (graph.graph / "saved_model.pb").write_bytes(b"graph")
    (graph.assets / "vocabulary").write_bytes(b"words")
    files_digest = graph.files_digest() if with_files_digest else ""
    stored = StoredArtifact(
        "TransformGraph", str(graph.path), graph.content_digest(), files_digest=files_digest
    )
    assert problem_of(stored) == ""
    (graph.graph / "saved_model.pb").write_bytes(b"other")
    assert bool(problem_of(stored)) == with_files_digest
    (graph.assets / "vocabulary").write_bytes(b"other")
    assert problem_of(stored)
