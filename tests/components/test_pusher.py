"""Pusher and rollback: a version is complete or absent, even after a crash, and a model is pushed once."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitext.components import artifacts
from bitext.components.artifacts import RolledBack, ServedVersion, VersionMetadata, model_digest
from bitext.components.component import Context
from bitext.components.pusher import Parameters, card, executor, serving
from bitext.components.pusher.rollback import rollback
from bitext.components.shared import errors
from bitext.components.shared.files import folder_digest

PIPELINE = "es-en"

METRICS = {
    "chrf": {"score": 50.0, "signature": "nrefs:1", "interval": [49.0, 51.0]},
    "perplexity": 4.0,
    "length_ratio": 1.0,
    "by_source_length": [],
    "sentences": 9,
    "sentences_per_second": 9.0,
}


def write_files(path: Path, **files: str) -> Path:
    """Writes files into a folder and returns the folder. In a name, `__` is `/`, and `_pb` is `.pb`."""
    for name, content in files.items():
        target = path / name.replace("__", "/").replace("_pb", ".pb")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    return path


class Push:
    """Pushes models to one serving folder. A model has the content of its `saved_model.pb`.

    Attributes:
      destination: the serving folder.
      lines: the printed lines of all pushes.
      count: the number of pushes.
      bleu: the BLEU of the next model.
      damaged: the name of an input whose file is emptied before the next push.
    """

    def __init__(self, root: Path):
        self.root = root
        self.destination = root / "serving" / "es-en"
        self.lines: list[str] = []
        self.count = 0
        self.bleu = 31.5
        self.damaged = ""

    def __call__(
        self, content: str, blessed: bool = True, infra: bool = True, **other: Any
    ) -> artifacts.PushedModel:
        self.count += 1
        run_folder = self.root / str(self.count)
        files = {
            "Format-Serving__saved_model_pb": content,
            "Format-Serving__variables__data": "1",
            "samples": "",
        }
        model = artifacts.Model(write_files(run_folder / "model", **files))
        blessing = artifacts.ModelBlessing(run_folder / "blessing")
        infra_blessing = artifacts.InfraBlessing(run_folder / "infra_blessing")
        artifact: artifacts.Blessing
        for artifact, is_blessed in ((blessing, blessed), (infra_blessing, infra)):
            artifact.path.mkdir()
            artifact.write(artifacts.Verdict(is_blessed, ["a reason"]))
        if self.damaged:
            [file] = (run_folder / self.damaged).iterdir()
            file.write_bytes(b"")
        bleu = {"score": self.bleu, "signature": "nrefs:1", "interval": [30.0, 33.0]}
        metrics = METRICS | {"bleu": bleu}
        (run_folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        (run_folder / "pushed").mkdir()
        (run_folder / "working").mkdir()
        pushed = artifacts.PushedModel(run_folder / "pushed")
        executor.run(
            msgspec.convert(
                {"destination": str(self.destination), "pipeline": PIPELINE, **other}, Parameters
            ),
            Context(
                *(run_folder / "working", run_folder / "working"),
                beam_pipeline=lambda: None,  # type: ignore
                say=self.lines.append,
                run_id=f"run {self.count}",
            ),
            examples=[artifacts.Examples(run_folder)],
            rejects=[artifacts.Rejects(run_folder)],
            schema=artifacts.Schema(run_folder),
            transformed_examples=artifacts.Examples(run_folder),
            transform_graph=artifacts.TransformGraph(run_folder),
            model=model,
            blessing=blessing,
            infra_blessing=infra_blessing,
            evaluation=artifacts.ModelEvaluation(run_folder),
            pushed_model=pushed,
        )
        return pushed

    def listing(self) -> list[str]:
        """Returns the names in the serving folder."""
        return sorted(os.listdir(self.destination)) if self.destination.exists() else []


@pytest.fixture
def push(tmp_path: Path) -> Push:
    return Push(tmp_path)


def still_valid(push: Push, pushed: artifacts.PushedModel) -> bool:
    """Returns whether the record of a push still agrees with the serving folder."""
    parameters = Parameters(destination=str(push.destination), pipeline=PIPELINE)
    return executor.still_valid(parameters, pushed_model=pushed)


def record(pushed: artifacts.PushedModel) -> dict[str, Any]:
    """Returns the content of `pushed.json`."""
    content: dict[str, Any] = json.loads((pushed.path / "pushed.json").read_text(encoding="utf-8"))
    return content


def test_the_first_model_becomes_version_1_with_metadata(push: Push) -> None:
    pushed = push("a")
    version = push.destination / "1"
    assert push.listing() == ["1"]
    assert sorted(p.name for p in version.iterdir()) == ["assets.extra", "saved_model.pb", "variables"]
    assert (version / "variables" / "data").read_text() == "1"
    written = json.loads((version / "assets.extra" / "bitext.json").read_text())
    assert (written["bleu"], written["bleu_signature"]) == (31.5, "nrefs:1")
    assert record(pushed) | {"reason": ""} == {
        "pushed": True,
        "reason": "",
        "model": "es-en",
        "version": 1,
        "path": str(version),
        "digest": written["digest"],
    }
    assert pushed.properties == {"pushed": 1, "version": 1, "path": str(version), "digest": written["digest"]}


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/data"])
def test_a_copy_that_differs_from_the_validated_model_is_not_pushed(
    push: Push, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push("a")

    def damaging_copy(source: Path, target: Path) -> None:
        content = source.read_bytes()
        target.write_bytes(bytes([content[0] ^ 1]) + content[1:] if str(source).endswith(name) else content)

    monkeypatch.setattr(shutil, "copyfile", damaging_copy)
    with pytest.raises(errors.DataError, match="version 2 is not the model that was validated"):
        push("b")
    with pytest.raises(errors.DataError, match="not the model that was validated"):
        push("b")
    assert push.listing() == ["1"]
    monkeypatch.undo()
    assert push("b").properties["version"] == 2


def test_an_equal_model_is_not_pushed_again(push: Push) -> None:
    first, second = push("a"), push("a")
    assert push.listing() == ["1"]
    assert first.properties == second.properties


def test_pushing_the_newest_model_again_updates_only_its_metadata_files(push: Push) -> None:
    first = push("a")
    version = push.destination / "1"
    before = {path: path.stat() for path in version.rglob("*") if path.is_file()}
    push.bleu = 33.0
    second = push("a", card={"licence": "CC0"})
    assert push.listing() == ["1"]
    assert still_valid(push, first)
    assert still_valid(push, second)
    after = {path: path.stat() for path in version.rglob("*") if path.is_file()}
    assert set(after) == set(before)
    changed = {path.relative_to(version) for path in before if before[path].st_ino != after[path].st_ino}
    assert changed == {ServedVersion.METADATA, ServedVersion.CARD_JSON, ServedVersion.CARD_MARKDOWN}
    assert json.loads((version / ServedVersion.METADATA).read_text())["bleu"] == 33.0
    card_json = json.loads((version / ServedVersion.CARD_JSON).read_text())
    assert (card_json["version"], card_json["run_id"], card_json["stated"]["licence"]) == (1, "run 2", "CC0")
    assert "> CC0\n" in (version / ServedVersion.CARD_MARKDOWN).read_text()


def test_extra_assets_of_the_export_are_pushed(push: Push) -> None:
    model = write_files(push.root / "1" / "model", **{"Format-Serving__assets.extra__warm": "requests"})
    push("a")
    extra = push.destination / "1" / "assets.extra"
    assert sorted(path.name for path in extra.iterdir()) == [
        *("bitext.json", "model_card.json", "model_card.md", "warm")
    ]
    written = json.loads((extra / "bitext.json").read_text())
    assert written["digest"] == model_digest(model / "Format-Serving")


def test_a_model_that_differs_from_the_newest_becomes_the_next_version(push: Push) -> None:
    assert [push(content).properties["version"] for content in ("a", "b", "a")] == [1, 2, 3]


def test_versions_are_compared_as_numbers(push: Push) -> None:
    for version in ("9", "10"):
        (push.destination / version).mkdir(parents=True)
    assert push("a").properties["version"] == 11


@pytest.mark.parametrize(("blessed", "infra"), [(False, True), (True, False), (False, False)])
def test_a_model_without_both_blessings_is_not_pushed(push: Push, blessed: bool, infra: bool) -> None:
    pushed = push("a", blessed, infra)
    assert push.listing() == []
    assert record(pushed)["pushed"] is False
    assert ("Evaluator" in record(pushed)["reason"]) == (not blessed)
    assert ("InfraValidator" in record(pushed)["reason"]) == (not infra)
    assert pushed.properties == {"pushed": 0}
    assert still_valid(push, pushed)


def test_staging_folders_of_a_crash_are_removed(push: Push) -> None:
    write_files(push.destination / ".staging-1", saved_model_pb="half")
    push("a")
    assert push.listing() == ["1"]


def test_a_push_is_valid_until_its_version_is_removed_or_replaced(push: Push) -> None:
    pushed = push("a")
    assert still_valid(push, pushed)
    file = push.destination / "1" / ServedVersion.METADATA
    original = file.read_text()
    file.write_text(original.replace("sha256:", "sha256:0"))
    assert not still_valid(push, pushed)
    file.write_text(original)
    shutil.rmtree(push.destination / "1")
    assert not still_valid(push, pushed)


def test_a_push_is_valid_until_there_is_a_newer_version(push: Push) -> None:
    first, second = push("a"), push("b")
    assert [still_valid(push, pushed) for pushed in (first, second)] == [False, True]
    third = push("a")
    valid = [still_valid(push, pushed) for pushed in (first, second, third)]
    assert valid == [False, False, True]


def test_an_environment_fault_during_an_update_of_metadata_leaves_the_old_files(
    push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    push("a")
    before = {path: path.read_bytes() for path in push.destination.rglob("*") if path.is_file()}

    def fail(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(serving, "fsync", fail)
    with pytest.raises(errors.EnvironmentFault, match="No space left"):
        push("a")
    assert {path: path.read_bytes() for path in push.destination.rglob("*") if path.is_file()} == before
    assert push.listing() == ["1"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_an_environment_fault_during_a_push_leaves_no_version(
    push: Push, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    push("a")

    def fail(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(errors.EnvironmentFault, match=os.strerror(number)):
        push("b")
    assert push.listing() == ["1"]


@pytest.mark.parametrize("name", ["blessing", "infra_blessing"])
def test_a_damaged_verdict_is_an_error(push: Push, name: str) -> None:
    push.damaged = name
    with pytest.raises(errors.DataError, match="BLESSED is damaged"):
        push("a")
    assert push.listing() == []


def test_a_destination_that_is_not_a_folder_is_refused(push: Push) -> None:
    write_files(push.root, file="")
    with pytest.raises(errors.ConfigError, match="not a folder"):
        push("a", destination=str(push.root / "file"))


def test_the_digest_depends_on_names_and_contents(tmp_path: Path) -> None:
    digests = {
        folder_digest(write_files(tmp_path / "1", a="x", b="y")),
        folder_digest(write_files(tmp_path / "2", a="y", b="x")),
        folder_digest(write_files(tmp_path / "3", a="x", sub__b="y")),
        folder_digest(write_files(tmp_path / "4", b="y", a="x")),
    }
    assert len(digests) == 3


def test_excluded_files_do_not_change_the_digest(tmp_path: Path) -> None:
    digest = folder_digest(write_files(tmp_path / "1", a="x"))
    larger = write_files(tmp_path / "2", a="x", sub__b="y")
    assert folder_digest(larger, exclude=(Path("sub/b"),)) == digest != folder_digest(larger)


def metadata(push: Push) -> dict[int, VersionMetadata]:
    """Returns the metadata of each version that has any."""
    by_version = {
        n: ServedVersion(push.destination / str(n)).metadata() for n in serving.versions(push.destination)
    }
    return {version: entry for version, entry in sorted(by_version.items()) if entry is not None}


def content(push: Push, version: int) -> str:
    """Returns the content of the `saved_model.pb` of a version."""
    return (push.destination / str(version) / "saved_model.pb").read_text(encoding="utf-8")


class TestRollback:
    def test_the_previous_version_becomes_the_newest(self, push: Push) -> None:
        for model, bleu in (("a", 30.0), ("b", 31.0), ("c", 32.0)):
            push.bleu = bleu
            push(model, card={"licence": f"of {model}"})
        before = metadata(push)
        result = rollback(push.destination, "it *fails*", PIPELINE)
        assert push.listing() == ["1", "2", "3", "4"]
        assert [content(push, version) for version in range(1, 5)] == ["a", "b", "c", "b"]
        assert result == RolledBack(
            model="es-en",
            version=4,
            path=str(push.destination / "4"),
            digest=before[2].digest,
            rolled_back_to=2,
            from_version=3,
            withdrawn=before[3].digest,
            reason="it *fails*",
            time=result.time,
        )
        after = metadata(push)
        assert {version: after[version] for version in before} == before
        withdrawal = artifacts.Withdrawal(3, "it *fails*", result.time)
        assert after[4] == VersionMetadata(
            *(before[2].digest, 31.0, "nrefs:1", {before[3].digest: withdrawal}, 2, PIPELINE),
            folder_inode=push.destination.stat().st_ino,
        )
        extra = push.destination / "4" / "assets.extra"
        model_card = card.Card.decode((extra / ServedVersion.CARD_JSON.name).read_bytes())
        assert (model_card.version, model_card.rolled_back_to, model_card.withdrawn) == (
            4,
            2,
            after[4].withdrawn,
        )
        assert (model_card.digest, model_card.stated.licence, model_card.run_id) == (
            before[2].digest,
            "of b",
            "run 2",
        )
        text = (extra / ServedVersion.CARD_MARKDOWN.name).read_text(encoding="utf-8")
        assert text.startswith("# es-en, version 4\n")
        assert "**A rollback**: this is version 2 again. Version 3 was withdrawn at " in text
        assert f"{result.time}: it \\*fails\\*\n" in text

    def test_a_withdrawn_model_is_not_pushed_again(self, push: Push) -> None:
        push("a")
        pushed = push("b")
        assert still_valid(push, pushed)
        rollback(push.destination, "wrong numbers", PIPELINE)
        assert not still_valid(push, pushed)
        for _ in range(2):
            again = push("b")
            reason = "not pushed: this model was withdrawn by a rollback (wrong numbers)"
            assert (record(again)["pushed"], record(again)["reason"]) == (False, reason)
            assert again.properties == {"pushed": 0}
            assert push.lines[-1] == reason
            assert still_valid(push, again)
            assert push.listing() == ["1", "2", "3"]
            # Every later version records the withdrawal.
            newer = push("c")
            assert newer.properties["version"] == 4
            shutil.rmtree(push.destination / "4")
        push("c")
        push("d")
        assert [list(entry.withdrawn) for entry in metadata(push).values()] == [
            *([], []),
            *([metadata(push)[2].digest],) * 3,
        ]
        assert metadata(push)[5].rolled_back_to is None

    def test_pushing_the_rolled_back_model_keeps_the_withdrawals(self, push: Push) -> None:
        push("a")
        push("b")
        rollback(push.destination, "wrong numbers", PIPELINE)
        before = metadata(push)[3]
        push.bleu = 33.0
        pushed = push("a")
        assert pushed.properties["version"] == 3
        assert metadata(push)[3] == msgspec.structs.replace(before, bleu=33.0)
        assert "**A rollback**" in (push.destination / "3" / ServedVersion.CARD_MARKDOWN).read_text()
        assert still_valid(push, pushed)

    def test_a_model_is_pushed_after_its_withdrawal_was_removed_by_hand(self, push: Push) -> None:
        push("a")
        push("b")
        rollback(push.destination, "wrong numbers", PIPELINE)
        file = push.destination / "3" / ServedVersion.METADATA
        file.write_bytes(msgspec.structs.replace(metadata(push)[3], withdrawn={}).encode())
        push("a")
        text = (push.destination / "3" / ServedVersion.CARD_MARKDOWN).read_text()
        assert "**A rollback**: this is version 1 again.\n" in text
        assert push("b").properties["version"] == 4

    def test_each_rollback_goes_further_back_until_no_model_is_left(self, push: Push) -> None:
        for model in "abcb":
            push(model)
        versions = [
            rollback(push.destination, "again", PIPELINE, number).rolled_back_to for number in (None, 5)
        ]
        assert versions == [3, 1]  # versions 2 and 4 are the same model
        assert [content(push, version) for version in (5, 6)] == ["c", "a"]
        assert [w.version for w in metadata(push)[6].withdrawn.values()] == [4, 5]
        before = push.listing()
        with pytest.raises(errors.ConfigError, match="nothing to go back to.* or all were withdrawn"):
            rollback(push.destination, "again", PIPELINE, from_version=6)
        assert push.listing() == before

    def test_a_repeated_rollback_changes_nothing(self, push: Push) -> None:
        for model in "abc":
            push(model)
        done = rollback(push.destination, "wrong", PIPELINE)
        before = push.listing()
        assert rollback(push.destination, "wrong", PIPELINE) == done
        assert rollback(push.destination, "whatever", PIPELINE, from_version=3) == done
        assert push.listing() == before
        with pytest.raises(
            errors.ConfigError, match="is already a rollback from version 3 to version 2"
        ) as e:
            rollback(push.destination, "also wrong", PIPELINE)
        assert "--from-version 4" in e.value.remedy
        with pytest.raises(errors.ConfigError, match="the newest version in .* is 4, not 2"):
            rollback(push.destination, "also wrong", PIPELINE, from_version=2)
        assert push.listing() == before
        assert rollback(push.destination, "also wrong", PIPELINE, from_version=4).rolled_back_to == 1
        assert push("d").properties["version"] == 6
        assert rollback(push.destination, "wrong", PIPELINE).from_version == 6  # not that of version 4

    @pytest.mark.parametrize("name", [str(ServedVersion.METADATA), "saved_model.pb"])
    def test_damage_of_the_newest_version_does_not_end_a_withdrawal(self, push: Push, name: str) -> None:
        for model in "abc":
            push(model)
        rollback(push.destination, "wrong", PIPELINE)  # version 4 is version 2 again
        (push.destination / "4" / name).unlink()
        with pytest.raises(errors.DataError, match="es-en/4, is damaged"):
            push("c")
        assert push.lines[-1] == "not pushed: this model was withdrawn by a rollback (wrong)"
        result = rollback(push.destination, "damaged", PIPELINE)
        assert result.rolled_back_to in (1, 2)  # not the withdrawn version 3
        assert len(metadata(push)[5].withdrawn) == 2

    def test_withdrawals_that_cannot_be_read_stop_a_push_and_a_rollback(self, push: Push) -> None:
        for model in "abc":
            push(model)
        rollback(push.destination, "wrong", PIPELINE)
        for file in (ServedVersion.METADATA, ServedVersion.CARD_JSON):
            (push.destination / "4" / file).write_text("{")
        for command in (lambda: push("c"), lambda: rollback(push.destination, "x", PIPELINE)):
            with pytest.raises(errors.DataError, match="4: assets.extra/bitext.json is damaged"):
                command()
        assert push.listing() == ["1", "2", "3", "4"]

    def test_a_repeated_rollback_copies_a_damaged_version_again(self, push: Push) -> None:
        for model in "abc":
            push(model)
        done = rollback(push.destination, "wrong", PIPELINE)
        (push.destination / "4" / "saved_model.pb").write_text("damaged")
        again = rollback(push.destination, "wrong", PIPELINE)
        assert (again.version, again.rolled_back_to, again.withdrawn) == (5, 2, done.withdrawn)
        assert content(push, 5) == "b"
        assert rollback(push.destination, "wrong", PIPELINE) == again

    def test_a_rollback_is_announced_before_anything_changes(self, push: Push) -> None:
        push("a")
        push("b")
        seen = []
        done = rollback(push.destination, "x", PIPELINE, None, lambda r: seen.append((r, push.listing())))
        assert seen == [(done, ["1", "2"])]

    def test_without_an_earlier_version_a_rollback_is_refused(self, push: Push) -> None:
        with pytest.raises(errors.DataError, match="no serving folder"):
            rollback(push.destination, "x", PIPELINE)
        push.destination.mkdir(parents=True)
        with pytest.raises(errors.ConfigError, match="no version"):
            rollback(push.destination, "x", PIPELINE)
        push("a")
        with pytest.raises(errors.ConfigError, match="one version"):
            rollback(push.destination, "x", PIPELINE)
        assert push.listing() == ["1"]

    @pytest.mark.parametrize("name", ["saved_model.pb", "variables/data", "assets.extra/new"])
    def test_a_damaged_version_is_not_rolled_back_to(self, push: Push, name: str) -> None:
        for model in "abc":
            push(model)
        (push.destination / "2" / name).write_text("other")
        with pytest.raises(errors.DataError, match="2: its files are not those that were pushed") as caught:
            rollback(push.destination, "x", PIPELINE)
        assert "to go back further" in caught.value.remedy
        assert push.listing() == ["1", "2", "3"]
        (push.destination / "2").rename(push.root / "elsewhere")
        assert rollback(push.destination, "x", PIPELINE).rolled_back_to == 1

    def test_versions_without_metadata_are_withdrawn_but_not_rolled_back_to(self, push: Push) -> None:
        push("a")
        push("b")
        (push.destination / "2" / ServedVersion.METADATA).write_text("{")
        (push.destination / "1" / ServedVersion.CARD_JSON).unlink()
        write_files(push.destination / "3", saved_model_pb="by hand")
        digest = model_digest(push.destination / "3")
        result = rollback(push.destination, "by hand it is worse", PIPELINE)
        assert (result.withdrawn, result.rolled_back_to, content(push, 4)) == (digest, 1, "a")
        assert (
            "**A rollback**: this is version 1 again"
            in (push.destination / "4" / ServedVersion.CARD_MARKDOWN).read_text()
        )

    def test_a_killed_rollback_leaves_the_state_before_or_after_it(self, push: Push) -> None:
        push("a")
        push("b")
        original = shutil.copytree(push.destination, push.root / "original")
        newest_versions = set()
        for change in range(100):
            shutil.rmtree(push.destination)
            shutil.copytree(original, push.destination)
            completed = _killed_at(push.destination, change)
            versions = serving.versions(push.destination)
            newest_versions.add(max(versions))
            assert sorted(versions) in ([1, 2], [1, 2, 3])
            if 3 in versions:
                entry = metadata(push)[3]
                [withdrawn] = entry.withdrawn
                assert (content(push, 3), entry.rolled_back_to, withdrawn) == (
                    "a",
                    1,
                    metadata(push)[2].digest,
                )
                assert (push.destination / "3" / ServedVersion.CARD_MARKDOWN).read_text().count(
                    "**A rollback**"
                ) == 1
            else:
                assert rollback(push.destination, "killed", PIPELINE).version == 3
            assert rollback(push.destination, "killed", PIPELINE).version == 3
            assert push("c").properties["version"] == 4
            assert push.listing() == ["1", "2", "3", "4"]
            if completed:
                break
        assert (completed, newest_versions) == (True, {2, 3})
        assert change > 10


def _killed_at(destination: Path, change: int) -> bool:
    """Rolls back in a process that is killed before it changes a file or folder for the nth time, from 0.

    Returns:
      Whether the rollback was completed.
    """
    if (child := os.fork()) == 0:
        count = 0

        def counting(function: Any) -> Any:
            def call(*arguments: Any, **keywords: Any) -> Any:
                nonlocal count
                if count == change:
                    os._exit(9)
                count += 1
                return function(*arguments, **keywords)

            return call

        try:
            for owner, name in [
                *((Path, name) for name in ("mkdir", "write_bytes", "rename")),
                *((shutil, "copyfile"), (shutil, "rmtree"), (serving, "fsync")),
            ]:
                setattr(owner, name, counting(getattr(owner, name)))
            rollback(destination, "killed", PIPELINE)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9)
    return code == 0


class TestOwner:
    """A serving folder belongs to the pipeline that pushed its newest version."""

    def test_version_names_its_pipeline(self, push: Push) -> None:
        push("a")
        assert metadata(push)[1].pipeline == PIPELINE

    def test_another_pipeline_is_refused(self, push: Push) -> None:
        push("a")
        with pytest.raises(
            errors.ConfigError, match="version 1, was pushed by the pipeline 'es-en'; this"
        ) as e:
            push("b", pipeline="fr-en")
        assert "`--set pusher.take_over=true`" in e.value.remedy
        assert push.listing() == ["1"]
        with pytest.raises(errors.ConfigError, match="this pipeline is 'fr-en'"):
            rollback(push.destination, "x", "fr-en")

    def test_takeover(self, push: Push) -> None:
        push("a")
        push("b", pipeline="fr-en", take_over=True)
        push("c", pipeline="fr-en")
        assert [metadata(push)[version].pipeline for version in (1, 2, 3)] == ["es-en", "fr-en", "fr-en"]
        with pytest.raises(errors.ConfigError, match="was pushed by the pipeline 'fr-en'"):
            push("d")

    def test_model_of_another_program_is_refused(self, push: Push) -> None:
        write_files(push.destination / "7", saved_model_pb="by hand")
        with pytest.raises(errors.ConfigError, match="version 7, was not pushed by bitext"):
            push("a")
        push("a", take_over=True)
        assert push.listing() == ["7", "8"]

    def test_version_without_a_pipeline_is_accepted(self, push: Push) -> None:
        push("a")
        file = push.destination / "1" / ServedVersion.METADATA
        file.write_bytes(msgspec.structs.replace(metadata(push)[1], pipeline=None).encode())
        push("b")
        assert metadata(push)[2].pipeline == PIPELINE


class TestDamagedVersion:
    """A served model whose files changed is found, and pushed again as the next version."""

    @pytest.mark.parametrize("name", ["saved_model.pb", "variables/data"])
    @pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("other")])
    def test_it_is_pushed_again(self, push: Push, name: str, damage: Any) -> None:
        pushed = push("a")
        assert still_valid(push, pushed)
        damage(push.destination / "1" / name)
        assert not still_valid(push, pushed)
        push("a")
        assert push.listing() == ["1", "2"]
        assert ServedVersion(push.destination / "2").model_digest() == metadata(push)[2].digest

    @pytest.mark.parametrize("name", ["saved_model.pb", "bitext.json"])
    def test_a_run_whose_model_is_refused_reports_it(self, push: Push, name: str) -> None:
        push("a")
        refused = push("b", blessed=False)
        assert still_valid(push, refused)
        [file] = (push.destination / "1").rglob(name)
        file.write_text("other")
        assert not still_valid(push, refused)
        with pytest.raises(errors.DataError, match="es-en/1, is damaged.*publishes no other") as raised:
            push("b", blessed=False)
        assert "bitext rollback" in raised.value.remedy
        assert push.listing() == ["1"]
        push("a")
        assert still_valid(push, refused)

    def test_any_changed_bit_of_the_metadata_is_found(self, push: Push) -> None:
        pushed = push("a")
        version = ServedVersion(push.destination / "1")
        file = version.path / version.METADATA
        content = file.read_bytes()
        assert version.metadata() is not None
        for bit in range(8 * len(content)):
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            file.write_bytes(changed)
            metadata = version.metadata()  # None, or equal: a blank may become another white space
            assert metadata is None or metadata == VersionMetadata.decode(content), changed
        for length in range(len(content) - 1):
            file.write_bytes(content[:length])
            assert version.metadata() is None
        assert not still_valid(push, pushed)

    def test_metadata_of_bitext_0_2_0_have_no_checksum(self, push: Push) -> None:
        push("a")
        file = push.destination / "1" / ServedVersion.METADATA
        digest = metadata(push)[1].digest
        file.write_text(json.dumps({"digest": digest, "bleu": 3.5, "withdrawn": {}}))
        assert metadata(push)[1].bleu == 3.5
        push("a")
        assert push.listing() == ["1"]
        assert "checksum" in json.loads(file.read_text())

    def test_a_rollback_names_the_damaged_version(self, push: Push) -> None:
        push("a")
        push("b")
        (push.destination / "1" / "saved_model.pb").unlink()
        with pytest.raises(errors.DataError, match="es-en/1 has no SavedModel, or no readable"):
            rollback(push.destination, "x", PIPELINE)
