"""Versions that come and go while requests run."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bitext.components.artifacts import ServedVersion, Withdrawal
from bitext.components.serving.app import Application
from bitext.components.serving.catalog import Catalog, rollback_candidate
from bitext.components.serving.errors import RequestError
from bitext.components.serving.manager import Manager
from bitext.components.shared.errors import DataError
from tests.components import served_toys
from tests.components.served_toys import digest, push

WITHDRAWN = Withdrawal(2, "wrong numbers", "2026-01-31T12:00:00+00:00")


def manager(serving: Path, said: list[str] | None = None, extra: int = 2) -> Manager:
    started = Manager(Catalog(serving), False, extra, (said if said is not None else []).append)
    started.start()
    return started


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def states(manager: Manager) -> dict[int, str]:
    return {number: state.state for number, state in sorted(manager.states.items())}


def test_names_and_numbers(tmp_path: Path) -> None:
    version = push(tmp_path / "toy", 3)
    for folder, name, watched in ((tmp_path / "toy", "toy", True), (version, "toy", False)):
        catalog = Catalog(folder)
        assert (catalog.name, catalog.is_watched) == (name, watched)
        assert [found.number for found in catalog.versions()] == [3]
    artifact = tmp_path / "model"
    shutil.copytree(version, artifact / "Format-Serving")
    assert (Catalog(artifact).name, Catalog(artifact).versions()[0].number) == ("model", 1)
    with pytest.raises(DataError, match="no model at"):
        Catalog(tmp_path / "nothing")


def test_a_new_version_is_served_and_the_old_one_is_unloaded(tmp_path: Path) -> None:
    push(tmp_path, 1)
    said: list[str] = []
    versions = manager(tmp_path, said)

    async def test() -> None:
        await versions.look()
        assert states(versions) == {1: "AVAILABLE"}
        with versions.use() as first:
            push(tmp_path, 2, "reverse")
            await versions.look()
            assert versions.served == 2
            assert states(versions) == {1: "UNLOADING", 2: "AVAILABLE"}
            with versions.use() as second:
                assert second.version.number == 2
            with pytest.raises(RequestError, match=r"Servable not found for request: Specific\(.*, 1\)"):
                versions.use(1).__enter__()
            assert first.translator.source_language == "en"  # it still works
        await until(lambda: states(versions) == {1: "END", 2: "AVAILABLE"})
        assert not hasattr(first, "translator")

    run(test)
    assert [line.partition(" from ")[0] for line in said] == [
        "version 1 is loaded",
        "version 2 is loaded",
        "version 2 is served now, after version 1",
        "version 1 is unloaded",
    ]


def damage_weights(version: Path) -> None:
    next((version / "variables").glob("variables.data*")).write_bytes(b"x")


def damage_graph(version: Path) -> None:
    (version / "saved_model.pb").write_bytes(b"\x0a\xff")


def damage_metadata(version: Path) -> None:
    (version / ServedVersion.METADATA).write_text("{")


def damage_warm_up(version: Path) -> None:
    (version / "assets.extra").mkdir(exist_ok=True)
    (version / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no record" * 9)


@pytest.mark.parametrize(
    ("damage", "described"),
    [
        (damage_weights, True),
        (damage_weights, False),
        (damage_graph, True),
        (damage_graph, False),
        (damage_metadata, True),
        (damage_warm_up, True),
        (damage_warm_up, False),
    ],
)
def test_a_damaged_version_is_not_served(
    tmp_path: Path, damage: Callable[[Path], None], described: bool
) -> None:
    serving = tmp_path / "toy"
    push(serving, 1)
    said: list[str] = []
    versions = manager(serving, said)
    damaged = push(tmp_path / "elsewhere", 2, described=described)
    damage(damaged)
    damaged.rename(serving / "2")

    async def test() -> None:
        for _ in range(4):
            await versions.look()
        assert versions.served == 1
        assert states(versions) == {1: "AVAILABLE", 2: "END"}
        assert versions.load_failures == 1  # it is not tried again and again
        shutil.rmtree(serving / "2")
        push(serving, 2)
        await versions.look()
        assert versions.served == 2

    run(test)
    assert said[1].startswith("version 2 is not served: ")
    assert said[1].endswith("; version 1 stays")


def test_a_version_that_another_program_copies_is_loaded_when_it_is_complete(tmp_path: Path) -> None:
    push(tmp_path, 1)
    said: list[str] = []
    versions = manager(tmp_path, said)

    async def test() -> None:
        whole = served_toys.saved_model("reverse")
        (tmp_path / "2" / "variables").mkdir(parents=True)
        for name in (
            "saved_model.pb",
            "variables/variables.index",
            "variables/variables.data-00000-of-00001",
        ):
            shutil.copy(whole / name, tmp_path / "2" / name)
            await versions.look()
            assert versions.served == 1
        await versions.look()
        assert versions.served == 2
        assert versions.load_failures == 0

    run(test)


def test_a_removed_version_is_unloaded(tmp_path: Path) -> None:
    push(tmp_path, 1)
    push(tmp_path, 2)
    versions = manager(tmp_path)

    async def test() -> None:
        shutil.rmtree(tmp_path / "2")
        await versions.look()
        assert versions.served == 1
        shutil.rmtree(tmp_path / "1")
        await versions.look()
        assert versions.served is None
        with pytest.raises(RequestError, match="Servable not found for request: Latest"):
            versions.use().__enter__()
        push(tmp_path, 3)
        await versions.look()
        assert versions.served == 3

    run(test)


def test_a_folder_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    serving = tmp_path / "toy"
    push(serving, 1)
    said: list[str] = []
    versions = manager(serving, said)

    async def test() -> None:
        serving.rename(tmp_path / "away")
        for _ in range(3):
            await versions.look()
        assert versions.served == 1

    run(test)
    assert said[1:] == [
        f"the serving folder {serving} cannot be read: No such file or directory; version 1 stays"
    ]


def test_a_withdrawn_version_is_not_served_even_if_its_replacement_is_damaged(tmp_path: Path) -> None:
    push(tmp_path, 1, "upper")
    push(tmp_path, 2, "reverse")
    copy = push(tmp_path, 3, "upper", rolled_back_to=1, withdrawn={digest("reverse"): WITHDRAWN})
    damage_weights(copy)
    said: list[str] = []
    versions = manager(tmp_path, said)
    assert versions.served == 1
    assert [version.withdrawal for version in versions.versions] == [None, WITHDRAWN, None]
    assert said[0].startswith("version 3 is not served: the model at ")


def test_start_refuses_if_nothing_can_be_loaded(tmp_path: Path) -> None:
    damage_weights(push(tmp_path, 1))
    with pytest.raises(DataError, match="its files are not those that were pushed"):
        manager(tmp_path)


def test_a_failing_warm_up_request_refuses_the_version(tmp_path: Path) -> None:
    version = push(tmp_path, 1, described=False)
    served_toys.write_warm_up(version, "serving_default", {"text": ["a"]})
    assert manager(tmp_path).served == 1
    served_toys.write_warm_up(version, "detokenize", {"tokens": [[100_000]]})
    with pytest.raises(DataError, match="fails in its warm-up: "):
        manager(tmp_path)
    served_toys.write_warm_up(version, "serving_default", {"words": ["a"]})
    with pytest.raises(DataError, match="holds no requests of this model"):
        manager(tmp_path)


def test_the_rollback_candidate_is_that_of_the_rollback(tmp_path: Path) -> None:
    push(tmp_path, 1, "upper")
    push(tmp_path, 2, "copy")
    push(tmp_path, 3, "reverse")
    found = rollback_candidate(Catalog(tmp_path).versions())
    assert found is not None
    assert found.number == 2
    push(tmp_path, 4, "upper", rolled_back_to=1, withdrawn={digest("reverse"): WITHDRAWN})
    found = rollback_candidate(Catalog(tmp_path).versions())
    assert found is not None
    assert found.number == 2
    push(tmp_path, 5, "upper", withdrawn={digest("reverse"): WITHDRAWN, digest("copy"): WITHDRAWN})
    assert rollback_candidate(Catalog(tmp_path).versions()) is None


class TestBorrowedVersions:
    def test_they_are_loaded_and_the_oldest_makes_room(self, tmp_path: Path) -> None:
        for number in range(1, 5):
            push(tmp_path, number)
        versions = manager(tmp_path)

        async def test() -> None:
            for number, expected in ((1, {4, 1}), (2, {4, 1, 2}), (4, {4, 1, 2}), (3, {4, 2, 3})):
                await versions.borrow(number)
                assert set(versions.loaded()) == expected
            with versions.use(2):
                pass
            await versions.borrow(1)
            assert set(versions.loaded()) == {4, 2, 1}
            shutil.rmtree(tmp_path / "2")
            await versions.look()
            assert set(versions.loaded()) == {4, 1}

        run(test)

    def test_what_cannot_be_borrowed(self, tmp_path: Path) -> None:
        damage_weights(push(tmp_path, 1))
        push(tmp_path, 2)
        versions, none = manager(tmp_path), manager(tmp_path, extra=0)

        async def test() -> None:
            for of, number, message in (
                (versions, 7, "there is no version 7"),
                (versions, 1, "its files are not those that were pushed"),
                (versions, 1, "its files are not those that were pushed"),
                (none, 1, "--extra-versions 0 allows no other"),
            ):
                with pytest.raises(RequestError, match=message) as caught:
                    await of.borrow(number)
                assert caught.value.status == 404
            assert versions.load_failures == 1

        run(test)

    def test_a_borrowed_version_becomes_the_served_one(self, tmp_path: Path) -> None:
        for number in (1, 2):
            push(tmp_path, number)
        versions = manager(tmp_path)

        async def test() -> None:
            await versions.borrow(1)
            shutil.rmtree(tmp_path / "2")
            await versions.look()
            assert versions.served == 1
            assert set(versions.loaded()) == {1}

        run(test)


class TestLabels:
    def test_a_version_with_a_label_stays_loaded(self, tmp_path: Path) -> None:
        for number in (1, 2):
            push(tmp_path, number)
        versions = Manager(
            Catalog(tmp_path), False, 0, lambda text: None, {"stable": 1, "next": 2, "later": 3}
        )
        with pytest.raises(DataError, match="--label later=3: there is no version 3 in"):
            versions.start()
        versions = Manager(Catalog(tmp_path), False, 0, lambda text: None, {"stable": 1, "newest": 2})
        versions.start()

        async def test() -> None:
            assert (versions.served, set(versions.loaded())) == (2, {1, 2})
            push(tmp_path, 3, "reverse")
            await versions.look()
            assert (versions.served, set(versions.loaded())) == (3, {1, 2, 3})
            assert versions.number_of("stable") == 1
            shutil.rmtree(tmp_path / "1")
            await versions.look()
            assert set(versions.loaded()) == {2, 3}
            with pytest.raises(RequestError, match="Unrecognized servable version label: stable"):
                versions.number_of("stable")
            push(tmp_path, 1)
            await versions.look()
            assert (versions.served, versions.number_of("stable")) == (3, 1)

        run(test)

    def test_clients_ask_for_it(self, tmp_path: Path) -> None:
        push(tmp_path / "toy", 1, "reverse")
        push(tmp_path / "toy", 2)
        with served_toys.client(tmp_path / "toy", labels={"stable": 1}) as client:
            assert served_toys.predict(client, ["a b"]) == ["A B"]
            assert served_toys.predict(client, ["a b"], "/v1/models/toy/labels/stable:predict") == ["b a"]
            spec = client.get("/v1/models/toy/labels/stable/metadata").json()["model_spec"]
            assert spec["version"] == "1"


def test_an_unexpected_error_of_the_watch_stops_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = served_toys.service(push(tmp_path / "toy", 1).parent)
    application, stopped = Application(service), threading.Event()
    application.stop = stopped.set

    def failing() -> None:
        raise ZeroDivisionError("unexpected")

    with TestClient(application.asgi(), served_toys.HOST) as client:
        monkeypatch.setattr(service.manager.catalog, "versions", failing)
        assert stopped.wait(30)
        assert served_toys.predict(client, ["a"]) == ["A"]
    assert isinstance(application.failure, ZeroDivisionError)


def test_files_that_cannot_be_read_are_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(tmp_path, 1)
    said: list[str] = []
    versions = manager(tmp_path, said)

    def failing(self: ServedVersion) -> str:
        raise PermissionError(13, "Permission denied")

    async def test() -> None:
        monkeypatch.setattr(ServedVersion, "model_digest", failing)
        push(tmp_path, 2)
        await versions.look()
        assert versions.served == 1

    run(test)
    assert said[1] == (
        f"version 2 is not served: the model at {tmp_path / '2'} cannot be read: Permission denied;"
        " version 1 stays"
    )


def test_no_request_is_lost_while_versions_change(tmp_path: Path) -> None:
    """Clients in threads translate all the time, while three versions are pushed."""
    serving = tmp_path / "toy"
    push(serving, 1, "upper")
    results: list[str] = []
    errors: list[Any] = []
    stop = threading.Event()
    with served_toys.client(serving) as client:

        def work() -> None:
            while not stop.is_set():
                try:
                    results.extend(served_toys.predict(client, ["one two"]))
                except AssertionError as error:
                    errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number, behavior in ((2, "reverse"), (3, "copy"), (4, "upper")):
            push(serving, number, behavior)
            for _ in range(3000):
                state = client.get(f"/v1/models/toy/versions/{number}")
                if state.status_code == 200 and "AVAILABLE" in state.text:
                    break
        stop.set()
        for thread in threads:
            thread.join()
        status = client.get("/v1/models/toy").json()["model_version_status"]
    assert not errors
    assert set(results) == {"ONE TWO", "two one", "one two"}
    assert (status[0]["version"], status[0]["state"]) == ("4", "AVAILABLE")
