"""The infra validator's work: a copy of the export, a fresh process, the verdict."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.infra_validator import Parameters
from bitext.components.shared.errors import EnvironmentFault
from bitext.components.shared.files import path_without_globs

SCRIPT = Path(__file__).with_name("standalone.py")
KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a process that others ended, such as a machine short of memory."""
log = logging.getLogger("bitext")


class Sample(msgspec.Struct, frozen=True):
    """What the trainer's model, still in memory, made of a source."""

    source: str
    translation: str
    score: float


def run(
    parameters: Parameters,
    context: Context,
    *,
    model: artifacts.Model,
    infra_blessing: artifacts.InfraBlessing,
) -> None:
    """Writes `INFRA_BLESSED` or `INFRA_NOT_BLESSED`, with the reasons. A refused model is no error.

    Raises:
      EnvironmentFault: the fresh process gave no answer in time or was killed: neither speaks of the model.
    """
    try:
        samples = read_samples(model.path / "samples.json")[: parameters.max_samples]
        reasons = validate(model.serving, samples, parameters, context.temp_dir)
    except UnusableModel as error:
        samples, reasons = [], [str(error)]
    blessed = not reasons
    path = infra_blessing.path / ("INFRA_BLESSED" if blessed else "INFRA_NOT_BLESSED")
    passed = f"stock TensorFlow alone translates {len(samples)} samples as the trainer did"
    reasons = reasons or [passed]
    verdict = msgspec.json.encode({"blessed": blessed, "reasons": reasons})
    path.write_bytes(msgspec.json.format(verdict) + b"\n")
    infra_blessing.properties["blessed"] = int(blessed)
    context.say(f"{'blessed' if blessed else 'NOT blessed'}: {'; '.join(reasons)}")


class UnusableModel(Exception):
    """The Model artifact lacks what validation needs; the message says what."""


def read_samples(path: Path) -> list[Sample]:
    """The trainer's samples.

    Raises:
      UnusableModel: the file is missing, malformed or empty.
    """
    try:
        samples = msgspec.json.decode(path.read_bytes(), type=list[Sample])
    except FileNotFoundError:
        raise UnusableModel(f"{path} is missing: there is nothing to compare the export with") from None
    except msgspec.MsgspecError as error:
        raise UnusableModel(f"{path} is malformed: {error}") from error
    if not samples:
        raise UnusableModel(f"{path} holds no samples: there is nothing to compare the export with")
    return samples


def validate(serving: Path, samples: list[Sample], parameters: Parameters, temp_dir: Path) -> list[str]:
    """What is wrong with the export, in words.

    Raises:
      UnusableModel: there is no export.
      EnvironmentFault: no answer came within `timeout_seconds`, or the process was killed.
    """
    if not (serving / "saved_model.pb").is_file():
        raise UnusableModel(f"{serving} holds no SavedModel")
    # Elsewhere: what the model finds only beside its original place, it will not find where it is served.
    copy = temp_dir / "copied_model"
    shutil.copytree(serving, copy)
    request = {"samples": msgspec.to_builtins(samples), "score_tolerance": parameters.score_tolerance}
    try:
        with path_without_globs(copy.absolute()) as path:
            return ask(request | {"model": str(path)}, parameters.timeout_seconds, temp_dir)
    finally:
        shutil.rmtree(copy)


def ask(request: dict[str, Any], timeout_seconds: int, temp_dir: Path) -> list[str]:
    """Runs the script in a fresh, isolated process; its reasons, or how it ended without giving any.

    Raises:
      EnvironmentFault: it did not end within `timeout_seconds`, or was killed.
    """
    # Absolute: the process starts in another folder than this one.
    temp_dir = temp_dir.absolute()
    question, answer = temp_dir / "request.json", temp_dir / "answer.json"
    question.write_text(json.dumps(request), encoding="utf-8")
    # -I: neither the script's folder, nor the current one, nor PYTHONPATH can be imported from.
    command = [sys.executable, "-I", str(SCRIPT), str(question), str(answer)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        done = subprocess.run(
            command,
            cwd=temp_dir,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(
            f"the process that validates the export gave no answer within {timeout_seconds} s",
            f"Raise `infra_validator.timeout_seconds` (it is {timeout_seconds}), or wait until the machine is"
            " less busy, and run again: finished nodes are kept.",
        ) from None
    if done.returncode in KILLED:
        raise EnvironmentFault(
            f"the process that validates the export was ended from outside, {_how(done.returncode)}",
            "Look whether the machine ran out of memory (`dmesg`), and run again: finished nodes are kept.",
        )
    if done.returncode != 0:
        log.error("the validating process ended with %d:\n%s", done.returncode, done.stderr)
        said = done.stderr.strip().splitlines()
        return [
            f"the validating process ended {_how(done.returncode)}: {said[-1] if said else 'it said nothing'}"
        ]
    reasons: list[str] = json.loads(answer.read_text(encoding="utf-8"))["reasons"]
    return reasons


def _how(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"with exit code {code}"
    return f"by {signal.Signals(-code).name}"
