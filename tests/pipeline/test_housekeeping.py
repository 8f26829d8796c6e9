"""`bitext gc` keeps the outputs of recent runs and of the served model; `bitext lineage` traces a version."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bitext.components.artifacts import ModelRun
from bitext.components.component import Context
from bitext.components.example_gen import Parameters as ExampleGenParameters
from bitext.components.shared.errors import ConfigError, DataError, LockedError
from bitext.pipeline import housekeeping
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.lock import locked
from bitext.pipeline.records import Run, State, StoredArtifact, artifacts_by_id, newest_usable
from bitext.pipeline.reports import lineage
from bitext.pipeline.rollback import roll_back
from bitext.pipeline.store import Store
from tests.pipeline.fakes import NODES, Calls, raising
from tests.pipeline.kill_at_every_step import KILLED_CODE, die_at, exit_code_of_fork
from tests.pipeline.test_runner import open_store, published_outputs, run


def config_of(folder: Path) -> PipelineConfig:
    return PipelineConfig(
        name="toy",
        root=str(folder / "root"),
        serving=str(folder / "serving" / "toy"),
        example_gen=ExampleGenParameters(files=("a.tsv",)),
    )


def existing_outputs(store: Store) -> set[str]:
    """Returns the recorded outputs whose folders exist."""
    return {a.uri for e in store.executions() for a in e.all_outputs() if Path(a.uri).is_dir()}


def records_of(store: Store) -> list[StoredArtifact]:
    """Returns the artifacts on record."""
    return list(artifacts_by_id(store.executions()).values())


def is_gone_but_live(artifact: StoredArtifact) -> bool:
    """Whether the folder of an artifact is removed, and its record does not say so."""
    return not artifact.exists and not artifact.deleted


class TestGc:
    def test_outputs_of_old_runs_are_removed_and_the_next_run_is_cached(self, folder: Path) -> None:
        for steps in range(1, 7):
            run(folder, steps=steps)
        before = published_outputs(folder)
        collected = housekeeping.collect(config_of(folder), keep=2)
        after = published_outputs(folder)
        assert before - after == {str(p.relative_to(folder / "root")) for p in collected.artifacts}
        assert len(after) == collected.remaining
        assert {p.name for p in (folder / "root" / "Train" / "model").iterdir()} == {
            e.outputs["model"][0].uri.rpartition("/")[2]
            for e in open_store(folder).executions()
            if e.node == "Train" and json.loads(e.cache_key_parts)["parameter"]["steps"] >= 4
        }  # model 4 was the baseline of model 5
        run(folder, steps=6)
        assert Calls.nodes == []
        run(folder, steps=1)
        assert Calls.nodes == ["Train", "Evaluate", "Push"]

    def test_the_served_model_and_its_lineage_stay(self, folder: Path) -> None:
        result = run(folder, steps=1)
        needed = {a.uri for e in result.executions.values() for a in e.all_outputs()}
        for steps in range(2, 6):
            (folder / "rows.txt").write_text(f"{steps}\n", encoding="utf-8")
            run(folder, steps=steps, bless=False)
        housekeeping.collect(config_of(folder), keep=1)
        assert needed - existing_outputs(open_store(folder)) <= {
            a.uri for a in result.executions["Source"].outputs["rejects"]
        } | {a.uri for a in result.executions["Evaluate"].outputs["evaluation"]}
        model = result.artifact("Model")
        assert model is not None
        assert Path(model.uri).is_dir()

    def test_a_dry_run_reports_the_same_and_removes_nothing(self, folder: Path) -> None:
        for steps in range(1, 4):
            run(folder, steps=steps)
        before = published_outputs(folder)
        planned = housekeeping.collect(config_of(folder), keep=1, dry_run=True)
        assert published_outputs(folder) == before
        done = housekeeping.collect(config_of(folder), keep=1)
        assert done.artifacts
        assert dataclasses.replace(planned, dry_run=False) == done
        *paths, totals = housekeeping.render(done).splitlines()
        assert totals.startswith("removed ")
        assert housekeeping.render(planned).splitlines() == [*paths, f"would remove {totals[8:]}"]
        again = housekeeping.collect(config_of(folder), keep=1)
        assert (again.artifacts, again.logs, again.size) == ([], [], 0)

    def test_a_failed_run_is_not_counted_and_keeps_its_working_folder(self, folder: Path) -> None:
        run(folder)
        Calls.hooks["Train"] = raising(ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            run(folder, steps=2)
        Calls.hooks.clear()
        assert housekeeping.collect(config_of(folder), keep=1).attempts == []
        run(folder, steps=3)
        [attempt] = housekeeping.collect(config_of(folder), keep=1).attempts
        assert not attempt.exists()
        run(folder, steps=3)
        assert Calls.nodes == []

    def test_files_that_the_error_of_an_old_run_names_are_removed_with_its_log(self, folder: Path) -> None:
        def refuse(context: Context) -> None:
            (context.temp_dir / "rejects").write_text("a row", encoding="utf-8")
            raise DataError(f"see {context.keep(context.temp_dir / 'rejects')}")

        Calls.hooks["Train"] = refuse
        with pytest.raises(DataError) as caught:
            run(folder)
        kept = Path(str(caught.value).removeprefix("see "))
        [log] = (folder / "root" / "logs").glob("*.log")
        assert kept == log.with_suffix("") / "Train" / "rejects"
        assert kept.read_text(encoding="utf-8") == "a row"
        Calls.hooks.clear()
        run(folder)
        assert housekeeping.collect(config_of(folder), keep=2).logs == []
        assert housekeeping.collect(config_of(folder), keep=1).logs == [log.with_suffix(""), log]
        assert not kept.exists()

    def test_the_log_of_a_training_goes_with_its_record_or_its_attempt(self, folder: Path) -> None:
        def start_log(context: Context) -> None:
            assert context.tensorboard is not None
            record = ModelRun(context.working_dir)
            record.log_name = record.log_name or context.run_id
            (context.tensorboard / record.log_name).mkdir(parents=True, exist_ok=True)

        def start_log_and_fail(context: Context) -> None:
            start_log(context)
            raise ValueError("no")

        def logs() -> list[str]:
            return sorted(path.name for path in (folder / "root" / "tensorboard").iterdir())

        Calls.hooks["Train"] = start_log
        first = run(folder, steps=1).run.run_id
        Calls.hooks["Train"] = start_log_and_fail
        with pytest.raises(ValueError, match="no"):
            run(folder, steps=2)
        [killed] = set(logs()) - {first}
        Calls.hooks["Train"] = start_log
        housekeeping.collect(config_of(folder), keep=1)
        assert logs() == sorted([first, killed])
        run(folder, steps=2)  # continues the log of the run that failed
        assert logs() == sorted([first, killed])
        third, fourth = (run(folder, steps=steps).run.run_id for steps in (3, 4))
        planned = housekeeping.collect(config_of(folder), keep=1, dry_run=True)
        assert [path.name for path in planned.logs if path.parent.name == "tensorboard"] == sorted(
            [first, killed]
        )
        housekeeping.collect(config_of(folder), keep=1)
        assert logs() == sorted([third, fourth])  # the third is the baseline of the fourth

    def test_deleted_artifacts_are_marked_in_the_store(self, folder: Path) -> None:
        for steps in range(1, 4):
            run(folder, steps=steps)
        removed = {str(path) for path in housekeeping.collect(config_of(folder), keep=1).artifacts}
        outputs = [a for e in open_store(folder).executions() for a in e.all_outputs()]
        deleted = {artifact.uri for artifact in outputs if artifact.deleted}
        assert deleted == removed

    def test_runs_that_an_earlier_version_recorded_count_by_what_they_completed(self, folder: Path) -> None:
        for steps in (1, 2):
            run(folder, steps=steps)
        store = open_store(folder)
        rollback = Run("rollback", "toy", str(folder / "root"), State.COMPLETE, 1.0)
        store.put_run(rollback)
        for old in store.runs():
            old.nodes = ""
            store.put_run(old)
        housekeeping.collect(config_of(folder), keep=1)
        run(folder, steps=2)
        assert Calls.nodes == []

    def test_outputs_of_another_root_stay(self, folder: Path) -> None:
        for steps in (1, 2, 3):
            run(folder, steps=steps)
        store = open_store(folder)
        for other in store.runs():
            other.root_id = "another"
            store.put_run(other)
        before = published_outputs(folder)
        assert housekeeping.collect(config_of(folder), keep=1).artifacts == []
        assert published_outputs(folder) == before

    def test_a_gc_that_was_killed_at_any_step_is_completed_by_the_next(self, folder: Path) -> None:
        for steps in range(1, 5):
            run(folder, steps=steps)
        template = shutil.copytree(folder, folder.with_name("template"))
        completed_later = set[bool]()
        for step in itertools.count(1, 3):
            shutil.rmtree(folder)
            shutil.copytree(template, folder)

            def killed(step: int = step) -> None:
                die_at(step)
                housekeeping.collect(config_of(folder), keep=1)

            code = exit_code_of_fork(killed)
            store = open_store(folder)
            completed_later.add(any(map(is_gone_but_live, records_of(store))))
            housekeeping.collect(config_of(folder), keep=1)
            assert not any(map(is_gone_but_live, records_of(store)))
            assert not list((folder / "root").glob(".staging/*"))
            run(folder, steps=4)
            assert Calls.nodes == []
            if code == 0:
                break
            assert code == KILLED_CODE
        assert completed_later == {False, True}

    def test_a_run_in_progress_is_an_error(self, folder: Path) -> None:
        run(folder)
        with locked(folder / "root"), pytest.raises(LockedError, match=r"root: process"):
            housekeeping.collect(config_of(folder), keep=1)

    def test_gc_and_rollback_wait_for_a_run_for_the_given_seconds(self, folder: Path) -> None:
        run(folder)
        commands: tuple[Callable[[], object], ...] = (
            lambda: housekeeping.collect(config_of(folder), keep=1, wait=0.2),
            lambda: roll_back(config_of(folder), "because", wait=0.2),
        )
        for command in commands:
            with locked(folder / "root"), pytest.raises(LockedError, match=r"after 0\.2 s"):
                command()

    def test_keeping_no_run_is_an_error(self, folder: Path) -> None:
        with pytest.raises(ConfigError, match="at least one run"):
            housekeeping.collect(config_of(folder), keep=0)

    def test_a_pipeline_that_never_ran_has_nothing_to_remove(self, folder: Path) -> None:
        assert housekeeping.collect(config_of(folder), keep=1).artifacts == []
        assert not (folder / "root").exists()


class TestLineage:
    def test_it_lists_the_files_and_libraries(self, folder: Path) -> None:
        result = run(folder)
        run(folder)
        report = lineage.collect(config_of(folder), 1)
        assert (report["version"], report["path"]) == (1, str(folder / "serving" / "toy" / "1"))
        assert [e["node"] for e in report["executions"]] == list(reversed(NODES))
        assert {e["run"] for e in report["executions"]} == {result.run.run_id}
        source = report["executions"][-1]
        content = hashlib.sha256((folder / "rows.txt").read_bytes()).hexdigest()
        assert source["files"] == {str(folder / "rows.txt"): content}
        assert set(source["libraries"]) == {"msgspec"}
        assert source["parameters"]["files"] == [str(folder / "rows.txt")]
        for execution in report["executions"]:
            for artifact in itertools.chain.from_iterable(execution["outputs"].values()):
                assert len(artifact["digest"]) == 64
        text = lineage.render(report)
        assert text.startswith("toy version 1: ")
        assert all(word in text for word in (*NODES, content[:12], "made with msgspec", "python 3"))
        assert json.dumps(report)

    def test_it_still_lists_artifacts_whose_folders_were_removed(self, folder: Path) -> None:
        for steps in range(1, 4):
            run(folder, steps=steps)
        housekeeping.collect(config_of(folder), keep=1)
        report = lineage.collect(config_of(folder), 1)["executions"]
        assert {execution["node"] for execution in report} == set(NODES)

    def test_a_version_that_was_never_pushed_is_an_error(self, folder: Path) -> None:
        with pytest.raises(DataError, match="has pushed no version 1") as caught:
            lineage.collect(config_of(folder), 1)
        assert "none" in caught.value.remedy
        run(folder)
        with pytest.raises(DataError, match="has pushed no version 7") as caught:
            lineage.collect(config_of(folder), 7)
        assert "it has pushed 1;" in caught.value.remedy

    def test_a_warm_started_model_has_both_trainings_in_its_lineage(self, folder: Path) -> None:
        from tests.pipeline import test_runner_spans as spans

        for number in (1, 2):
            spans.write_span(folder, number)
        spans.run(folder)
        spans.write_span(folder, 3)
        spans.run(folder)
        history = spans.open_store(folder).executions()
        last = newest_usable(history, "Judge")
        assert last is not None
        chain = [(e.node, e.part) for e in lineage.chain(history, last)]
        assert chain.count(("Train", "")) == 2
        assert ("Read", "span 3") in chain
        assert len(chain) == len({e.id for e in lineage.chain(history, last)})


def roll_back_and_fail(config: PipelineConfig) -> None:
    with pytest.raises(ConfigError, match="nothing to go back to"):
        roll_back(config, "users complain")


@pytest.mark.parametrize("command", [lambda config: housekeeping.collect(config, keep=1), roll_back_and_fail])
def test_orphan_rows_are_deleted_first(command: Callable[[PipelineConfig], object], folder: Path) -> None:
    run(folder)
    with sqlite3.connect(folder / "root" / "metadata.sqlite") as database:
        database.execute("DELETE FROM Artifact WHERE uri LIKE 'Source/rejects/%'")
    database.close()
    command(config_of(folder))  # with orphan rows, ML Metadata would abort this process
    assert [set(e.outputs) for e in open_store(folder).executions() if e.node == "Source"] == [{"examples"}]
