"""The runner: which nodes run or are cached, and that an incomplete output is never visible."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitext.components.component import Context
from bitext.components.shared.errors import (
    BitextError,
    ConfigError,
    DataError,
    EnvironmentFault,
    LockedError,
)
from bitext.pipeline import live, publish
from bitext.pipeline.beam import pipeline_factory
from bitext.pipeline.config import Metadata
from bitext.pipeline.layout import Layout
from bitext.pipeline.lock import locked
from bitext.pipeline.records import Execution, Run, State
from bitext.pipeline.reports.refusal import refusal
from bitext.pipeline.runner import Result, Runner, Selection
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls, raising

NODES = list(fakes.NODES)


def open_store(folder: Path) -> Store:
    return Store(Metadata(), folder / "root", "toy")


def create_runner(folder: Path, **options: Any) -> Runner:
    return Runner(
        fakes.pipeline(folder, **options),
        Layout(folder / "root"),
        lambda: open_store(folder),
        fakes.no_beam,
        Terminal(),
    )


def run(folder: Path, selection: Selection | None = None, **options: Any) -> Result:
    """Runs the pipeline. `Calls.nodes` has the nodes that ran in this call only."""
    Calls.nodes.clear()
    return create_runner(folder, **options).run(selection or Selection())


def newest_execution(folder: Path, node: str) -> Execution:
    return next(e for e in open_store(folder).executions() if e.node == node)


def published_outputs(folder: Path) -> set[str]:
    """Returns the folders of all published outputs, relative to the pipeline root."""
    root = folder / "root"
    return {p.relative_to(root).as_posix() for node in NODES for p in (root / node).glob("*/*")}


def test_a_first_run_runs_every_node_and_a_second_run_none(folder: Path) -> None:
    first = run(folder)
    assert Calls.nodes == NODES
    assert all(e.state == State.COMPLETE for e in first.executions.values())
    second = run(folder)
    assert Calls.nodes == []
    assert all(e.state == State.CACHED for e in second.executions.values())
    uris = [{a.uri for e in r.executions.values() for a in e.all_outputs()} for r in (first, second)]
    assert uris[0] == uris[1]


def test_folders_are_laid_out_as_tfx_does(folder: Path) -> None:
    result = run(folder)
    number = result.executions["Source"].id
    assert (folder / "root" / "Source" / "examples" / str(number) / "Split-train" / "data").is_file()
    assert (folder / "root" / "logs" / f"{result.run.run_id}.log").is_file()
    assert not (folder / "root" / ".staging").exists()
    assert not (folder / "root" / ".working").exists()


def test_checkpoints_of_an_attempt_stay_and_empty_folders_are_removed(folder: Path) -> None:
    Calls.hooks["Train"] = raising(ValueError("bad luck"))
    with pytest.raises(ValueError, match="bad luck"):
        run(folder)
    Calls.hooks.clear()
    working = folder / "root" / ".working"
    checkpoints = list(working.glob("Train/*/checkpoint"))
    (working / "Evaluate" / "key").mkdir(parents=True)  # an attempt without a checkpoint
    run(folder, steps=2)
    assert list(working.rglob("*")) == [checkpoints[0].parent.parent, checkpoints[0].parent, checkpoints[0]]
    run(folder)
    assert not working.exists()


def test_a_moved_root_finds_its_artifacts(folder: Path) -> None:
    run(folder)
    root_id = (folder / "root" / ".id").read_text(encoding="ascii")
    killed = Run("killed", "toy", str(folder / "root"), State.RUNNING, 1.0, root_id=root_id)
    open_store(folder).put_run(killed)
    (folder / "moved").mkdir()
    (folder / "root").rename(folder / "moved" / "root")
    Calls.nodes.clear()
    store = open_store(folder / "moved")
    result = Runner(
        fakes.pipeline(folder), Layout(folder / "moved" / "root"), lambda: store, fakes.no_beam, Terminal()
    ).run()
    assert Calls.nodes == []
    assert {e.state for e in result.executions.values()} == {State.CACHED}
    assert all(
        Path(a.uri).is_relative_to(folder / "moved") for e in store.executions() for a in e.all_outputs()
    )
    assert [r.state for r in store.runs() if r.run_id == "killed"] == [State.CANCELED]


@pytest.mark.parametrize("node", ["Train", "Source"])
def test_a_killed_run_took_as_long_as_it_moved(folder: Path, node: str) -> None:
    run(folder)
    root, store = folder / "root", open_store(folder)
    root_id = (root / ".id").read_text(encoding="ascii")
    killed = Run("killed", "toy", str(root), State.RUNNING, 1.0, root_id=root_id)
    store.put_run(killed)
    store.put_execution(Execution("Train", "killed", State.RUNNING, 5.0), killed)
    work = live.Live(run="killed", node=node, node_started=5.0, moved=9.0, node_seconds=4.0, run_seconds=8.0)
    Layout(root).progress.write_bytes(msgspec.json.encode(work))
    run(folder)
    [ended] = [r for r in store.runs() if r.run_id == "killed"]
    assert (ended.state, ended.known_seconds, ended.finished) == (State.CANCELED, 8.0, 9.0)
    [execution] = [e for e in store.executions() if e.run_id == "killed"]
    assert execution.known_seconds == (4.0 if node == "Train" else None)


def test_properties_and_digests_are_recorded(folder: Path) -> None:
    model = run(folder).artifact("Model")
    stored = newest_execution(folder, "Train").outputs["model"][0]
    assert model is not None
    assert stored.properties == {"attempts": 1}
    assert len(stored.digest) == 64
    assert stored.digest == model.digest == newest_execution(folder, "Evaluate").inputs["model"][0].digest


def test_a_changed_parameter_reruns_its_node_and_the_nodes_after_it(folder: Path) -> None:
    run(folder)
    run(folder, steps=2)
    assert Calls.nodes == ["Train", "Evaluate", "Push"]
    run(folder, steps=1)
    assert Calls.nodes == ["Evaluate"]  # the baseline is another model now


def test_an_uncached_parameter_reruns_nothing(folder: Path) -> None:
    run(folder)
    run(folder, chatter=7)
    assert Calls.nodes == []


def test_the_cache_key_depends_on_content_and_not_on_modification_times(folder: Path) -> None:
    run(folder)
    rows = folder / "rows.txt"
    os.utime(rows, (1, 1))
    run(folder)
    assert Calls.nodes == []
    stamp = rows.stat().st_mtime
    rows.write_text("a\tc\n", encoding="utf-8")
    os.utime(rows, (stamp, stamp))
    run(folder)
    assert Calls.nodes == NODES


def test_a_forced_node_with_equal_outputs_leaves_the_later_nodes_cached(folder: Path) -> None:
    run(folder)
    run(folder, Selection(force=frozenset({"Source"})))
    assert Calls.nodes == ["Source"]


def test_a_node_runs_again_only_if_a_split_that_it_reads_has_changed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder)
    rows = folder / "rows.txt"
    rows.write_text("a\tb\ntest\tc\n", encoding="utf-8")
    run(folder)
    assert Calls.nodes == ["Source"]
    rows.write_text("a\tb\nd\te\n", encoding="utf-8")
    capsys.readouterr()
    run(folder, Selection(explain=True))
    assert Calls.nodes[:2] == ["Source", "Train"]
    assert explanation(capsys, "Train")[0] == "because input examples/train: content changed"


def test_reading_an_undeclared_split_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes.Train, "input_splits", {"examples": ("test",)})
    with pytest.raises(ValueError, match="split train is not among those declared as read"):
        run(folder)


def test_a_node_with_deleted_outputs_runs_again(folder: Path) -> None:
    model = run(folder).artifact("Model")
    assert model is not None
    subprocess.run(["rm", "-r", model.uri], check=True)
    run(folder)
    assert Calls.nodes == ["Train"]


def test_a_complete_execution_without_an_output_runs_again(folder: Path) -> None:
    run(folder)
    store = open_store(folder)
    [train] = [e for e in store.executions() if e.node == "Train"]
    with sqlite3.connect(folder / "root" / "metadata.sqlite") as database:
        database.execute("DELETE FROM Artifact WHERE id = ?", (train.outputs["model"][0].id,))
    database.close()
    run(folder)
    assert Calls.nodes == ["Train"]


def test_a_removed_version_is_pushed_again(folder: Path) -> None:
    run(folder)
    (folder / "serving" / "toy" / "1").rmdir()
    run(folder)
    assert Calls.nodes == ["Push"]
    assert (folder / "serving" / "toy" / "1").is_dir()


def test_the_baseline_is_the_newest_blessed_other_model(folder: Path) -> None:
    run(folder, steps=1)
    run(folder, steps=2, bless=False)
    run(folder, steps=3)
    run(folder, steps=4)
    assert Calls.baselines == [None, "1 a\tb\n", "1 a\tb\n", "3 a\tb\n"]


def test_a_run_with_from_uses_outputs_of_the_earlier_run(folder: Path) -> None:
    first = run(folder)
    (folder / "rows.txt").unlink()
    result = run(folder, Selection(first="Train", force=frozenset({"Train"})), steps=5)
    assert Calls.nodes == ["Train", "Evaluate", "Push"]
    assert result.executions["Source"].outputs == first.executions["Source"].outputs


def test_a_first_run_with_from_is_an_error_that_names_the_node(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no earlier run's outputs") as caught:
        run(folder, Selection(first="Train"))
    assert "--from Source" in caught.value.remedy


def test_a_run_with_to_ends_after_the_given_node(folder: Path) -> None:
    result = run(folder, Selection(last="Train"))
    assert Calls.nodes == ["Source", "Train"] == list(result.executions)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(first="Trian"), "--from Trian: there is no such node"),
        (Selection(force=frozenset({"X"})), "--force X: there is no such node"),
        (Selection(first="Push", last="Source"), "comes after"),
        (Selection(last="Train", force=frozenset({"Push"})), "outside"),
    ],
)
def test_an_impossible_selection_is_an_error(folder: Path, selection: Selection, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(folder, selection)
    assert not (folder / "root").exists()


def explanation(capsys: pytest.CaptureFixture[str], node: str) -> list[str]:
    """Returns the lines that the run printed below the name of a node."""
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == [node]) + 1
    indented = []
    for line in lines[start:]:
        if not line.startswith(" "):
            break
        indented.append(line.strip())
    return indented


def test_explain_cache_says_why_each_node_runs_or_does_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explain = Selection(explain=True)
    first = run(folder, explain)
    assert explanation(capsys, "Train")[0] == "because it has never completed before"
    run(folder, explain, steps=2)
    output = capsys.readouterr().out
    assert f"because nothing changed since run {first.run.run_id}" in output
    assert "because parameter steps: 1 -> 2" in output
    assert "because input model: content changed" in output
    assert "because input baseline: new" in output
    (folder / "rows.txt").write_text("other\n", encoding="utf-8")
    run(folder, explain)
    changed = f"because file {folder / 'rows.txt'}: content changed"
    assert [line for line in explanation(capsys, "Source") if line.startswith("because")] == [changed]
    run(folder, Selection(explain=True, force=frozenset({"Push"})))
    assert explanation(capsys, "Push")[0] == "because --force names it"


def test_a_failure_is_recorded_with_its_traceback_and_earlier_outputs_stay(folder: Path) -> None:
    Calls.hooks["Train"] = raising(ValueError("bad luck"))
    runner = create_runner(folder)
    with pytest.raises(ValueError, match="bad luck"):
        runner.run()
    execution = newest_execution(folder, "Train")
    assert (execution.state, execution.error) == (State.FAILED, "ValueError: bad luck")
    assert "fakes.py" in execution.traceback
    assert "bad luck" in execution.traceback
    assert "fakes.py" in runner.log_file.read_text(encoding="utf-8")
    assert [r.state for r in open_store(folder).runs()] == [State.FAILED]
    assert {p.split("/")[1] for p in published_outputs(folder)} == {"examples", "rejects"}
    Calls.hooks.clear()
    result = run(folder)
    assert Calls.nodes == ["Train", "Evaluate", "Push"]
    model = result.artifact("Model")
    assert model is not None
    assert model.properties["attempts"] == 2  # the working folder outlived the failed attempt


def test_an_interruption_is_recorded_as_canceled(folder: Path) -> None:
    Calls.hooks["Train"] = raising(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    assert newest_execution(folder, "Train").state == State.CANCELED
    assert open_store(folder).runs()[0].state == State.CANCELED


BEAM_ERROR = RuntimeError("OSError: [Errno 28] No space left on device: '/big/file' [while running 'Write']")
"""An error of a Beam function, which Beam reports as text only."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/big/file"), "/big/file: No space left on device"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/ro/file"), "/ro/file: Read-only file system"),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG), "/big/file"), "/big/file: File too large"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/no/file"), "/no/file: Permission denied"),
        (BEAM_ERROR, "/big/file: No space left on device"),
    ],
)
def test_a_fault_of_the_environment_is_reported_with_its_path(
    folder: Path, error: BaseException, message: str
) -> None:
    Calls.hooks["Train"] = raising(error)
    with pytest.raises(EnvironmentFault) as caught:
        run(folder)
    assert str(caught.value) == message
    assert caught.value.remedy
    assert newest_execution(folder, "Train").state == State.FAILED
    assert newest_execution(folder, "Source").state == State.COMPLETE


