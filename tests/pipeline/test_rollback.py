"""`bitext rollback` can be repeated, and killed at any step: the next command completes its record."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest

from bitext.components.artifacts import RolledBack, VersionMetadata, model_digest
from bitext.components.artifacts.base import SAVED_MODEL_FILE
from bitext.components.artifacts.pushed import ServedVersion
from bitext.components.pusher import serving
from bitext.components.shared.errors import ConfigError
from bitext.pipeline import housekeeping
from bitext.pipeline.commands.common import Terminated
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.records import State
from bitext.pipeline.reports import lineage, status
from bitext.pipeline.rollback import render, roll_back
from tests.pipeline.kill_at_every_step import KILLED_CODE, die_at, exit_code_of_fork
from tests.pipeline.test_housekeeping import config_of
from tests.pipeline.test_runner import open_store


@pytest.fixture
def config(folder: Path) -> PipelineConfig:
    """A pipeline that pushed the versions 1, 2 and 3 of three models."""
    config = config_of(folder)
    push_versions(config, folder, (1, 2, 3))
    return config


def push_versions(config: PipelineConfig, folder: Path, numbers: Iterable[int]) -> None:
    """Pushes a model for each number, which is its content."""
    destination = Path(config.serving)
    destination.mkdir(parents=True)
    for version in numbers:
        model = folder / "models" / str(version)
        model.mkdir(parents=True)
        (model / SAVED_MODEL_FILE).write_text(str(version), encoding="utf-8")
        metadata = VersionMetadata(model_digest(model), pipeline=config.name)
        files = {ServedVersion.METADATA: metadata.encode()}
        serving.publish(model, destination, version, metadata.digest, files)


def served(config: PipelineConfig) -> str:
    """Returns the content of the newest model."""
    newest = serving.newest_version(Path(config.serving))
    return (newest.path / SAVED_MODEL_FILE).read_text(encoding="utf-8")


def recorded_versions(config: PipelineConfig) -> list[object]:
    """Returns the versions that rollbacks on record made."""
    store = open_store(Path(config.root).parent)
    return [
        artifact.properties["version"]
        for execution in store.executions()
        if execution.state == State.COMPLETE
        for artifact in execution.all_outputs()
    ]


def test_a_repeated_rollback_changes_nothing_and_says_so(config: PipelineConfig) -> None:
    said: list[str] = []
    record, is_new = roll_back(config, "wrong", say=said.append)
    assert said == ["toy: version 3 will be withdrawn, and version 2 served again as version 4"]
    assert is_new
    assert "nothing was changed" not in render(record, is_new)
    again, is_new = roll_back(config, "wrong", say=said.append)
    assert (again, is_new, len(said)) == (record, False, 1)
    assert "nothing was changed now" in render(again, is_new)
    assert (served(config), recorded_versions(config)) == ("2", [4])
    with pytest.raises(ConfigError, match="already a rollback"):
        roll_back(config, "also wrong")
    record, is_new = roll_back(config, "also wrong", from_version=4)
    assert (record.rolled_back_to, is_new, served(config)) == (1, True, "1")
    assert recorded_versions(config) == [5, 4]


COMPLETIONS: dict[str, Callable[[PipelineConfig], object]] = {
    "the same rollback": lambda config: roll_back(config, "wrong"),
    "gc": lambda config: housekeeping.collect(config, keep=1),
    "status": status.collect,
    "lineage": lambda config: lineage.collect(config, 4),
}


@pytest.mark.parametrize("command", COMPLETIONS)
def test_a_rollback_killed_at_any_step_is_completed_by_the_next_command(
    config: PipelineConfig, command: str
) -> None:
    step, published = 0, set()
    while True:
        step += 1
        copy = msgspec.structs.replace(
            config,
            root=f"{config.root}-{step}",
            serving=str(Path(config.serving).parent / f"copy-{step}" / "toy"),
        )
        Path(copy.serving).parent.mkdir()
        _copy_versions(Path(config.serving), Path(copy.serving))

        def killed(copy: PipelineConfig = copy, step: int = step) -> None:
            die_at(step)
            roll_back(copy, "wrong")

        code = exit_code_of_fork(killed)
        versions = serving.versions(Path(copy.serving))
        published.add(4 in versions)
        if 4 in versions or command == "the same rollback":
            COMPLETIONS[command](copy)
            assert served(copy) == "2"
            assert serving.newest_version(Path(copy.serving)).path.name == "4"
            report = status.collect(copy)
            assert report["pushed"]["version"] == 4
            assert report["runs"][0]["state"] == State.COMPLETE
            assert lineage.collect(copy, 4)["version"] == 4
        if code == 0:
            break
        assert code == KILLED_CODE
    assert published == {False, True}
    assert step > 8


def _copy_versions(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            os.link(path, copy)


def test_a_signal_after_the_version_was_published_leaves_a_complete_record(
    config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitext.pipeline import rollback

    def publish_and_stop(*arguments: object, **keywords: object) -> RolledBack:
        original(*arguments, **keywords)
        raise Terminated

    original: Callable[..., RolledBack] = rollback.rollback
    monkeypatch.setattr(rollback, "rollback", publish_and_stop)
    with pytest.raises(Terminated):
        roll_back(config, "wrong")
    report = status.collect(config)
    assert [run["state"] for run in report["runs"]] == [State.COMPLETE]
    assert report["pushed"]["version"] == 4


def test_a_refused_rollback_leaves_no_record_of_another(config: PipelineConfig) -> None:
    roll_back(config, "wrong")
    with pytest.raises(ConfigError):
        roll_back(config, "other")
    report = status.collect(config)
    assert [run["state"] for run in report["runs"]] == [State.FAILED, State.COMPLETE]
    assert recorded_versions(config) == [4]
