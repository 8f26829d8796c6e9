"""The `bitext` command as a process, for those who look at it from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

BITEXT = (sys.executable, "-m", "bitext")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`bitext ...` in `folder`, its output to be read."""
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
    """Kills a run so many seconds after `node` was begun: whether it still ran then, and what it had said."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
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
    return alive, said