@pytest.mark.parametrize("lifecycle", ["setup", "process"])
def test_an_error_of_a_beam_function_is_reported_without_beams_wrapping(folder: Path, lifecycle: str) -> None:
    import apache_beam as beam

    def refuse(*_: object) -> None:
        raise DataError("the file\nand its line", "the remedy")

    class Refuser(beam.DoFn):
        def process(self, element: int) -> None:
            """Does nothing in `process`; the test replaces one method."""

    setattr(Refuser, lifecycle, refuse)

    def inside(context: Context) -> None:
        with pipeline_factory()() as pipeline:
            _ = pipeline | beam.Create([1]) | beam.ParDo(Refuser())

    Calls.hooks["Train"] = inside
    with pytest.raises(DataError) as caught:
        run(folder)
    assert (str(caught.value), caught.value.remedy) == ("the file\nand its line", "the remedy")
    execution = newest_execution(folder, "Train")
    assert execution.error == "the file and its line"
    assert "while running" in execution.traceback


def test_the_root_cannot_be_a_file(folder: Path) -> None:
    (folder / "root").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not a folder"):
        run(folder)


def test_a_damaged_metadata_store_is_a_data_error(folder: Path) -> None:
    (folder / "root").mkdir()
    (folder / "root" / "metadata.sqlite").write_text("not a database, surely " * 100, encoding="utf-8")
    with pytest.raises(DataError, match=r"metadata\.sqlite"):
        run(folder)


