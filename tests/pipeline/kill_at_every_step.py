"""Kills runs of fake components at every step that changes a file or a record. Started by test_killed.py.

Each run is a fork of this process, which has one thread. The run is killed at step N, with increasing N,
until a run ends by itself. A transaction is two steps: before and after it. After each kill, no output is
incomplete, and the next run completes and leaves no temporary file.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from bitext.pipeline.config import Metadata
from bitext.pipeline.records import State
from bitext.pipeline.store import Store
from tests.pipeline import test_runner, test_runner_spans
from tests.pipeline.store_contract import altered_outputs

FILE_EVENTS = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "shutil.rmtree"}
"""Audit events of Python that are steps, besides opening a file to write."""
KILLED_CODE = 9


def die_at(step: int) -> None:
    """Makes this process exit at once, as by SIGKILL, when it reaches this step."""
    reached = 0

    def count(*_: object) -> None:
        nonlocal reached
        reached += 1
        if reached == step:
            os._exit(KILLED_CODE)

    count_changes(count)


def count_changes(count: Callable[[], None]) -> None:
    """Calls a function before each change of a local file, and before and after each change of a record."""

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        writing = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if event in FILE_EVENTS or writing:
            count()

    sys.addaudithook(audit)
    for name in ("put_execution", "put_run"):
        original = getattr(Store, name)

        def counted(*arguments: object, _original: Callable[..., None] = original) -> None:
            count()
            _original(*arguments)
            count()

        setattr(Store, name, counted)


def exit_code_of_fork(function: Callable[[], object]) -> int:
    """Calls the function in a forked process and returns the exit code of the process."""
    if (child := os.fork()) == 0:
        with contextlib.redirect_stdout(io.StringIO()):
            function()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def check_complete_outputs(folder: Path) -> None:
    """Checks that the content of all complete outputs matches their recorded digests."""
    root = folder / "root"
    if not (root / "metadata.sqlite").is_file():
        return
    assert list(altered_outputs(Store(Metadata(), root, "toy").executions())) == []


def output_digests(folder: Path) -> dict[str, str]:
    """Checks that all files belong to recorded outputs; returns the digest of each output by node and key."""
    root, digests = folder / "root", {}
    recorded = set()
    for execution in Store(Metadata(), root, "toy").executions():
        assert execution.state != State.RUNNING, execution
        for key, artifacts in execution.outputs.items():
            for index, artifact in enumerate(artifacts):
                assert Path(artifact.uri).is_dir(), artifact
                recorded.add(artifact.uri)
                digests[f"{execution.node} {execution.part} {key} {index}"] = artifact.digest
    assert {str(p) for p in root.glob("[A-Z]*/*/*")} == recorded
    leftovers = [p.name for p in root.iterdir() if p.name.startswith(".")]
    assert sorted(leftovers) == [".id", ".lock"], leftovers
    return digests


def kill_everywhere(
    folder: Path, prepare: Callable[[Path], None], run: Callable[[Path], object], stride: int
) -> int:
    """Kills runs at every `stride`th step and returns the number of kills."""
    expected = None
    for kills, step in enumerate(itertools.count(0, stride)):  # step 0: the run is not killed
        folder.mkdir()
        prepare(folder)

        def run_until_killed(step: int = step) -> None:
            die_at(step)
            run(folder)

        exit_code = exit_code_of_fork(run_until_killed)
        if exit_code == 0 and step:
            return kills - 1
        check_complete_outputs(folder)
        assert exit_code_of_fork(lambda: run(folder)) == 0, step
        expected = expected or output_digests(folder)
        assert output_digests(folder) == expected, step
        shutil.rmtree(folder)
    raise AssertionError("not reached")


def write_rows(folder: Path) -> None:
    """Writes the rows that Source reads."""
    (folder / "rows.txt").write_text("a\tb\n", encoding="utf-8")


def write_two_spans(folder: Path) -> None:
    for number in (1, 2):
        test_runner_spans.write_span(folder, number)


if __name__ == "__main__":
    kinds = {"rows": (write_rows, test_runner.run), "spans": (write_two_spans, test_runner_spans.run)}
    print(kill_everywhere(Path(sys.argv[1]), *kinds[sys.argv[2]], stride=int(sys.argv[3])))
