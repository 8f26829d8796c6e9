"""`bitext doctor` shows the machine and the state of a pipeline, and finds what is wrong with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitext.components.shared.errors import EnvironmentFault
from bitext.pipeline import cli
from bitext.pipeline.doctor import machine, software
from bitext.pipeline.doctor.findings import Findings

REPOSITORY = Path(__file__).parents[2]
GIB = 1 << 30


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """Returns the output of `bitext doctor --json`."""
    capsys.readouterr()
    assert cli.main(["doctor", "toy.yaml", "--json", *arguments]) == code
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


@pytest.fixture
def system(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Returns a function that writes files of `/proc`, `/sys` and `/dev` and returns their folder."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / "system" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / "system"

    return write


System = Callable[[dict[str, str]], Path]


class TestReport:
    def test_before_and_after_a_run(self, toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = doctor(capsys)
        assert (before["metadata"]["answers"], before["last_run"]) == (None, None)
        assert before["problems"] == []
        assert not Path("runs").exists(), "it creates nothing"
        assert cli.main(["run", "toy.yaml"]) == 0
        after = doctor(capsys)
        assert after["metadata"]["answers"] is True
        assert after["metadata"]["address"] == "runs/toy/metadata.sqlite"
        assert (after["last_run"]["state"], after["last_run"]["bleu"]) == ("COMPLETE", 31.25)
        assert set(after["disk"]) == {"root", "serving"}
        assert after["packages"]["required"]["tensorflow"]["fits"] is True
        assert cli.main(["doctor", "toy.yaml"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) <= 24, "one screen"
        labels = [line.split()[0] for line in lines]
        assert labels == [
            *("bitext", "Python", "packages", "processor", "memory", "root", "serving", "locale", "GPU"),
            *("configuration", "metadata", "last", "no"),
        ]
        assert "runs/toy/metadata.sqlite answers in " in lines[10]
        assert ", BLEU 31.25, blessed" in lines[11]

    def test_an_invalid_configuration_hides_nothing_else(
        self, toy: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        report = doctor(capsys, "--set", "trainer.stepps=3", code=2)
        [problem] = report["problems"]
        assert "unknown key trainer.stepps" in problem["message"]
        assert "did you mean trainer.steps?" in problem["remedy"]
        assert report["packages"]["required"]
        assert report["disk"] == {}
        assert cli.main(["doctor", "missing.yaml"]) == 2
        output = capsys.readouterr().out
        assert "missing.yaml, which is invalid" in output
        assert "problem: missing.yaml: there is no such file" in output
        assert output.endswith("1 problem found\n")

    def test_a_damaged_metadata_store(self, toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["run", "toy.yaml"]) == 0
        Path("runs/toy/metadata.sqlite").write_bytes(b"no database" * 100)
        report = doctor(capsys, code=3)
        assert report["metadata"]["answers"] is False
        assert "metadata.sqlite" in report["problems"][0]["message"]
        assert cli.main(["doctor", "toy.yaml"]) == 3
        assert "does not answer" in capsys.readouterr().out

    def test_a_failed_run_is_told_and_is_no_problem(
        self, toy: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("rows.txt").write_text("", encoding="utf-8")
        assert cli.main(["run", "toy.yaml"]) == 3
        report = doctor(capsys)
        assert (report["last_run"]["state"], report["problems"]) == ("FAILED", [])
        assert cli.main(["doctor", "toy.yaml"]) == 0
        assert "FAILED" in (output := capsys.readouterr().out)
        assert "Source: no rows (log: runs/toy/logs/" in output

    def test_tensorflow_is_not_imported(self, toy: Path) -> None:
        script = """
