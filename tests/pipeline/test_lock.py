"""The lock of a pipeline root: a second run exits or waits, and takes over the lock of a killed run."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitext.components.shared import files
from bitext.components.shared.errors import EnvironmentFault, LockedError
from bitext.pipeline.lock import locked

REPOSITORY = Path(__file__).parents[2]
# Runs `bitext run` with the fakes in a folder. The first node waits until standard input ends.
COMMAND = """
import os, sys
from pathlib import Path
from bitext.pipeline import cli, graph
from tests.pipeline import fakes

def wait_for_input(context):
    context.say("is reading input")
    sys.stdin.read()

sys.path.insert(0, os.getcwd())
folder = Path(sys.argv[1])
fakes.Calls.hooks["Source"] = wait_for_input
graph.create_pipeline = lambda config: fakes.pipeline(folder)
os.chdir(folder)
sys.exit(cli.main(["run", "toy.yaml", *sys.argv[2:]]))
"""


def start_run(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


def wait_for_line(process: subprocess.Popen[str], words: str) -> str:
    """Waits until the process prints a line with these words, and returns the line."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line.strip()
    raise AssertionError(f"never printed {words!r}: {process.communicate()[1]}")


@pytest.fixture
def first(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Returns a run that is in its first node and holds the lock."""
    process = start_run(folder)
    wait_for_line(process, "is reading input")
    yield process
    process.kill()
    process.communicate()


def test_the_second_run_exits_with_5_and_names_the_first(folder: Path, first: subprocess.Popen[str]) -> None:
    second = start_run(folder)
    out, err = second.communicate()
    assert (second.returncode, out) == (5, "")
    assert err.startswith(f"error: another run is in progress in runs/toy: process {first.pid} on ")
    assert "--wait" in err
    first.communicate()
    assert first.returncode == 0


def test_the_second_run_waits_without_limit(folder: Path, first: subprocess.Popen[str]) -> None:
    second = start_run(folder, "--wait")
    assert wait_for_line(second, "waiting").startswith(
        f"waiting for another run in runs/toy: process {first.pid} on "
    )
    first.communicate()
    out, _ = second.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    assert "4 nodes, 4 of them cached" in out
    assert "taken over" not in out
    assert len(list((folder / "runs" / "toy" / "logs").glob("*.log"))) == 2


def test_the_second_run_waits_for_the_given_seconds_at_most(
    folder: Path, first: subprocess.Popen[str]
) -> None:
    second = start_run(folder, "--wait=0.4")
    out, err = second.communicate()
    assert second.returncode == 5
    assert out.count("waiting") == 1
    assert f"another run is in progress in runs/toy after 0.4 s: process {first.pid} on " in err


def test_the_lock_of_a_killed_run_is_taken_over_at_once_and_reported(
    folder: Path, first: subprocess.Popen[str]
) -> None:
    holder = json.loads((folder / "runs" / "toy" / ".lock").read_text(encoding="utf-8"))
    assert holder["pid"] == first.pid
    first.kill()
    first.communicate()
    second = start_run(folder)
    out, err = second.communicate()
    assert (second.returncode, err) == (0, "")
    words = (
        f"runs/toy/.lock taken over from process {first.pid} on {holder['host']}, since {holder['started']}, "
        "which was killed"
    )
    assert out.splitlines()[0] == words
    logs = [path.read_text(encoding="utf-8") for path in (folder / "runs" / "toy" / "logs").glob("*.log")]
    assert sum(words in log for log in logs) == 1
    third = start_run(folder)
    assert "taken over" not in third.communicate()[0]


HOLD = """
import sys
from pathlib import Path
from bitext.pipeline.lock import locked
lock = locked(Path(sys.argv[1]))
lock.__enter__()
print("held", flush=True)
"""


def test_a_wait_in_seconds_ends_when_the_lock_is_free(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", f"{HOLD}sys.stdin.read()", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    wait_for_line(process, "held")
    started = time.monotonic()
    with locked(tmp_path, 60, say=lambda text: process.communicate() and None):
        assert time.monotonic() - started < 30
    assert process.returncode == 0


def test_a_process_that_has_not_written_its_name_is_described(tmp_path: Path) -> None:
    with locked(tmp_path):
        (tmp_path / ".lock").write_text("", encoding="utf-8")
        with pytest.raises(LockedError, match="a process that has not yet written its name"):
            locked(tmp_path).__enter__()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_an_environment_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(EnvironmentFault, match=r"\.lock cannot be locked: no locks here") as caught:
        locked(tmp_path).__enter__()
    assert "file system" in caught.value.remedy


def test_a_lock_file_removed_during_the_wait_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock on a removed file excludes no other process."""
    flock, path = fcntl.flock, tmp_path / ".lock"

    def lock_and_remove(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        if not calls:
            path.unlink()
        calls.append(descriptor)

    calls: list[int] = []
    monkeypatch.setattr(fcntl, "flock", lock_and_remove)
    with locked(tmp_path, math.inf):
        assert len(calls) == 2
        with pytest.raises(BlockingIOError):
            files.open_locked(path)
