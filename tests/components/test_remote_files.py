"""Inputs and outputs of commands on an object store."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bitext.components.shared import storage
from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault
from bitext.components.translation.lines import open_input
from bitext.components.translation.output import check_output_file, open_output
from tests.object_store import bucket, s3_address

__all__ = ["bucket", "s3_address"]


def test_an_output_appears_whole_and_compressed(bucket: str) -> None:
    path = storage.path(f"{bucket}/translations/out.txt.gz")
    with open_output(path) as write:
        write(b"uno\n")
        assert not path.exists()
        write(b"dos\n")
    assert gzip.decompress(path.read_bytes()) == b"uno\ndos\n"
    with open_input(path) as chunks:
        assert b"".join(chunks) == b"uno\ndos\n"
    assert storage.files_below(storage.path(bucket)) == [path]


def test_a_failed_command_leaves_the_earlier_output(bucket: str) -> None:
    path = storage.path(f"{bucket}/out.txt")
    path.write_bytes(b"earlier")

    def fail() -> None:
        with open_output(path) as write:
            write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"earlier"


def test_an_output_that_is_the_input_or_a_folder_is_refused(bucket: str, tmp_path: Path) -> None:
    path = storage.path(f"{bucket}/a/in.txt")
    path.write_bytes(b"x")
    with pytest.raises(ConfigError, match="it is the input"):
        check_output_file(path, storage.path(f"{bucket}/a/in.txt"))
    with pytest.raises(ConfigError, match="it is a folder"):
        check_output_file(storage.path(f"{bucket}/a"), tmp_path / "in.txt")
    check_output_file(storage.path(f"{bucket}/a/out.txt"), path)


def test_a_bucket_that_does_not_exist_is_found_before_any_work(bucket: str) -> None:
    with pytest.raises(EnvironmentFault, match="bucket does not exist") as caught:
        check_output_file(storage.path(f"{bucket}x/out.txt"))
    assert caught.value.remedy == "create the bucket, or correct the address"


def test_an_input_that_does_not_exist(bucket: str) -> None:
    with (
        pytest.raises(DataError, match="none.txt: there is no such file"),
        open_input(storage.path(f"{bucket}/none.txt")) as chunks,
    ):
        list(chunks)
