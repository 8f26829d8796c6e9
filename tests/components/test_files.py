"""Local files: digests, JSON, gzip, atomic writing; and faults of the environment."""

from __future__ import annotations

import errno
import gzip
import json
import os
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


def test_a_dangling_link_that_a_pattern_matches_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("", encoding="ascii")
    (tmp_path / "b.tsv").symlink_to("gone.tsv")
    with pytest.raises(DataError, match=r"b\.tsv is a symbolic link to gone\.tsv"):
        files.local_files(str(tmp_path / "*.tsv"))
