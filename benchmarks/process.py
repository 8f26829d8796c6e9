"""Starts `bitext` in a process, and kills it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

BITEXT = (sys.executable, "-m", "bitext")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Starts `bitext ...` in a folder, with standard output and standard error in one pipe."""
    return subprocess.Popen(
        [*BITEXT, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str], node: str, delay: float) -> tuple[bool, list[str]]:
    """Kills a run (SIGKILL) some seconds after a node began.

    Args:
      process: the run.
      node: the node's name.
      delay: seconds between the node's beginning and the kill.

    Returns:
      Whether the run was still alive, and the lines that it printed until the node began.
    """
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.split()[:1] == [node]:
            break
    deadline = time.monotonic() + delay
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()
    return alive, lines
