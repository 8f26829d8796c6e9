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

from components import artifacts, errors
from components.component import Context
from components.files import tree_digest
from components.pusher import Parameters, card, executor

METRICS = {
    "chrf": {"score": 50.0, "signature": "nrefs:1"},
    "perplexity": 4.0,
    "length_ratio": 1.0,
    "by_source_length": [],
    "sentences": 9,
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
        verdicts = [
            artifacts.ModelBlessing(folder(here / "b", **{"BLESSED" if blessed else "NOT_BLESSED": "{}"})),
            artifacts.InfraBlessing(
                folder(here / "i", **{"INFRA_BLESSED" if infra else "INFRA_NOT_BLESSED": "{}"})
            ),
        ]
        bleu = {"score": self.bleu, "signature": "nrefs:1"}
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
            examples=artifacts.Examples(here),
            rejects=artifacts.Rejects(here),
            schema=artifacts.Schema(here),
            transformed_examples=artifacts.Examples(here),
            transform_graph=artifacts.TransformGraph(here),
            model=model,
            blessing=verdicts[0],
            infra_blessing=verdicts[1],
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
    assert changed == {executor.NOTE, card.JSON, card.MARKDOWN}
    assert json.loads((version / executor.NOTE).read_text())["bleu"] == 33.0
    found = json.loads((version / card.JSON).read_text())
    assert (found["version"], found["run_id"], found["stated"]["licence"]) == (1, "run 2", "CC0")
    assert "> CC0\n" in (version / card.MARKDOWN).read_text()


def test_what_the_trainer_put_beside_the_cards_is_pushed_too(push: Push) -> None:
    serving = folder(push.root / "1" / "model", **{"Format-Serving__assets.extra__warm": "requests"})
    push("a")
    extra = push.destination / "1" / "assets.extra"
    assert sorted(path.name for path in extra.iterdir()) == [
        *("bitext.json", "model_card.json", "model_card.md", "warm")
    ]
    note = json.loads((extra / "bitext.json").read_text())
    assert note["digest"] == tree_digest(serving / "Format-Serving")


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
    note = push.destination / "1" / executor.NOTE
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

    monkeypatch.setattr(executor, "flush", fail)
    with pytest.raises(errors.EnvironmentFault, match="No space left"):
        push("a")
    assert {path: path.read_bytes() for path in push.destination.rglob("*") if path.is_file()} == before
    assert push.listing() == ["1"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_fault_of_the_machine_is_named_and_leaves_nothing(
    push: Push, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    push("a")

    def fail(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(errors.EnvironmentFault, match=os.strerror(number)):
        push("b")
    assert push.listing() == ["1"]


def test_a_defect_is_not_taken_for_a_fault(push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: Path, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(OSError, match="Input/output"):
        push("a")


def test_a_destination_that_cannot_be(push: Push) -> None:
    with pytest.raises(errors.ConfigError, match="destination is empty"):
        push("a", destination="")
    folder(push.root, file="")
    with pytest.raises(errors.ConfigError, match="not a folder"):
        push("a", destination=str(push.root / "file"))


def test_the_digest_sees_names_and_contents(tmp_path: Path) -> None:
    digests = {
        tree_digest(folder(tmp_path / "1", a="x", b="y")),
        tree_digest(folder(tmp_path / "2", a="y", b="x")),
        tree_digest(folder(tmp_path / "3", a="x", sub__b="y")),
        tree_digest(folder(tmp_path / "4", b="y", a="x")),
    }
    assert len(digests) == 3