KILLED = """
import os, sys
from pathlib import Path
from tests.pipeline import fakes
from bitext.pipeline.store import Store
from tests.pipeline.test_runner import create_runner
where = sys.argv[2]
if where == "inside":
    fakes.Calls.hooks["Train"] = lambda context: os._exit(9)
else:
    put = Store.put_execution
    def put_or_die(self, execution, run):
        if execution.node == "Train" and execution.outputs:
            os._exit(9)
        put(self, execution, run)
    Store.put_execution = put_or_die
create_runner(Path(sys.argv[1])).run()
"""


@pytest.mark.parametrize("where", ["inside", "between rename and transaction"])
def test_the_next_run_deletes_the_incomplete_output_of_a_killed_run(folder: Path, where: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), where], check=False)
    assert killed.returncode == 9
    dead = newest_execution(folder, "Train")
    assert dead.state == State.RUNNING
    orphan = f"Train/model/{dead.id}"
    assert (orphan in published_outputs(folder)) == (where != "inside")
    result = run(folder)
    assert Calls.nodes == ["Train", "Evaluate", "Push"]
    assert orphan not in published_outputs(folder)
    assert {e.state for e in open_store(folder).executions() if e.id == dead.id} == {State.CANCELED}
    assert [r.state for r in open_store(folder).runs()] == [State.COMPLETE, State.CANCELED]
    assert list((folder / "root").glob(".staging/*")) == []
    model = result.artifact("Model")
    assert model is not None
    assert model.properties["attempts"] == 2


