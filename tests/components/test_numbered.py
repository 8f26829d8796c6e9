"""Which names are numbers of folders: of versions, which TensorFlow Serving reads alike, and executions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.artifacts import Artifact
from bitext.components.pusher import serving
from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.shared.numbered import HIGHEST, folder_number, number_for_a_server
from bitext.components.translation import output, translator
from bitext.pipeline.layout import Layout

OTHERS = (
    "007",
    "00",
    "١٢",
    "１２",
    "²",
    "1_000",
    "+7",
    " 7",
    "7 ",
    "-1",
    "",
    "1.0",
    "1" * 20,
    str(HIGHEST + 1),
)


@pytest.mark.parametrize("name", OTHERS)
def test_other_names_are_no_numbers(name: str) -> None:
    assert folder_number(name) is None


@given(st.integers(0, HIGHEST))
def test_a_number_has_one_name(number: int) -> None:
    assert folder_number(str(number)) == number == number_for_a_server(str(number))


@given(st.text(max_size=25) | st.from_regex(r"[+ ]?0*[0-9]{1,22} ?", fullmatch=True))
def test_every_number_is_one_for_a_server(name: str) -> None:
    number = folder_number(name)
    if number is not None:
        assert str(number) == name
        assert number_for_a_server(name) == number


@pytest.mark.parametrize(
    ("name", "version"),
    [("007", 7), ("00", 0), ("+7", 7), (" 7\n", 7), ("0" * 30 + "1", 1), ("١٢", None), ("1" * 20, None)],
)
def test_what_tensorflow_serving_reads(name: str, version: int | None) -> None:
    assert number_for_a_server(name) == version


def saved_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    return folder


class TestServingFolder:
    def test_only_numbers_are_versions(self, tmp_path: Path) -> None:
        for name in ("3", "0", "12", *(name for name in OTHERS if name)):
            saved_model(tmp_path / name)
        assert sorted(serving.versions(tmp_path)) == [0, 3, 12]
        assert serving.newest_version(tmp_path).path == tmp_path / "12"
        assert translator.find_saved_model(tmp_path) == tmp_path / "12"

    @pytest.mark.parametrize("name", ["١٢", "1" * 20])
    def test_a_model_in_another_folder_alone_is_not_found(self, tmp_path: Path, name: str) -> None:
        saved_model(tmp_path / name)
        with pytest.raises(DataError, match="no numbered version"):
            translator.find_saved_model(tmp_path)

    @pytest.mark.parametrize(("name", "number"), [("007", 7), ("+2", 2)])
    def test_a_folder_that_a_server_reads_otherwise_stops_a_push(
        self, tmp_path: Path, name: str, number: int
    ) -> None:
        """TensorFlow Serving would serve `007` and not the version 2 that was pushed."""
        saved_model(tmp_path / name)
        for check in (
            lambda: serving.check_owner(tmp_path, "toy", "another folder"),
            lambda: serving.next_version(tmp_path, 1),  # with `take_over`, the owner is not checked
        ):
            with pytest.raises(ConfigError, match=rf"TensorFlow Serving reads as version {number}") as caught:
                check()
            assert name in str(caught.value)
            assert "rename it" in caught.value.remedy

    def test_the_highest_number_has_no_next(self, tmp_path: Path) -> None:
        saved_model(tmp_path / str(HIGHEST))
        assert serving.next_version(tmp_path, 6) == 7
        with pytest.raises(ConfigError, match="there is no next version"):
            serving.next_version(tmp_path, HIGHEST)


def test_folders_of_executions(tmp_path: Path) -> None:
    for name in ("7", *(name for name in OTHERS if name)):
        (tmp_path / "Trainer" / "model" / name).mkdir(parents=True)
    assert list(Layout(tmp_path).outputs("Trainer", "model")) == [(7, tmp_path / "Trainer" / "model" / "7")]
    assert Artifact(tmp_path / "Trainer" / "model" / "7").node == "Trainer"
    assert Artifact(tmp_path / "Trainer" / "model" / "007").node == ""


def test_a_descriptor_has_ascii_digits() -> None:
    assert output._own_descriptor(Path("/proc/self/fd/1")) == 1
    assert output._own_descriptor(Path("/proc/self/fd/١")) is None
