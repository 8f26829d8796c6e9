"""Outputs of `bitext translate` and `bitext export`: files, links, pipes, devices, folders."""

from __future__ import annotations

import bz2
import gzip
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from bitext.components.shared.errors import ConfigError, EnvironmentFault
from bitext.components.translation import output
from bitext.components.translation.output import (
    check_output_file,
    check_output_folder,
    new_folder,
    open_output,
)

ROOT = Path(__file__).resolve().parents[2]
IS_ROOT = os.geteuid() == 0


def write(path: Path, *chunks: bytes) -> None:
    """Writes chunks through `open_output`."""
    with open_output(path) as write_chunk:
        for chunk in chunks:
            write_chunk(chunk)


def mode(path: Path) -> int:
    """Returns the permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


class TestFile:
    def test_a_file_appears_when_it_is_complete(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        path.write_text("before")
        with open_output(path) as write_chunk:
            write_chunk(b"one\n")
            assert path.read_text() == "before"
            write_chunk(b"two\n")
        assert path.read_text() == "one\ntwo\n"
        assert os.listdir(tmp_path) == ["out.txt"]

    def test_a_failure_leaves_the_earlier_file_and_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        path.write_text("before")

        def interrupt() -> None:
            with open_output(path) as write_chunk:
                write_chunk(b"one\n")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupt()
        assert path.read_text() == "before"
        assert os.listdir(tmp_path) == ["out.txt"]

    @pytest.mark.parametrize("bits", [0o600, 0o644, 0o640, 0o755])
    def test_an_existing_file_keeps_its_mode(self, tmp_path: Path, bits: int) -> None:
        path = tmp_path / "out.txt"
        path.touch()
        path.chmod(bits)
        write(path, b"new")
        assert (mode(path), path.read_bytes()) == (bits, b"new")

    def test_a_new_file_has_the_mode_of_the_umask(self, tmp_path: Path) -> None:
        umask = os.umask(0o027)
        try:
            write(tmp_path / "out.txt", b"new")
        finally:
            os.umask(umask)
        assert mode(tmp_path / "out.txt") == 0o640

    @pytest.mark.skipif(not IS_ROOT, reason="only root may set another owner")
    def test_an_existing_file_keeps_its_owner(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        path.touch()
        os.chown(path, 1234, 4321)
        write(path, b"new")
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)

    @pytest.mark.parametrize(
        ("ending", "decompress"),
        [(".gz", gzip.decompress), (".bz2", bz2.decompress), (".zst", zstandard.decompress)],
    )
    def test_the_file_name_selects_the_compression(
        self, tmp_path: Path, ending: str, decompress: Callable[[bytes], bytes]
    ) -> None:
        path = tmp_path / f"out{ending}"
        write(path, b"one\n", b"two\n")
        compressed = path.read_bytes()
        if ending == ".zst":
            with zstandard.open(path) as file:
                assert file.read() == b"one\ntwo\n"
        else:
            assert decompress(compressed) == b"one\ntwo\n"
        write(path, b"one\n", b"two\n")
        assert path.read_bytes() == compressed, "the same content gives the same bytes"

    def test_a_full_disk_is_an_environment_fault_and_leaves_no_file(self, tmp_path: Path) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for name, size in (("out.txt", 100_000), ("out.txt", 2_000), ("out.gz", 3_000_000)):
            path = tmp_path / name
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
            try:
                with pytest.raises(EnvironmentFault, match=f"cannot write {path}: File too large") as caught:
                    write(path, os.urandom(size))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert "--output" in caught.value.remedy
        signal.signal(signal.SIGXFSZ, handler)
        assert os.listdir(tmp_path) == []

    def test_two_commands_do_not_share_a_temporary_file(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        with open_output(path) as first, open_output(path) as second:
            first(b"first ")
            second(b"second ")
            assert len(os.listdir(tmp_path)) == 2
            first(b"first")
            second(b"second")
        assert path.read_bytes() == b"first first", "the output that is closed last wins"

    def test_a_link_at_the_temporary_name_is_not_followed(self, tmp_path: Path) -> None:
        """An attacker creates links at earlier temporary names. The next output uses another name."""
        other, path = tmp_path / "other", tmp_path / "out.txt"
        other.write_text("other")
        names: list[str] = []
        for _ in range(2):
            with open_output(path) as write_chunk:
                write_chunk(b"new")
                [name] = set(os.listdir(tmp_path)) - {"other", "out.txt", *names}
            (tmp_path / name).symlink_to(other)
            names.append(name)
        assert len(set(names)) == 2
        assert (other.read_text(), path.read_bytes()) == ("other", b"new")


class TestLink:
    def test_the_target_of_a_link_is_replaced_and_the_link_stays(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        target, link = tmp_path / "store" / "data", tmp_path / "out.txt"
        target.write_text("before")
        target.chmod(0o600)
        link.symlink_to("store/data")
        with open_output(link) as write_chunk:
            write_chunk(b"new")
            assert target.read_text() == "before"
        assert link.is_symlink()
        assert (target.read_bytes(), mode(target)) == (b"new", 0o600)
        assert os.listdir(tmp_path / "store") == ["data"]

    def test_a_dangling_link_creates_its_target(self, tmp_path: Path) -> None:
        (tmp_path / "one").symlink_to("two")
        (tmp_path / "two").symlink_to("three")
        write(tmp_path / "one", b"new")
        assert (tmp_path / "one").is_symlink()
        assert (tmp_path / "two").is_symlink()
        assert (tmp_path / "three").read_bytes() == b"new"

    def test_links_in_a_circle_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "one").symlink_to("two")
        (tmp_path / "two").symlink_to("one")
        with pytest.raises(ConfigError, match="lead in a circle"):
            write(tmp_path / "one", b"new")


class TestPipeAndDevice:
    def test_a_fifo_is_written_to(self, tmp_path: Path) -> None:
        fifo, received = tmp_path / "fifo", list[bytes]()
        os.mkfifo(fifo)
        reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
        reader.start()
        write(fifo, b"one\n", b"x" * 200_000, b"two\n")
        reader.join(10)
        assert received == [b"one\n" + b"x" * 200_000 + b"two\n"]
        assert stat.S_ISFIFO(fifo.stat().st_mode)

    def test_a_closed_reader_raises_broken_pipe(self, tmp_path: Path) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        opened = threading.Thread(target=lambda: os.close(os.open(fifo, os.O_RDONLY)))
        opened.start()

        def write_to_closed_pipe() -> None:
            with open_output(fifo) as write_chunk:
                opened.join(10)
                write_chunk(b"one\n")

        with pytest.raises(BrokenPipeError):
            write_to_closed_pipe()

    def test_a_device_is_written_to(self, tmp_path: Path) -> None:
        write(Path("/dev/null"), b"one\n")
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
        with pytest.raises(EnvironmentFault, match="cannot write /dev/full: No space left"):
            write(Path("/dev/full"), b"one\n")
        (tmp_path / "link").symlink_to("/dev/null")
        write(tmp_path / "link", b"one\n")
        assert os.listdir(tmp_path) == ["link"]

    @pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
    def test_standard_output_by_path_keeps_the_append_mode_of_the_shell(
        self, tmp_path: Path, name: str
    ) -> None:
        code = (
            "from pathlib import Path; from bitext.components.translation.output import open_output\n"
            f"with open_output(Path({name!r})) as write: write(b'new'); write(b'er\\n')"
        )
        path = tmp_path / "out.txt"
        path.write_text("old\n")
        with path.open("ab") as file:
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=file, check=True)
        assert path.read_text() == "old\nnewer\n"
        process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        assert process.stdout == b"newer\n"


class TestStandardOutput:
    CODE = (
        "from bitext.components.translation.output import open_output\n"
        "with open_output(None) as write: write(b'one\\n'); write(b'two\\n')"
    )

    def run(self, stdout: int) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-c", self.CODE], cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, check=False
        )

    def test_standard_output_is_written_to(self) -> None:
        process = self.run(subprocess.PIPE)
        assert (process.returncode, process.stdout, process.stderr) == (0, b"one\ntwo\n", b"")

    def test_a_full_disk_is_reported_once(self) -> None:
        with Path("/dev/full").open("wb") as full:
            process = self.run(full.fileno())
        assert process.returncode == 1
        assert process.stderr.count(b"EnvironmentFault: cannot write standard output: No space left") == 1
        assert b"Exception ignored" not in process.stderr


class TestChecks:
    def test_impossible_files_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "in.txt").touch()
        (tmp_path / "link").symlink_to("in.txt")
        os.link(tmp_path / "in.txt", tmp_path / "hard")
        for name, problem in [
            (".", "it is a folder"),
            ("absent/out.txt", "absent does not exist"),
            ("in.txt/out.txt", "in.txt is no folder"),
            ("in.txt", "it is the input"),
            ("link", "it is the input"),
            ("hard", "it is the input"),
        ]:
            with pytest.raises(ConfigError, match=f"cannot write {tmp_path / name}: .*{problem}") as caught:
                check_output_file(tmp_path / name, tmp_path / "in.txt")
            assert "--output" in caught.value.remedy
        check_output_file(None, tmp_path / "in.txt")
        check_output_file(tmp_path / "out.txt", tmp_path / "in.txt")
        assert sorted(os.listdir(tmp_path)) == ["hard", "in.txt", "link"]

    def test_impossible_folders_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "dangling").symlink_to("nowhere")
        for name, problem in [
            (".", "exists already"),
            ("file", "exists already"),
            ("dangling", "exists already"),
            ("file/new", "file is no folder"),
            ("file/new/er", "file is no folder"),
        ]:
            with pytest.raises(ConfigError, match=problem) as caught:
                check_output_folder(tmp_path / name)
            assert "--output" in caught.value.remedy
        check_output_folder(tmp_path / "new" / "er")
        assert sorted(os.listdir(tmp_path)) == ["dangling", "file"]

    def test_paths_without_write_permission_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`os.access` is patched, because root may write everywhere."""
        (tmp_path / "out.txt").touch()
        monkeypatch.setattr(output.os, "access", lambda path, _: path != tmp_path)
        for check, name in ((check_output_file, "out.txt"), (check_output_folder, "new")):
            with pytest.raises(EnvironmentFault, match=f"cannot write {tmp_path}: permission denied"):
                check(tmp_path / name)
        monkeypatch.setattr(output.os, "access", lambda path, _: path != tmp_path / "out.txt")
        with pytest.raises(EnvironmentFault, match="out.txt: permission denied"):
            check_output_file(tmp_path / "out.txt")


class TestFolder:
    def test_a_folder_appears_when_it_is_committed(self, tmp_path: Path) -> None:
        with new_folder(tmp_path / "deep" / "new") as folder:
            (folder.path / "file").touch()
            assert not (tmp_path / "deep" / "new").exists()
            folder.commit()
        assert os.listdir(tmp_path / "deep") == ["new"]
        assert os.listdir(tmp_path / "deep" / "new") == ["file"]

    def test_without_a_commit_nothing_is_left(self, tmp_path: Path) -> None:
        def interrupt() -> None:
            with new_folder(tmp_path / "new") as folder:
                (folder.path / "file").touch()
                raise KeyboardInterrupt

        with new_folder(tmp_path / "new") as folder:
            (folder.path / "file").touch()
        assert os.listdir(tmp_path) == []
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        assert os.listdir(tmp_path) == []

    def test_a_target_that_appears_before_the_commit_is_not_replaced(self, tmp_path: Path) -> None:
        def commit_over_a_folder() -> None:
            with new_folder(tmp_path / "new") as folder:
                (tmp_path / "new").mkdir()
                folder.commit()

        with pytest.raises(ConfigError, match="exists already"):
            commit_over_a_folder()
        assert os.listdir(tmp_path) == ["new"]
