"""Executor of InfraValidator: copies the export, validates it in a fresh process, writes the verdict."""

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
from bitext.components.artifacts import Sample, Verdict
from bitext.components.component import Context
from bitext.components.infra_validator import Parameters
from bitext.components.shared.errors import EnvironmentFault
from bitext.components.shared.files import path_without_globs

SCRIPT = Path(__file__).with_name("standalone.py")
KILLED = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a process that was killed from outside, for example when the machine ran out of memory."""
log = logging.getLogger("bitext")


class Answer(msgspec.Struct, frozen=True):
    """The answer of the validating process.

    Attributes:
      reasons: the reasons why the export cannot be served; empty: it can be served.
      damage: the file of the export that cannot be read, and why; None: all files can be read.
    """

    reasons: list[str]
    damage: str | None = None


def run(
    parameters: Parameters,
    context: Context,
    *,
    model: artifacts.Model,
    infra_blessing: artifacts.InfraBlessing,
) -> None:
    """Validates the export and writes the verdict. A refused model is not an error.

    Raises:
      DataError: the model is damaged or incomplete.
      EnvironmentFault: the process was killed or gave no answer in time. There is no verdict then.
    """
    model.verify()
    if not model.has_saved_model:
        raise model.damaged(model.serving, "holds no SavedModel")
    samples = model.samples()[: parameters.max_samples]
    if not samples:
        raise model.damaged(model.samples_file, "holds no sample to compare the export with")
    answer = validate(model.serving, samples, parameters, context.temp_dir)
    if answer.damage is not None:
        raise model.damaged(model.serving, f"is damaged: {answer.damage}")
    passed_reason = f"stock TensorFlow alone translates {len(samples)} samples as the trainer did"
    verdict = Verdict(not answer.reasons, answer.reasons or [passed_reason])
    infra_blessing.write(verdict)
    infra_blessing.properties[infra_blessing.BLESSED_PROPERTY] = int(verdict.blessed)
    infra_blessing.properties[infra_blessing.REASONS_PROPERTY] = "; ".join(verdict.reasons)
    context.say(f"{'blessed' if verdict.blessed else 'NOT blessed'}: {'; '.join(verdict.reasons)}")


def validate(serving: Path, samples: list[Sample], parameters: Parameters, temp_dir: Path) -> Answer:
    """Validates a copy of the export.

    The copy is in another folder, so that a model that reads files next to its original folder fails here and
    not where it is served.

    Args:
      serving: the SavedModel.
      samples: the Trainer's translations.
      parameters: InfraValidator's parameters.
      temp_dir: the folder in which the copy is made.

    Raises:
      EnvironmentFault: the process was killed or gave no answer within `timeout_seconds`.
    """
    copy = temp_dir / "copied_model"
    shutil.copytree(serving, copy)
    request = {"samples": msgspec.to_builtins(samples), "score_tolerance": parameters.score_tolerance}
    try:
        with path_without_globs(copy.absolute()) as path:
            return ask(request | {"model": str(path)}, parameters.timeout_seconds, temp_dir)
    finally:
        shutil.rmtree(copy)


def ask(request: dict[str, Any], timeout_seconds: int, temp_dir: Path) -> Answer:
    """Runs the script in a fresh, isolated process. If the process crashes, the crash is a reason to refuse.

    Raises:
      EnvironmentFault: the process was killed or gave no answer within `timeout_seconds`.
    """
    # The path must be absolute, because the process starts in another folder.
    temp_dir = temp_dir.absolute()
    request_file, answer_file = temp_dir / "request.json", temp_dir / "answer.json"
    request_file.write_text(json.dumps(request), encoding="utf-8")
    # -I: imports come neither from the script's folder nor the current folder nor PYTHONPATH.
    command = [sys.executable, "-I", str(SCRIPT), str(request_file), str(answer_file)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        process = subprocess.run(
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
            f"raise `infra_validator.timeout_seconds` (it is {timeout_seconds}), or wait until the machine is"
            " less busy, and run again: finished nodes are kept",
        ) from None
    if process.returncode in KILLED:
        raise EnvironmentFault(
            f"the process that validates the export was killed by {_exit_text(process.returncode)}",
            "check whether the machine ran out of memory (`dmesg`), and run again: finished nodes are kept",
        )
    if process.returncode != 0:
        log.error("the validating process ended with %d:\n%s", process.returncode, process.stderr)
        lines = process.stderr.strip().splitlines() or ["it printed no error"]
        return Answer([f"the validating process ended with {_exit_text(process.returncode)}: {lines[-1]}"])
    return msgspec.json.decode(answer_file.read_bytes(), type=Answer)


def _exit_text(code: int) -> str:
    """Returns an exit code, or the name of the signal that ended the process, for messages."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
