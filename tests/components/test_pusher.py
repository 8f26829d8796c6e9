"""The pusher: one version a model, all of it or nothing, whatever a crash left."""

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

METRICS = {
    "chrf": {"score": 50.0, "signature": "nrefs:1", "interval": [49.0, 51.0]},
    "perplexity": 4.0,
    "length_ratio": 1.0,
    "by_source_length": [],
    "sentences": 9,
    "sentences_per_second": 9.0,
}


def folder(path: Path, **files: str) -> Path:
    for name, content in files.items():
        target = path / name.replace("__", "/").replace("_pb", ".pb")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    return path


class Push:
    """Pushes models of given content into one serving folder."""

    def __init__(self, root: Path):
        self.root = root
        self.destination = root / "serving" / "es-en"
        self.said: list[str] = []
        self.count = 0
        self.bleu = 31.5
        self.damaged = ""

    def __call__(
        self, content: str, blessed: bool = True, infra: bool = True, **other: Any
    ) -> artifacts.PushedModel:
        self.count += 1
        here = self.root / str(self.count)
        files = {
            "Format-Serving__saved_model_pb": content,
            "Format-Serving__variables__data": "1",
            "samples": "",
        }
        model = artifacts.Model(folder(here / "model", **files))
        blessing = artifacts.ModelBlessing(here / "blessing")
        infra_blessing = artifacts.InfraBlessing(here / "infra_blessing")
        artifact: artifacts.Blessing
        for artifact, is_blessed in ((blessing, blessed), (infra_blessing, infra)):
            artifact.path.mkdir()
            artifact.write(artifacts.Verdict(is_blessed, ["a reason"]))
        if self.damaged:
            [file] = (here / self.damaged).iterdir()
            file.write_bytes(b"")
        bleu = {"score": self.bleu, "signature": "nrefs:1", "interval": [30.0, 33.0]}
        metrics = METRICS | {"bleu": bleu}
        (here / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        (here / "pushed").mkdir()
        (here / "working").mkdir()
        pushed = artifacts.PushedModel(here / "pushed")
        executor.run(
            msgspec.convert({"destination": str(self.destination), **other}, Parameters),
            Context(
                *(here / "working", here / "working"),
                beam_pipeline=lambda: None,  # type: ignore
                say=self.said.append,
                run_id=f"run {self.count}",
            ),
            examples=[artifacts.Examples(here)],
            rejects=[artifacts.Rejects(here)],
            schema=artifacts.Schema(here),
            transformed_examples=artifacts.Examples(here),
            transform_graph=artifacts.TransformGraph(here),
            model=model,
            blessing=blessing,
            infra_blessing=infra_blessing,
            evaluation=artifacts.ModelEvaluation(here),
            pushed_model=pushed,
        )
        return pushed

    def listing(self) -> list[str]:
        return sorted(os.listdir(self.destination)) if self.destination.exists() else []


@pytest.fixture
def push(tmp_path: Path) -> Push:
    return Push(tmp_path)


def record(pushed: artifacts.PushedModel) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((pushed.path / "pushed.json").read_text(encoding="utf-8"))
    return content


def test_a_model_becomes_version_one_with_a_note(push: Push) -> None:
    pushed = push("a")
    version = push.destination / "1"
    assert push.listing() == ["1"]
    assert sorted(p.name for p in version.iterdir()) == ["assets.extra", "saved_model.pb", "variables"]
    assert (version / "variables" / "data").read_text() == "1"
    note = json.loads((version / "assets.extra" / "bitext.json").read_text())
    assert (note["bleu"], note["bleu_signature"]) == (31.5, "nrefs:1")
    assert record(pushed) | {"reason": ""} == {
        "pushed": True,
        "reason": "",
        "model": "es-en",
        "version": 1,
        "path": str(version),
        "digest": note["digest"],
    }
    assert pushed.properties == {"pushed": 1, "version": 1, "path": str(version), "digest": note["digest"]}


def test_the_same_model_is_pushed_once(push: Push) -> None:
    first, second = push("a"), push("a")
    assert push.listing() == ["1"]
    assert first.properties == second.properties


def test_what_is_said_of_a_model_is_brought_up_to_date_and_the_model_stays(push: Push) -> None:
    first = push("a")
    version = push.destination / "1"
    before = {path: path.stat() for path in version.rglob("*") if path.is_file()}
    push.bleu = 33.0
    second = push("a", card={"licence": "CC0"})
    assert push.listing() == ["1"]
    assert executor.still_valid(pushed_model=first)
    assert executor.still_valid(pushed_model=second)
    after = {path: path.stat() for path in version.rglob("*") if path.is_file()}
    assert set(after) == set(before)
    changed = {path.relative_to(version) for path in before if before[path].st_ino != after[path].st_ino}
    assert changed == {ServedVersion.METADATA, ServedVersion.CARD_JSON, ServedVersion.CARD_MARKDOWN}
    assert json.loads((version / ServedVersion.METADATA).read_text())["bleu"] == 33.0
    found = json.loads((version / ServedVersion.CARD_JSON).read_text())
    assert (found["version"], found["run_id"], found["stated"]["licence"]) == (1, "run 2", "CC0")
    assert "> CC0\n" in (version / ServedVersion.CARD_MARKDOWN).read_text()


def test_what_the_trainer_put_beside_the_cards_is_pushed_too(push: Push) -> None:
    model = folder(push.root / "1" / "model", **{"Format-Serving__assets.extra__warm": "requests"})
    push("a")
    extra = push.destination / "1" / "assets.extra"
    assert sorted(path.name for path in extra.iterdir()) == [
        *("bitext.json", "model_card.json", "model_card.md", "warm")
    ]
    note = json.loads((extra / "bitext.json").read_text())
    assert note["digest"] == model_digest(model / "Format-Serving")


def test_another_model_is_the_next_version_and_an_old_one_may_come_back(push: Push) -> None:
    assert [push(content).properties["version"] for content in ("a", "b", "a")] == [1, 2, 3]


def test_numbers_not_names_are_compared(push: Push) -> None:
    for version in ("9", "10"):
        (push.destination / version).mkdir(parents=True)
    assert push("a").properties["version"] == 11


@pytest.mark.parametrize(("blessed", "infra"), [(False, True), (True, False), (False, False)])
def test_what_is_not_blessed_twice_is_not_pushed(push: Push, blessed: bool, infra: bool) -> None:
    pushed = push("a", blessed, infra)
    assert push.listing() == []
    assert record(pushed)["pushed"] is False
    assert ("Evaluator" in record(pushed)["reason"]) == (not blessed)
    assert ("InfraValidator" in record(pushed)["reason"]) == (not infra)
    assert pushed.properties == {"pushed": 0}
    assert executor.still_valid(pushed_model=pushed)


def test_leftovers_of_a_crash_are_cleared(push: Push) -> None:
    folder(push.destination / ".staging-1", saved_model_pb="half")
    push("a")
    assert push.listing() == ["1"]


def test_still_valid_until_the_version_is_gone_or_another_model(push: Push) -> None:
    pushed = push("a")
    assert executor.still_valid(pushed_model=pushed)
    note = push.destination / "1" / ServedVersion.METADATA
    kept = note.read_text()
    note.write_text(kept.replace("sha256:", "sha256:0"))
    assert not executor.still_valid(pushed_model=pushed)
    note.write_text(kept)
    shutil.rmtree(push.destination / "1")
    assert not executor.still_valid(pushed_model=pushed)


def test_still_valid_until_another_version_is_newer(push: Push) -> None:
    first, second = push("a"), push("b")
    assert [executor.still_valid(pushed_model=pushed) for pushed in (first, second)] == [False, True]
    third = push("a")
    valid = [executor.still_valid(pushed_model=pushed) for pushed in (first, second, third)]
    assert valid == [False, False, True]


def test_a_fault_while_saying_it_anew_leaves_what_was_said(
    push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    push("a")
    before = {path: path.read_bytes() for path in push.destination.rglob("*") if path.is_file()}

    def fail(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(serving, "flush", fail)
    with pytest.raises(errors.EnvironmentFault, match="No space left"):
        push("a")
    assert {path: path.read_bytes() for path in push.destination.rglob("*") if path.is_file()} == before
    assert push.listing() == ["1"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_fault_of_the_environment_is_reported_and_leaves_nothing(
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
def test_damaged_verdict_stops_the_push(push: Push, name: str) -> None:
    push.damaged = name
    with pytest.raises(errors.DataError, match="BLESSED is damaged"):
        push("a")
    assert push.listing() == []


def test_a_destination_that_cannot_be(push: Push) -> None:
    with pytest.raises(errors.ConfigError, match="destination is empty"):
        push("a", destination="")
    folder(push.root, file="")
    with pytest.raises(errors.ConfigError, match="not a folder"):
        push("a", destination=str(push.root / "file"))


def test_the_digest_sees_names_and_contents(tmp_path: Path) -> None:
    digests = {
        folder_digest(folder(tmp_path / "1", a="x", b="y")),
        folder_digest(folder(tmp_path / "2", a="y", b="x")),
        folder_digest(folder(tmp_path / "3", a="x", sub__b="y")),
        folder_digest(folder(tmp_path / "4", b="y", a="x")),
    }
    assert len(digests) == 3


def test_a_digest_may_leave_files_out(tmp_path: Path) -> None:
    some = folder_digest(folder(tmp_path / "1", a="x"))
    more = folder(tmp_path / "2", a="x", sub__b="y")
    assert folder_digest(more, exclude=(Path("sub/b"),)) == some != folder_digest(more)


def notes(push: Push) -> dict[int, VersionMetadata]:
    """What is noted of each version."""
    found = {
        n: ServedVersion(push.destination / str(n)).metadata() for n in serving.versions(push.destination)
    }
    return {version: note for version, note in sorted(found.items()) if note is not None}


def content(push: Push, version: int) -> str:
    return (push.destination / str(version) / "saved_model.pb").read_text(encoding="utf-8")


class TestRollback:
    def test_the_version_before_comes_back_as_the_newest(self, push: Push) -> None:
        for model, bleu in (("a", 30.0), ("b", 31.0), ("c", 32.0)):
            push.bleu = bleu
            push(model, card={"licence": f"of {model}"})
        before = notes(push)
        done = rollback(push.destination, "it *swears*")
        assert push.listing() == ["1", "2", "3", "4"]
        assert [content(push, version) for version in range(1, 5)] == ["a", "b", "c", "b"]
        assert done == RolledBack(
            model="es-en",
            version=4,
            path=str(push.destination / "4"),
            digest=before[2].digest,
            rolled_back_to=2,
            from_version=3,
            withdrawn=before[3].digest,
            reason="it *swears*",
            time=done.time,
        )
        after = notes(push)
        assert {version: after[version] for version in before} == before
        gone = artifacts.Withdrawal(3, "it *swears*", done.time)
        assert after[4] == VersionMetadata(before[2].digest, 31.0, "nrefs:1", {before[3].digest: gone}, 2)
        extra = push.destination / "4" / "assets.extra"
        made = card.Card.decode((extra / ServedVersion.CARD_JSON.name).read_bytes())
        assert (made.version, made.rolled_back_to, made.withdrawn) == (4, 2, after[4].withdrawn)
        assert (made.digest, made.stated.licence, made.run_id) == (before[2].digest, "of b", "run 2")
        text = (extra / ServedVersion.CARD_MARKDOWN.name).read_text(encoding="utf-8")
        assert text.startswith("# es-en, version 4\n")
        assert "**A rollback**: this is version 2 again. Version 3 was withdrawn at " in text
        assert f"{done.time}: it \\*swears\\*\n" in text

    def test_what_was_withdrawn_is_never_pushed_again(self, push: Push) -> None:
        push("a")
        pushed = push("b")
        assert executor.still_valid(pushed_model=pushed)
        rollback(push.destination, "wrong numbers")
        assert not executor.still_valid(pushed_model=pushed)
        for _ in range(2):
            again = push("b")
            why = "not pushed: this model was withdrawn by a rollback (wrong numbers)"
            assert record(again) | {"pushed": False, "reason": why} == record(again)
            assert again.properties == {"pushed": 0}
            assert push.said[-1] == why
            assert executor.still_valid(pushed_model=again)
            assert push.listing() == ["1", "2", "3"]
            # And every later version remembers it.
            newer = push("c")
            assert newer.properties["version"] == 4
            shutil.rmtree(push.destination / "4")
        push("c")
        push("d")
        assert [list(note.withdrawn) for note in notes(push).values()] == [
            *([], []),
            *([notes(push)[2].digest],) * 3,
        ]
        assert notes(push)[5].rolled_back_to is None

    def test_pushing_what_was_rolled_back_to_keeps_the_memory(self, push: Push) -> None:
        push("a")
        push("b")
        rollback(push.destination, "wrong numbers")
        before = notes(push)[3]
        push.bleu = 33.0
        pushed = push("a")
        assert pushed.properties["version"] == 3
        assert notes(push)[3] == msgspec.structs.replace(before, bleu=33.0)
        assert "**A rollback**" in (push.destination / "3" / ServedVersion.CARD_MARKDOWN).read_text()
        assert executor.still_valid(pushed_model=pushed)

    def test_who_clears_the_memory_by_hand_may_push_again(self, push: Push) -> None:
        push("a")
        push("b")
        rollback(push.destination, "wrong numbers")
        note = push.destination / "3" / ServedVersion.METADATA
        note.write_bytes(msgspec.structs.replace(notes(push)[3], withdrawn={}).encode())
        push("a")
        text = (push.destination / "3" / ServedVersion.CARD_MARKDOWN).read_text()
        assert "**A rollback**: this is version 1 again.\n" in text
        assert push("b").properties["version"] == 4

    def test_it_goes_back_further_each_time_until_there_is_nothing(self, push: Push) -> None:
        for model in "abcb":
            push(model)
        found = [rollback(push.destination, "again").rolled_back_to for _ in range(2)]
        assert found == [3, 1]  # of the four, the newest and the second are the same model
        assert [content(push, version) for version in (5, 6)] == ["c", "a"]
        assert [w.version for w in notes(push)[6].withdrawn.values()] == [4, 5]
        before = push.listing()
        with pytest.raises(errors.ConfigError, match="nothing to go back to.* or all were withdrawn"):
            rollback(push.destination, "again")
        assert push.listing() == before

    def test_without_an_earlier_version_it_is_refused(self, push: Push) -> None:
        with pytest.raises(errors.ConfigError, match="no serving folder"):
            rollback(push.destination, "x")
        push.destination.mkdir(parents=True)
        with pytest.raises(errors.ConfigError, match="no version"):
            rollback(push.destination, "x")
        push("a")
        with pytest.raises(errors.ConfigError, match="one version"):
            rollback(push.destination, "x")
        assert push.listing() == ["1"]

    @pytest.mark.parametrize("name", ["saved_model.pb", "variables/data", "assets.extra/new"])
    def test_a_damaged_version_does_not_come_back(self, push: Push, name: str) -> None:
        for model in "abc":
            push(model)
        (push.destination / "2" / name).write_text("other")
        with pytest.raises(errors.DataError, match="2: its files are not those that were pushed") as caught:
            rollback(push.destination, "x")
        assert "to go back further" in caught.value.remedy
        assert push.listing() == ["1", "2", "3"]
        (push.destination / "2").rename(push.root / "elsewhere")
        assert rollback(push.destination, "x").rolled_back_to == 1

    def test_versions_of_which_nothing_is_known(self, push: Push) -> None:
        push("a")
        push("b")
        (push.destination / "2" / ServedVersion.METADATA).write_text("{")
        (push.destination / "2" / ServedVersion.CARD_JSON).write_text("{")
        (push.destination / "1" / ServedVersion.CARD_JSON).unlink()
        folder(push.destination / "3", saved_model_pb="by hand")
        digest = model_digest(push.destination / "3")
        done = rollback(push.destination, "by hand it is worse")
        assert (done.withdrawn, done.rolled_back_to, content(push, 4)) == (digest, 1, "a")
        assert (
            "**A rollback**: this is version 1 again"
            in (push.destination / "4" / ServedVersion.CARD_MARKDOWN).read_text()
        )

    def test_a_kill_leaves_the_state_before_or_after(self, push: Push) -> None:
        push("a")
        push("b")
        pristine = shutil.copytree(push.destination, push.root / "pristine")
        seen = set()
        for fatal in range(100):
            shutil.rmtree(push.destination)
            shutil.copytree(pristine, push.destination)
            done = _killed_at(push.destination, fatal)
            versions = serving.versions(push.destination)
            seen.add(max(versions))
            assert sorted(versions) in ([1, 2], [1, 2, 3])
            if 3 in versions:
                note = notes(push)[3]
                [withdrawn] = note.withdrawn
                assert (content(push, 3), note.rolled_back_to, withdrawn) == ("a", 1, notes(push)[2].digest)
                assert (push.destination / "3" / ServedVersion.CARD_MARKDOWN).read_text().count(
                    "**A rollback**"
                ) == 1
            else:
                assert rollback(push.destination, "again").version == 3
            assert push("c").properties["version"] == 4
            assert push.listing() == ["1", "2", "3", "4"]
            if done:
                break
        assert (done, seen) == (True, {2, 3})
        assert fatal > 10


def _killed_at(destination: Path, fatal: int) -> bool:
    """A rollback in a process that ends, as if killed, before its `fatal`th change of a file or folder.

    Returns:
      Whether it came to its end.
    """
    if (child := os.fork()) == 0:
        count = 0

        def dying(function: Any) -> Any:
            def call(*arguments: Any, **named: Any) -> Any:
                nonlocal count
                if count == fatal:
                    os._exit(9)
                count += 1
                return function(*arguments, **named)

            return call

        try:
            for owner, name in [
                *((Path, name) for name in ("mkdir", "write_bytes", "rename")),
                *((shutil, "copyfile"), (shutil, "rmtree"), (serving, "flush")),
            ]:
                setattr(owner, name, dying(getattr(owner, name)))
            rollback(destination, "killed")
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9)
    return code == 0
