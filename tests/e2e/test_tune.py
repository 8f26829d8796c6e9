"""`bitext tune` with real trainings: the best model is in the cache, and a killed tuning continues."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e import toy

SPACE = """\
trainer.optimizer.learning_rate: {values: [2e-3, 1e-2]}
transform.vocabulary_size: {values: [380, 400]}
"""
TUNE = ("tune", "toy.yaml", "--space", "space.yaml", "--seed", "1")


def test_the_first_trial_is_the_model_in_the_cache(copy: Path) -> None:
    (copy / "space.yaml").write_text(SPACE.splitlines()[0])
    result = toy.bitext(copy, *TUNE, "--trials", "1")
    assert (result.code, result.err) == (0, "")
    assert "trained before" in next(line for line in result.out.splitlines() if line.startswith("trial 1: "))
    assert "1 trials in " in result.out
    run = toy.bitext(copy, "run", "toy.best.yaml", "--to", "Trainer")
    assert run.code == 0, run.err
    assert run.ran() == []
    assert run.cached()[-2:] == ["Transform", "Trainer"]


@pytest.mark.slow
def test_a_killed_tuning_continues(copy: Path) -> None:
    (copy / "space.yaml").write_text(SPACE)
    command = toy.command(*TUNE, "--parallel", "2", "--set", "trainer.steps=60")
    history = "runs/toy/.working/Trainer/*/history.jsonl"
    numbers: set[str] = set()
    for number in (signal.SIGKILL, signal.SIGTERM):
        validations = sum(len(path.read_text().splitlines()) for path in copy.glob(history))
        process = subprocess.Popen(
            command, cwd=copy, env=toy.environment(), stdout=subprocess.PIPE, text=True
        )
        while process.poll() is None:
            if sum(len(path.read_text().splitlines()) for path in copy.glob(history)) > validations:
                break
            time.sleep(0.1)
        process.send_signal(number)
        out, _ = process.communicate()
        assert process.returncode == (-number if number == signal.SIGKILL else 143), out
        [run] = toy.status(copy)["runs"][:1]
        numbers |= set(run["tuning"]["trials"])
        time.sleep(1)
        listed = subprocess.run(["ps", "axww"], capture_output=True, text=True, check=True).stdout
        assert str(copy) not in "".join(line for line in listed.splitlines() if "tuning.process_main" in line)
    result = toy.bitext(copy, *TUNE, "--parallel", "2", "--set", "trainer.steps=60")
    assert (result.code, result.err) == (0, "")
    assert "continues a tuning" in result.out
    assert "all settings of the space are tried" in result.out
    logs = "".join(path.read_text() for path in copy.glob("runs/toy/logs/*/trial-*.log"))
    assert "resumed at step" in logs
    executions = result.out.count("complete")
    assert executions == 4
    again = toy.bitext(copy, *TUNE, "--parallel", "2", "--set", "trainer.steps=60")
    assert again.code == 0
    assert "4 of 4 trials are finished" in again.out
    for arguments in (
        ("verify",),
        ("history",),
        ("report",),
        ("doctor",),
        ("gc", "--keep", "1"),
        ("status",),
    ):
        shown = toy.bitext(copy, arguments[0], "toy.yaml", *arguments[1:])
        assert shown.code == 0, (arguments, shown.err)
    run_best = toy.bitext(copy, "run", "toy.best.yaml", "--to", "Trainer")
    assert run_best.ran() == []
