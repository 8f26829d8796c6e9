"""A run killed at any step leaves no incomplete output, and the next run completes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kill_at_every_step.py")


@pytest.mark.parametrize(
    ("kind", "stride", "min_kills"),
    [
        ("rows", 5, 8),
        pytest.param("rows", 1, 40, marks=pytest.mark.slow),
        pytest.param("spans", 1, 60, marks=pytest.mark.slow),
    ],
)
def test_killed_at_every_step(kind: str, stride: int, min_kills: int, tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "pipeline"), kind, str(stride)],
        cwd=SCRIPT.parents[2],
        env={"PYTHONPATH": str(SCRIPT.parents[2]), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    assert int(process.stdout) >= min_kills
