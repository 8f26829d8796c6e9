"""A pipeline root on an object store: outputs, the lease, kills, gc and verify."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
import s3fs

from bitext.components.shared import storage
from bitext.components.shared.errors import LockedError
from bitext.pipeline import lease
from bitext.pipeline.cli import main
from bitext.pipeline.config import Metadata, PipelineConfig
from bitext.pipeline.doctor import stores
from bitext.pipeline.doctor.findings import Findings
from bitext.pipeline.identity import claim
from bitext.pipeline.layout import Layout
from bitext.pipeline.lock import in_use, is_used
from bitext.pipeline.runner import ALL_NODES, Result, Runner, Selection
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal
from tests.object_store import bucket, s3_address
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls

__all__ = ["bucket", "s3_address"]
SCRIPT = Path(__file__).with_name("kill_remote_run.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the rows that the pipeline reads."""
    (tmp_path / "rows.txt").write_text("a\tb\n", encoding="utf-8")
    return tmp_path


def open_store(folder: Path) -> Store:
    return Store(Metadata(sqlite=str(folder / "metadata.sqlite")), folder / "work", "toy")


def layout_of(folder: Path, bucket: str) -> Layout:
    return Layout(folder / "work", storage.path(f"{bucket}/root"))


def run(folder: Path, bucket: str, selection: Selection = ALL_NODES) -> Result:
    Calls.nodes.clear()
    layout = layout_of(folder, bucket)
    return Runner(fakes.pipeline(folder), layout, lambda: open_store(folder), fakes.no_beam, Terminal()).run(
        selection
    )


def test_outputs_are_in_the_store_and_nothing_else_is_on_this_machine(folder: Path, bucket: str) -> None:
    result = run(folder, bucket)
    assert Calls.nodes == list(fakes.NODES)
    outputs = [artifact for e in result.executions.values() for artifact in e.all_outputs()]
    assert all(artifact.uri.startswith(f"{bucket}/root/") and artifact.exists for artifact in outputs)
    assert {path.name for path in (folder / "work").iterdir()} == {".lock", "logs"}
    run(folder, bucket)
    assert Calls.nodes == []


def test_another_machine_continues_with_an_empty_folder(folder: Path, bucket: str) -> None:
    run(folder, bucket)
    shutil.rmtree(folder / "work")
    run(folder, bucket)
    assert Calls.nodes == []


def test_a_damaged_output_is_set_aside_and_made_again(folder: Path, bucket: str) -> None:
    model = run(folder, bucket).executions["Train"].outputs["model"][0].path
    content = (model / "weights").read_bytes()
    (model / "weights").write_bytes(b"changed")
    result = run(folder, bucket, Selection(force=frozenset({"Evaluate"})))
    assert Calls.nodes[:2] == ["Train", "Evaluate"]
    [damaged] = [f for f in storage.files_below(storage.path(f"{bucket}/root")) if "/.damaged/" in str(f)]
    assert damaged.read_bytes() == b"changed"
    assert (result.executions["Train"].outputs["model"][0].path / "weights").read_bytes() == content


def test_a_copied_root_is_a_pipeline_of_its_own(folder: Path, bucket: str) -> None:
    run(folder, bucket)
    (folder / "copy").mkdir()
    storage.download(storage.path(f"{bucket}/root"), folder / "copy")
    shutil.rmtree(folder / "copy" / ".lease")
    storage.upload(folder / "copy", storage.path(f"{bucket}/copy"))
    said: list[str] = []
    layout = Layout(folder / "work2", storage.path(f"{bucket}/copy"))
    new = claim(layout, open_store(folder), said.append)
    assert said == [f"{bucket}/copy is a copy of {bucket}/root: from now on, it is a pipeline of its own"]
    assert new != layout_of(folder, bucket).read_id()


class TestDoctor:
    """`bitext doctor` tries the stores."""

    def of(self, address: str) -> tuple[dict[str, dict[str, Any]], Findings]:
        findings = Findings()
        section = {"root": f"{address}/root", "serving": f"{address}/m", "metadata": {"sqlite": "m.sqlite"}}
        values = {"name": "toy", "example_gen": {"files": ["a.tsv"]}, **section}
        config = msgspec.convert(values, PipelineConfig)
        return stores.of_pipeline(config, findings), findings

    def test_a_store_that_answers(self, bucket: str) -> None:
        report, findings = self.of(bucket)
        assert findings.problems == []
        assert {name: store["address"] for name, store in report.items()} == {
            "root": f"{bucket}/root",
            "serving": f"{bucket}/m",
        }
        assert all(line.endswith(" s") for line in stores.rows({"stores": report}).values())
        assert storage.files_below(storage.path(bucket)) == []

    def test_a_bucket_that_does_not_exist_is_a_problem(self, bucket: str) -> None:
        report, findings = self.of(f"{bucket}x")
        assert [store["seconds"] for store in report.values()] == [None, None]
        assert len(findings.problems) == 2
        assert "bucket" in findings.problems[0].message


