"""The peak memory of executions: measured, recorded, and read from older stores."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from bitext.components.component import Context
from bitext.pipeline import cli, memory
from bitext.pipeline.config import Metadata
from bitext.pipeline.memory import PeakMemory
from bitext.pipeline.records import Execution, Run, State, StoredArtifact
from bitext.pipeline.store import Store, messages
from tests.pipeline import fakes

MB = 1_000_000


def use(megabytes: int) -> None:
    """Holds memory for a moment."""
    assert np.ones(megabytes * MB, np.uint8).sum() == megabytes * MB


def executions(root: Path) -> dict[str, Execution]:
    """The newest execution of each node in a root."""
    return {e.node: e for e in reversed(Store(Metadata(), root, "toy").executions())}


class TestPeakMemory:
    def test_a_peak_is_of_the_time_since_the_creation(self) -> None:
        first = PeakMemory()
        use(400)
        peak = first.bytes()
        second = PeakMemory()
        use(100)
        assert peak > 400 * MB
        if second._is_reset:
            assert peak - 350 * MB < second.bytes() < peak - 250 * MB

    def test_without_a_reset_only_a_new_peak_is_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "_CLEAR_REFS", Path("/proc/self/no such file"))
        peaks = iter([500, 600, 600, 600])
        monkeypatch.setattr(memory, "_peak", lambda: next(peaks))
        assert PeakMemory().bytes() == 600
        assert PeakMemory().bytes() == 0

    def test_a_larger_child_process_counts(self) -> None:
        # A process of its own: the one of the tests may have any size.
        code = """
            import subprocess, sys
            from bitext.pipeline.memory import PeakMemory
            peak = PeakMemory()
            command = "x = bytearray(900_000_000); x[::4096] = bytes(len(x[::4096]))"
            subprocess.run([sys.executable, "-c", command], check=True)
            print(peak.bytes(), PeakMemory().bytes())
        """
        output = subprocess.check_output([sys.executable, "-c", textwrap.dedent(code)], text=True)
        while_it_ran, afterwards = map(int, output.split())
        assert 900 * MB < while_it_ran < 1100 * MB
        assert afterwards < 900 * MB


class TestRecords:
    def test_each_execution_of_a_run_has_its_peak(self, toy: Path) -> None:
        def use_much(context: Context) -> None:
            use(300)

        fakes.Calls.hooks["Train"] = use_much
        assert cli.main(["run", "toy.yaml"]) == 0
        by_node = executions(toy / "runs" / "toy")
        assert by_node["Train"].peak_megabytes > 300
        assert min(e.peak_megabytes for e in by_node.values()) > 0
        assert cli.main(["run", "toy.yaml"]) == 0
        again = executions(toy / "runs" / "toy")
        assert {e.state: e.peak_megabytes for e in again.values()} == {State.CACHED: 0}

    def test_a_failed_execution_has_its_peak(self, toy: Path) -> None:
        def fail(context: Context) -> None:
            use(300)
            raise ValueError("bad")

        fakes.Calls.hooks["Train"] = fail
        assert cli.main(["run", "toy.yaml"]) == 1
        failed = executions(toy / "runs" / "toy")["Train"]
        assert (failed.state, failed.peak_megabytes > 300) == (State.FAILED, True)

    def test_a_large_integer_becomes_a_float(self) -> None:
        """ML Metadata stores integers of 32 bits in PostgreSQL."""
        artifact = StoredArtifact("Examples", "runs/x", "d", {"rows": 2**31 - 1, "bytes": 5 * 10**9})
        message = messages.artifact_message(artifact, 1, "x")
        kinds = {name: message.custom_properties[name].WhichOneof("value") for name in ("rows", "bytes")}
        assert kinds == {"rows": "int_value", "bytes": "double_value"}
        assert messages.artifact_record(message, "x").properties == artifact.properties

    def test_a_store_of_an_earlier_version_is_read_and_extended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = Run("r1", "toy", str(tmp_path), State.COMPLETE, 1.0, 2.0)
        earlier = {name: kind for name, kind in messages.EXECUTION_FIELDS.items() if name != "peak_megabytes"}
        with monkeypatch.context() as patch:
            patch.setattr(messages, "EXECUTION_FIELDS", earlier)
            store = Store(Metadata(), tmp_path, "toy")
            store.put_run(run)
            store.put_execution(Execution("Train", "r1", State.COMPLETE, 1.0, 2.0), run)
        store = Store(Metadata(), tmp_path, "toy")
        store.put_execution(Execution("Train", "r1", State.COMPLETE, 3.0, 4.0, peak_megabytes=5000.5), run)
        assert [e.peak_megabytes for e in store.executions()] == [5000.5, 0.0]
        with monkeypatch.context() as patch:  # the earlier version again
            patch.setattr(messages, "EXECUTION_FIELDS", earlier)
            store = Store(Metadata(), tmp_path, "toy")
            store.put_execution(Execution("Train", "r1", State.COMPLETE, 5.0, 6.0), run)
            assert [e.started for e in store.executions()] == [5.0, 3.0, 1.0]