import sys
from bitext.pipeline import cli
code = cli.main(["doctor", "toy.yaml"])
heavy = {name.partition(".")[0] for name in sys.modules} & {"tensorflow", "apache_beam"}
sys.exit(code or len(heavy))
"""
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            check=True,
            capture_output=True,
            timeout=60,
        )


class TestSoftware:
    def test_the_tests_run_in_an_environment_that_fits(self) -> None:
        findings = Findings()
        software.python(findings)
        packages = software.packages(findings)["required"]
        assert findings.problems == []
        assert {"tensorflow", "ml-metadata", "msgspec"} <= set(packages)

    @pytest.mark.parametrize(
        ("version", "changes", "message"),
        [
            ((3, 10), {"version": "3.10.2"}, "CPython 3.10.2 is not supported"),
            ((3, 14), {"version": "3.14.0"}, "CPython 3.14.0 is not supported"),
            ((3, 11), {"implementation": "PyPy"}, "PyPy 3.11.7 is not supported"),
            (
                (3, 13),
                {"libc": "glibc 2.36", "version": "3.13.1"},
                "glibc 2.36 is too old for Python 3.13",
            ),
            ((3, 11), {"machine": "aarch64"}, "the machine aarch64 is not supported"),
            ((3, 11), {"libc": "unknown"}, None),
            ((3, 11), {}, None),
        ],
    )
    def test_python(self, version: tuple[int, int], changes: dict[str, str], message: str | None) -> None:
        report = {
            "version": "3.11.7",
            "implementation": "CPython",
            "libc": "glibc 2.36",
            "machine": "x86_64",
        }
        findings = Findings()
        software.check_python(version, report | changes, findings)
        assert [problem.message[: len(message or "")] for problem in findings.problems] == (
            [message] if message else []
        )

    def test_packages_that_are_missing_or_wrong(self) -> None:
        findings = Findings()
        required = {
            "a": {"version": "1.0", "required": ">=1", "fits": True},
            "b": {"version": "3.0", "required": "<3", "fits": False},
            "c": {"version": None, "required": ">=1", "fits": False},
        }
        software.check_packages({"family": "CPython 3.11", "required": required}, findings)
        missing, wrong = findings.problems
        assert missing.message == "packages are not installed: c"
        assert wrong.message == "packages do not fit the family for CPython 3.11: b 3.0 (needed: <3)"
        assert missing.exit_code == EnvironmentFault.exit_code


class TestLimits:
    def test_cgroup_version_2(self, system: System) -> None:
        folder = system(
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/memory.max": "max\n",
                "sys/fs/cgroup/memory.max": f"{GIB}\n",
            }
        )
        assert machine.cgroup_cores(folder) == 1.5
        assert machine.cgroup_memory(folder) == GIB
        findings = Findings()
        report = machine.memory(findings, folder)
        assert report == {"total": None, "available": None, "cgroup_limit": GIB}
        assert "1.0 GiB of memory is little" in findings.warnings[0]

    def test_cgroup_version_1(self, system: System) -> None:
        folder = system(
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/x\n1:name=systemd:/\n0::/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/x/memory.limit_in_bytes": str(3 * GIB),
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
            }
        )
        assert machine.cgroup_cores(folder) == 0.5
        assert machine.cgroup_memory(folder) == 3 * GIB

    def test_no_limit(self, system: System) -> None:
        unlimited = {"proc/self/cgroup": "1:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}
        for files in ({}, unlimited):
            assert machine.cgroup_cores(system(files)) is None
            assert machine.cgroup_memory(system(files)) is None

    def test_processor_and_memory(self, system: System) -> None:
        folder = system(
            {
                "proc/cpuinfo": "model name\t: A Processor\nflags\t\t: fpu avx2 sse\n",
                "proc/meminfo": "MemTotal:       4194304 kB\nMemAvailable:    2097152 kB\n",
            }
        )
        report = machine.processor(folder)
        assert (report["name"], report["instructions"]) == ("A Processor", ["avx2"])
        memory = machine.memory(findings := Findings(), folder)
        assert (memory["total"], memory["available"]) == (4 * GIB, 2 * GIB)
        assert findings == Findings()
        assert machine.processor(folder / "none")["name"] == "unknown"


class TestDisks:
    def test_a_folder_that_does_not_exist_yet(self, tmp_path: Path) -> None:
        findings = Findings()
        report = machine.disks({"root": str(tmp_path / "a" / "b")}, findings)
        assert report["root"]["writable"] is True
        assert 0 < report["root"]["free"] <= report["root"]["total"]
        assert findings.problems == []

    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "runs").write_text("", encoding="utf-8")
        findings = Findings()
        machine.disks({"root": str(tmp_path / "runs" / "toy")}, findings)
        [problem] = findings.problems
        assert problem.message == f"root {tmp_path}/runs/toy: {tmp_path}/runs is not a folder"

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda *_: False)
        findings = Findings()
        assert machine.disks({"serving": str(tmp_path)}, findings)["serving"]["writable"] is False
        assert f"serving {tmp_path}: {tmp_path} cannot be written" in findings.problems[0].message

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = machine.shutil.disk_usage(tmp_path)._replace(free=GIB)
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
        findings = Findings()
        machine.disks({"root": str(tmp_path)}, findings)
        assert "1.0 GiB free is little" in findings.warnings[0]


class TestLocale:
    def test_an_encoding_that_is_not_utf_8(self, monkeypatch: pytest.MonkeyPatch) -> None:
        findings = Findings()
        machine.locale(findings)
        monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
        machine.locale(findings)
        assert "the encoding is iso8859-1 and not UTF-8" in findings.warnings[-1]


class TestGpu:
    SEEN = {"dev/nvidia0": "", "dev/nvidiactl": "", "proc/driver/nvidia/version": (
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19\n")}  # fmt: skip

    @pytest.mark.parametrize(
        ("answer", "warned"),
        [
            ({"used": ["/physical_device:GPU:0"], "seconds": 9.0}, ""),
            ({"used": [], "built_with_cuda": False, "seconds": 9.0}, "does not use it: the packages have no"),
            (
                {"error": "no answer in 120 seconds", "seconds": 9.0},
                "does not use it: no answer in",
            ),
        ],
    )
    def test_a_gpu_is_seen(
        self, system: System, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], warned: str
    ) -> None:
        monkeypatch.setattr(machine, "_ask_tensorflow", lambda: answer)
        report = machine.gpu(findings := Findings(), False, system(self.SEEN))
        assert (report["seen"], report["driver"]) == (["nvidia0"], "535.129.03")
        assert [warned in text for text in findings.warnings] == ([True] if warned else [])

    def test_no_gpu_is_seen(self, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[bool] = []

        def ask() -> dict[str, Any]:
            asked.append(True)
            return {"error": "No module named tensorflow", "seconds": 0.1}

        monkeypatch.setattr(machine, "_ask_tensorflow", ask)
        findings = Findings()
        assert machine.gpu(findings, False, system({}))["used"] is None
        assert (asked, findings) == ([], Findings())
        machine.gpu(findings, True, system({}))
        assert "TensorFlow does not start: No module named tensorflow" in findings.problems[0].message

    def test_a_process_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "_ASK", "import no_such_module")
        assert "No module named 'no_such_module'" in machine._ask_tensorflow()["error"]
        monkeypatch.setattr(machine, "_ASK", "print('a notice'); print('{\"used\": []}')")
        assert machine._ask_tensorflow()["used"] == []