class TestLease:
    """One run at a time, whatever machine it is on."""

    @pytest.fixture
    def folders(self, folder: Path, bucket: str) -> tuple[Layout, Layout]:
        """The folders of one remote root on two machines."""
        remote = storage.path(f"{bucket}/root")
        return Layout(folder / "here", remote), Layout(folder / "there", remote)

    @pytest.fixture(autouse=True)
    def fast(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
        monkeypatch.setattr(lease, "EXPIRY_SECONDS", 2.0)
        monkeypatch.setattr(lease, "_POLL_SECONDS", 0.05)

    def test_a_second_machine_is_refused_while_the_first_lives(self, folders: tuple[Layout, Layout]) -> None:
        here, there = folders
        with in_use(here) as use:
            assert is_used(there)
            with pytest.raises(LockedError, match="another run is in progress in .*/root: process"):
                in_use(there, say=lambda _: None).__enter__()
            use.check()
        assert not is_used(there)
        with in_use(there) as use:
            assert not use.takeover

    def test_a_second_machine_waits_for_the_first(self, folders: tuple[Layout, Layout]) -> None:
        here, there = folders
        order: list[str] = []
        first = in_use(here)
        first.__enter__()

        def end() -> None:
            order.append("first ends")
            first.__exit__(None, None, None)

        timer = threading.Timer(0.5, end)
        timer.start()
        with in_use(there, wait=60, say=order.append) as use:
            order.append("second")
            assert not use.takeover
        assert order[1:] == ["first ends", "second"]
        assert order[0].endswith("waiting up to 2 s for a sign of life")

    def test_a_dead_machine_is_succeeded_and_finds_out(
        self, folders: tuple[Layout, Layout], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, there = folders
        monkeypatch.setattr(lease.Lease, "beat", lambda *_: None)  # suspended
        with in_use(here) as suspended:
            with in_use(there, say=lambda _: None) as use:
                assert "taken over from process" in use.takeover
                with pytest.raises(LockedError, match="another run has taken over"):
                    suspended.check()
                use.check()
            with pytest.raises(LockedError, match="another run has taken over"):
                suspended.check()

    def test_of_many_that_take_over_one_succeeds(self, folder: Path, bucket: str) -> None:
        remote, results = storage.path(f"{bucket}/root"), []
        barrier, done = threading.Barrier(6), threading.Event()

        def use(number: int) -> None:
            barrier.wait()
            try:
                with in_use(Layout(folder / str(number), remote), say=lambda _: None):
                    results.append("held")
                    done.wait(20)
            except LockedError:
                results.append("refused")
                if results.count("refused") == 5:
                    done.set()

        threads = [threading.Thread(target=use, args=[number]) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == ["held"] + 5 * ["refused"]

    def test_a_process_that_was_killed_here_is_succeeded_at_once(
        self, folders: tuple[Layout, Layout], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, _ = folders
        with in_use(here):
            pass
        [file] = storage.files_below(here.lease)
        holder = json.loads(file.read_bytes())
        file.write_bytes(json.dumps(holder | {"is_released": False}).encode())
        monkeypatch.setattr(lease, "EXPIRY_SECONDS", 1e9)
        with in_use(here) as use:
            assert f"taken over from process {holder['pid']} on {holder['host']}" in use.takeover


@pytest.mark.parametrize(
    ("kind", "stride", "min_kills"),
    [
        ("staged", 60, 2),
        pytest.param("staged", 1, 40, marks=pytest.mark.slow),
        pytest.param("workers", 2, 40, marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(1200)
def test_killed_at_every_request(kind: str, stride: int, min_kills: int, tmp_path: Path, bucket: str) -> None:
    command = [sys.executable, str(SCRIPT), f"{bucket}/kills", str(tmp_path), kind, str(stride)]
    process = subprocess.run(command, cwd=SCRIPT.parents[2], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-4000:]
    assert int(process.stdout) >= min_kills


@pytest.mark.parametrize("command", ["run toy.yaml", "translate --model BUCKET/models rows.txt"])
def test_a_store_that_does_not_answer_ends_with_exit_code_6(
    command: str,
    folder: Path,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.chdir(folder)
    (folder / "toy.yaml").write_text(
        f"name: toy\nroot: {bucket}/root\nserving: {bucket}/models\nmetadata: {{sqlite: m.sqlite}}\n"
        "example_gen: {files: [rows.txt]}\n",
        encoding="utf-8",
    )
    assert main(command.replace("BUCKET", bucket).split()) == 6
    error = capsys.readouterr().err
    assert "Could not connect to the endpoint URL" in error
    assert "what to do: check the address, the network and the credentials" in error