def is_train_complete(folder: Path) -> bool:
    """Whether the execution of Train is complete and its model exists."""
    record = newest_execution(folder, "Train")
    return record.state == State.COMPLETE and Path(record.outputs["model"][0].uri).is_dir()


@pytest.mark.parametrize("error", [OSError(errno.EBUSY, "busy"), KeyboardInterrupt()])
def test_a_failing_clean_up_leaves_the_execution_complete(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    remove = shutil.rmtree

    def fail_in_working_folder(path: Path) -> None:
        if ".working/Train" in str(path):
            raise error
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", fail_in_working_folder)
    if isinstance(error, OSError):
        run(folder)
        assert Calls.nodes == NODES
    else:
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    assert is_train_complete(folder)
    monkeypatch.undo()
    run(folder)
    assert "Train" not in Calls.nodes
    assert not (folder / "root" / ".working").exists()


def test_an_interrupt_just_after_the_transaction_leaves_the_execution_complete(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Store.put_execution

    def put_and_interrupt(self: Store, execution: Execution, run: Run) -> None:
        put(self, execution, run)
        if execution.node == "Train" and execution.state == State.COMPLETE:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "put_execution", put_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    assert is_train_complete(folder)
    assert open_store(folder).runs()[0].state == State.CANCELED
    run(folder)
    assert Calls.nodes == ["Evaluate", "Push"]


def run_with_store(folder: Path, store: Store) -> None:
    Calls.nodes.clear()
    Runner(fakes.pipeline(folder), Layout(folder / "root"), lambda: store, fakes.no_beam, Terminal()).run()


@pytest.mark.parametrize(("node", "in_this_root"), [("Source", True), ("Train", False)])
def test_a_new_store_moves_outputs_of_another_store_aside(
    folder: Path, node: str, in_this_root: bool
) -> None:
    """An id that two stores share belongs to different executions: of another node, or in another root."""
    run(folder)
    weights = (folder / "root" / "Train" / "model" / "2" / "weights").read_text(encoding="utf-8")
    settings = Metadata(sqlite=str(folder / "elsewhere.sqlite"))
    other = Store(settings, folder / "root", "toy")
    root_id = (folder / "root" / ".id").read_text(encoding="ascii") if in_this_root else "another"
    ended = Run("ended", "toy", str(folder / "root"), State.FAILED, 1.0, root_id=root_id)
    other.put_run(ended)
    for _ in range(2):
        other.put_execution(Execution(node, ended.run_id, State.FAILED, 1.0), ended)
    run_with_store(folder, other)
    assert Calls.nodes == NODES
    aside = (folder / "root" / ".unrecorded").glob("*/Train/model/2/weights")
    assert [p.read_text(encoding="utf-8") for p in aside] == [weights]


def test_two_pipelines_in_one_root_keep_each_others_outputs(folder: Path) -> None:
    run(folder)
    run_with_store(folder, Store(Metadata(), folder / "root", "namesake"))
    run(folder)
    assert Calls.nodes == []


def test_the_history_is_read_once_per_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(folder)
    reads = []
    executions = Store.executions
    monkeypatch.setattr(Store, "executions", lambda self: reads.append(self) or executions(self))
    run(folder, steps=2)
    assert len(reads) == 1


def test_outputs_without_a_record_are_moved_aside(folder: Path) -> None:
    run(folder)
    (folder / "root" / "metadata.sqlite").unlink()
    result = run(folder)
    assert Calls.nodes == NODES
    aside = folder / "root" / ".unrecorded" / result.run.run_id
    assert [p.read_text(encoding="utf-8") for p in aside.glob("Train/model/*/weights")] == ["1 a\tb\n"]


def test_two_runs_at_once_in_one_root_are_an_error(folder: Path) -> None:
    with locked(folder / "root"), pytest.raises(LockedError, match=f"process {os.getpid()} on "):
        run(folder)
    run(folder)
    assert Calls.nodes == NODES


def test_the_lock_of_a_dead_process_is_free(folder: Path) -> None:
    code = "import os, sys; from pathlib import Path; from bitext.pipeline.lock import locked\n"
    code += "with locked(Path(sys.argv[1])): os._exit(0)"
    subprocess.run([sys.executable, "-c", code, str(folder / "root")], check=True)
    assert json.loads((folder / "root" / ".lock").read_text(encoding="utf-8"))["pid"] != os.getpid()
    run(folder)
    assert Calls.nodes == NODES


def test_a_run_with_a_refused_model_is_complete_and_has_the_reasons(folder: Path) -> None:
    for _ in range(2):  # the second refusal is taken from the cache
        result = run(folder, bless=False)
        assert list(result.executions) == NODES
        assert result.run.state == State.COMPLETE
        refused = refusal(result)
        assert refused is not None
        assert refused.message == "the model was not blessed: BLEU 31.25 is under 40"
        assert refused.remedy.startswith("nothing was pushed;")
    assert refusal(run(folder, steps=2)) is None


def test_a_missing_source_file_is_named(folder: Path) -> None:
    (folder / "rows.txt").unlink()
    with pytest.raises(BitextError, match=r"rows\.txt: there is no such file") as caught:
        run(folder)
    assert caught.value.exit_code == 3


def test_a_missing_file_of_a_later_node_is_reported_before_the_first_node_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes.Train, "external_inputs", lambda self, parameters: ["none.npz"])
    with pytest.raises(DataError, match=r"Train: none\.npz: there is no such file"):
        run(folder)
    assert Calls.nodes == []


def test_lines_of_a_node_are_indented_below_its_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("Source") + 1] == "    1 rows"
    run(folder)
    assert "Source            cached" in capsys.readouterr().out


def test_the_record_of_an_error_is_one_line_that_ends_in_text() -> None:
    assert publish.one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert publish.one_line(ValueError("a\nb")) == "ValueError: a b"
    assert publish.one_line(DataError("a  b")) == "a b"
