"""Local files: digests, JSON, gzip, atomic writing; and faults of the environment."""

from __future__ import annotations

import errno
import gzip
import json
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from bitext.components.shared import faults, files
from bitext.components.shared.errors import DataError, EnvironmentFault


def test_folder_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b", "a", "sub/c"):
        (tmp_path / name).write_text(name)
    listing = subprocess.run(
        ["sha256sum", "a", "b", "sub/c"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    (tmp_path / "listing").write_bytes(listing)
    digest = files.folder_digest(tmp_path, exclude=[Path("listing")])
    assert digest == files.file_digest(tmp_path / "listing")


def test_json_ends_with_a_line_feed_and_has_no_infinity(tmp_path: Path) -> None:
    files.write_json(tmp_path / "x.json", {"a": [1, float("inf")], "ї": {}})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text) == {"a": [1, None], "ї": {}}


def test_gzip_has_no_name_and_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, now in (("a.gz", 1.0), ("b.gz", 2e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        with files.gzip_writer(tmp_path / name) as file:
            file.write(b"text")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"text"


class TestAtomicWriter:
    def test_the_file_appears_complete_with_the_default_permissions(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        path.write_text("old")
        with files.atomic_writer(path) as file:
            file.write(b"new")
            file.flush()
            assert path.read_text() == "old"
        assert path.read_text() == "new"
        assert os.listdir(tmp_path) == ["out"]
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_an_exception_leaves_the_old_file(self, tmp_path: Path, error: type[BaseException]) -> None:
        path = tmp_path / "out"
        path.write_text("old")

        def write_and_fail() -> None:
            with files.atomic_writer(path, durable=True) as file:
                file.write(b"new")
                raise error

        with pytest.raises(error):
            write_and_fail()
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["out"]

    def test_a_planted_link_is_not_followed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The temporary name cannot be guessed, and a file that has it is never opened."""
        victim, path = tmp_path / "victim", tmp_path / "out"
        victim.write_text("precious")
        monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
        (tmp_path / ".out.guessed.partial").symlink_to(victim)
        with pytest.raises(FileExistsError), files.atomic_writer(path):
            pass
        assert victim.read_text() == "precious"

    def test_two_writers_use_different_temporary_files(self, tmp_path: Path) -> None:
        path = tmp_path / ("x" * 250)
        with files.atomic_writer(path) as first, files.atomic_writer(path) as second:
            first.write(b"first")
            second.write(b"second")
        assert path.read_text() == "first"
        assert len(os.listdir(tmp_path)) == 1


class TestFaults:
    @pytest.mark.parametrize("number", sorted(faults.REMEDIES))
    def test_a_fault_names_the_path_and_the_remedy(self, number: int) -> None:
        fault = faults.environment_fault(number, "/a/b")
        assert str(fault) == f"/a/b: {os.strerror(number)}"
        assert fault.remedy == faults.REMEDIES[number]

    def test_errors_while_writing_are_faults(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        with pytest.raises(EnvironmentFault) as caught, faults.reporting_faults(path, "free space"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        assert (str(caught.value), caught.value.remedy) == (
            f"cannot write {path}: No space left on device",
            "free space",
        )
        with (
            pytest.raises(EnvironmentFault, match="not a file .*/elsewhere"),
            faults.reporting_faults(path, ""),
        ):
            raise OSError(errno.EIO, "not a file", str(tmp_path / "elsewhere"))

    def test_other_errors_are_not_faults(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="defect"), faults.reporting_faults(tmp_path, ""):
            raise ValueError("defect")


class TestLocalFiles:
    """A pattern matches regular files; what cannot be read is an error, not a smaller corpus."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("a.tsv", "b.tsv", ".hidden.tsv", "folder/c.tsv"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    @pytest.mark.parametrize("pattern", ["*.tsv", "*", "[a-z].tsv", "**/*.tsv", "x.tsv"])
    def test_a_dangling_link_and_a_loop_of_links_are_named(self, folder: Path, pattern: str) -> None:
        (folder / "x.tsv").symlink_to("gone.tsv")
        with pytest.raises(DataError, match=r"x\.tsv is a symbolic link to gone\.tsv, which does not exist"):
            files.local_files(f"{folder}/{pattern}")
        (folder / "gone.tsv").symlink_to("x.tsv")
        with pytest.raises(DataError, match=r"is a symbolic link to .*, which is a loop of links"):
            files.local_files(f"{folder}/{pattern}")

    @pytest.mark.parametrize("pattern", ["*.tsv", "*", "x.tsv"])
    def test_special_files_are_named(self, folder: Path, pattern: str) -> None:
        os.mkfifo(folder / "x.tsv")
        with pytest.raises(DataError, match=r"x\.tsv is a pipe \(FIFO\), not a regular file"):
            files.local_files(f"{folder}/{pattern}")
        (folder / "x.tsv").unlink()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(folder / "x.tsv"))
            with pytest.raises(DataError, match=r"x\.tsv is a socket"):
                files.local_files(f"{folder}/{pattern}")
        (folder / "x.tsv").unlink()
        (folder / "x.tsv").symlink_to("/dev/null")
        with pytest.raises(DataError, match=r"x\.tsv is a device"):
            files.local_files(f"{folder}/{pattern}")

    def test_folders_are_left_out_unless_the_pattern_has_an_ending(self, folder: Path) -> None:
        both = [f"{folder}/a.tsv", f"{folder}/b.tsv"]
        assert files.local_files(f"{folder}/*") == both
        assert files.local_files(f"{folder}") == []
        (folder / "d.tsv").mkdir()
        with pytest.raises(DataError, match=r"d\.tsv is a folder, but .*\*\.tsv matches it") as caught:
            files.local_files(f"{folder}/*.tsv")
        assert f"{folder}/d.tsv/*" in caught.value.remedy
        (folder / "d.tsv" / "part-1.tsv").touch()
        assert f"{folder}/d.tsv/part-1.tsv" in files.local_files(f"{folder}/**/*.tsv")

    def test_a_file_or_a_folder_that_cannot_be_read_is_named(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("b.tsv", "folder"):
            # The superuser, who may run this test, can read everything.
            monkeypatch.setattr(
                os, "access", lambda path, mode, name=name: not str(path).rstrip("/").endswith(name)
            )
            with pytest.raises(DataError, match=f"cannot read .*{name}/?: permission denied"):
                files.local_files(f"{folder}/**/*.tsv")

    def test_a_link_to_a_folder_above_gives_no_file_twice(self, folder: Path) -> None:
        (folder / "folder" / "up").symlink_to("..", target_is_directory=True)
        found = files.local_files(f"{folder}/**/*.tsv")
        assert found == [f"{folder}/{name}" for name in ("a.tsv", "b.tsv", "folder/c.tsv")]

    def test_a_dangling_link_to_a_folder_is_named(self, folder: Path) -> None:
        (folder / "more").symlink_to("gone", target_is_directory=True)
        with pytest.raises(DataError, match="more is a symbolic link to gone"):
            files.local_files(f"{folder}/*/*.tsv")
