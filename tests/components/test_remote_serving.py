"""A serving folder on an object store: a version is complete or ignored, wherever its push is killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bitext.components.artifacts import ServedVersion, model_digest
from bitext.components.pusher import remote_serving, serving
from bitext.components.pusher.rollback import rollback
from bitext.components.shared import storage
from bitext.components.shared.errors import DataError, LockedError
from tests.components.test_pusher import PIPELINE, Push, record
from tests.object_store import bucket, s3_address

__all__ = ["bucket", "s3_address"]


class Killed(Exception):
    """Takes the place of SIGKILL."""


@pytest.fixture
def push(tmp_path: Path, bucket: str) -> Push:
    """Pushes models to a remote folder."""
    push = Push(tmp_path)
    push.destination = storage.path(f"{bucket}/models/es-en")
    return push


def names(push: Push) -> list[str]:
    """The files of the serving folder."""
    files = storage.files_below(push.destination)
    return [file.relative_to(push.destination).as_posix() for file in files]


def test_a_push_writes_a_version_and_the_configuration_of_tensorflow_serving(push: Push) -> None:
    pushed = push("model 1")
    assert record(pushed)["path"] == f"{push.destination}/1"
    assert names(push) == [
        ".claims/1",
        "1/assets.extra/bitext.json",
        "1/assets.extra/model_card.json",
        "1/assets.extra/model_card.md",
        "1/saved_model.pb",
        "1/variables/data",
        "models.config",
    ]
    metadata = ServedVersion(push.destination / "1").metadata()
    assert metadata is not None
    assert metadata.folder_inode is None
    push("model 1")
    assert remote_serving.versions(push.destination) == [1]
    push("model 2")
    config = (push.destination / remote_serving.MODELS_CONFIG).read_text(encoding="utf-8")
    assert "specific { versions: 2 }" in config
    assert f'base_path: "{push.destination}"' in config
    assert 'name: "es-en"' in config


def test_the_configuration_is_one_that_tensorflow_serving_reads(push: Push) -> None:
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    push("model 1")
    text = (push.destination / remote_serving.MODELS_CONFIG).read_text(encoding="utf-8")
    [config] = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert (config.name, config.model_platform) == ("es-en", "tensorflow")
    assert list(config.model_version_policy.specific.versions) == [1]


def test_a_push_that_is_killed_at_any_request_is_completed_by_the_next(
    push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiobotocore.client import AioBaseClient

    push("model 1")
    request = AioBaseClient._make_api_call
    kills = 0
    while True:
        left = kills

        async def counted(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
            nonlocal left
            if operation == "PutObject":
                left -= 1
                if left < 0:
                    raise Killed
            return await request(client, operation, arguments)

        monkeypatch.setattr(AioBaseClient, "_make_api_call", counted)
        try:
            push(f"model {kills + 2}")
            break
        except Killed:
            kills += 1
        finally:
            monkeypatch.setattr(AioBaseClient, "_make_api_call", request)
        for version in serving.versions(push.destination):
            served = ServedVersion(push.destination / str(version))
            assert serving.problem_of(served) == ""
        push(f"model {kills + 1}")
        newest = serving.newest_version(push.destination)
        assert serving.problem_of(newest) == ""
        assert (newest.path / "saved_model.pb").read_text(encoding="utf-8") == f"model {kills + 1}"
    assert kills >= 7


def test_a_push_that_was_suspended_does_not_touch_the_version_of_another(push: Push) -> None:
    push("model 1")
    suspended = remote_serving.claim(push.destination)
    push("model 3")
    assert serving.versions(push.destination) == [1, 3]
    model = push.root / "1" / "model" / "Format-Serving"
    metadata = {ServedVersion.METADATA: (push.destination / "1" / ServedVersion.METADATA).read_bytes()}

    def taken_over() -> None:
        raise LockedError("another run has taken over")

    arguments = push.destination, suspended, model_digest(model), metadata
    with pytest.raises(LockedError):
        remote_serving.publish(model, *arguments, taken_over)
    assert serving.versions(push.destination) == [1, 3]
    remote_serving.publish(model, *arguments, lambda: None)  # the take-over came after the check
    newest = serving.newest_version(push.destination)
    assert (newest.path / "saved_model.pb").read_text(encoding="utf-8") == "model 3"
    config = (push.destination / remote_serving.MODELS_CONFIG).read_text(encoding="utf-8")
    assert "specific { versions: 3 }" in config


def test_what_killed_pushes_have_left_is_removed(push: Push) -> None:
    push("model 1")
    number = remote_serving.claim(push.destination)
    (push.destination / str(number) / "variables" / "data").write_bytes(b"1")
    push("model 3")
    assert serving.versions(push.destination) == [1, 3]
    assert not (push.destination / str(number)).is_dir()
    assert [name for name in names(push) if name.startswith(".claims/")] == [".claims/3"]


def test_several_pushes_at_once_get_numbers_of_their_own(push: Push) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: remote_serving.claim(push.destination), range(24)))
    assert sorted(numbers) == list(range(1, 25))


def test_a_rollback_copies_the_earlier_version(push: Push) -> None:
    push("model 1")
    push("model 2")
    done = rollback(push.destination, "bad", PIPELINE, root_id="r", place="here")
    assert (done.version, done.rolled_back_to, done.path) == (3, 1, f"{push.destination}/3")
    newest = serving.newest_version(push.destination)
    assert (newest.path / "saved_model.pb").read_text(encoding="utf-8") == "model 1"
    assert record(push("model 2"))["pushed"] is False


def test_a_damaged_version_is_found(push: Push) -> None:
    push("model 1")
    (push.destination / "1" / "variables" / "data").write_text("2", encoding="utf-8")
    assert "is damaged" in serving.problem_of(serving.newest_version(push.destination))
    assert record(push("model 1"))["version"] == 2


def test_a_copy_that_differs_from_the_validated_model_is_no_version(
    push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = storage.upload

    def damaging(folder: Path, target: Path) -> None:
        upload(folder, target)
        (target / "variables" / "data").write_text("2", encoding="utf-8")

    monkeypatch.setattr(storage, "upload", damaging)
    with pytest.raises(DataError, match="is not the model that was copied there"):
        push("model 1")
    assert serving.versions(push.destination) == []
