"""Kills runs in a remote root at every change of a file. Started by test_remote_root.py.

Each run is a process of its own, which ends at once (as by SIGKILL) before or after its Nth request to write,
copy or delete a file of the store, or its Nth change of a local file or of a record. After each kill, no
output on record is incomplete, and the next run completes and leaves nothing else in the root.

Arguments: the address of a folder in the store, a local folder, `staged` or `workers`, and the stride of N.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from bitext.components.artifacts import kind_named
from bitext.components.shared import storage
from bitext.pipeline.config import Metadata
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import State
from bitext.pipeline.runner import Runner
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal
from tests.pipeline import fakes
from tests.pipeline.kill_at_every_step import KILLED_CODE, count_changes

REQUESTS = {
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateMultipartUpload",
    "DeleteObject",
    "DeleteObjects",
    "PutObject",
    "UploadPart",
}
"""The requests that change the store."""


def layout_of(address: str, folder: Path) -> Layout:
    """The folders of the pipeline."""
    return Layout(folder / "work", storage.path(f"{address}/{folder.name}"))


def open_store(folder: Path) -> Store:
    """The metadata store, which is beside the work folder."""
    return Store(Metadata(sqlite=str(folder / "metadata.sqlite")), folder / "work", "toy")


def die_at(step: int) -> None:
    """Makes this process exit at once when it reaches this step."""
    from aiobotocore.client import AioBaseClient

    reached = 0

    def count() -> None:
        nonlocal reached
        reached += 1
        if reached == step:
            os._exit(KILLED_CODE)

    request = AioBaseClient._make_api_call

    async def counted_request(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        # A thread renews the lease, at no certain step; that it is taken is a step.
        is_renewal = "/.lease/" in str(arguments.get("Key", "")) and "IfNoneMatch" not in arguments
        is_step = operation in REQUESTS and not is_renewal
        if is_step:
            count()
        answer = await request(client, operation, arguments)
        if is_step:
            count()
        return answer

    AioBaseClient._make_api_call = counted_request
    count_changes(count)


def run(address: str, folder: Path, kind: str, step: int) -> None:
    """Runs the pipeline of fakes until the step."""
    if kind == "workers":
        fakes.Source.opened_by_workers = frozenset({"examples", "rejects"})
        fakes.Train.opened_by_workers = frozenset({"examples", "model"})
    runner = Runner(
        fakes.pipeline(folder),
        layout_of(address, folder),
        lambda: open_store(folder),
        fakes.no_beam,
        Terminal(),
        is_on_engine=kind == "workers",
    )
    die_at(step)
    runner.run()


def check(address: str, folder: Path, *, is_complete: bool) -> dict[str, str]:
    """Checks the outputs on record and, after a complete run, that there are no other files.

    Returns:
      The digest of each output by node and key.
    """
    layout, digests, recorded = layout_of(address, folder), {}, set()
    if not (folder / "metadata.sqlite").is_file():
        return {}
    for execution in open_store(folder).executions():
        assert not is_complete or execution.state != State.RUNNING, execution
        for key, artifacts in execution.outputs.items():
            for artifact in artifacts if execution.state == State.COMPLETE else ():
                assert kind_named(artifact.type)(artifact.path).content_digest() == artifact.digest, artifact
                recorded.add(artifact.uri)
                digests[f"{execution.node} {key}"] = artifact.digest
    if is_complete:
        names = [file.relative_to(layout.published).parts for file in storage.files_below(layout.published)]
        outputs = {str(layout.published.joinpath(*parts[:3])) for parts in names if parts[0][0] != "."}
        assert outputs == recorded
        assert {parts[0] for parts in names if parts[0][0] == "."} == {".id", ".lease"}
        assert {path.name for path in layout.root.iterdir()} == {".lock", "logs"}
    return digests


def kill_everywhere(address: str, base: Path, kind: str, stride: int) -> int:
    """Kills runs at every `stride`th step and returns the number of kills."""
    expected = None

    def code_of(folder: Path, step: int) -> int:
        command = [sys.executable, __file__, address, str(folder), kind, str(step), "run"]
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode

    for kills, step in enumerate(itertools.count(0, stride)):  # step 0: the run is not killed
        folder = base / "pipeline"
        folder.mkdir()
        (folder / "rows.txt").write_text("a\tb\n", encoding="utf-8")
        code = code_of(folder, step)
        if code == 0 and step:
            return kills - 1
        assert code == (KILLED_CODE if step else 0), (step, code)
        check(address, folder, is_complete=False)
        assert code_of(folder, 0) == 0, step
        digests = check(address, folder, is_complete=True)
        expected = expected or digests
        assert digests == expected, step
        shutil.rmtree(folder)
        storage.remove(layout_of(address, folder).published)
    raise AssertionError("not reached")


if __name__ == "__main__":
    address, folder, kind, number = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    if sys.argv[5:] == ["run"]:
        run(address, folder, kind, number)
    else:
        print(kill_everywhere(address, folder, kind, number))
