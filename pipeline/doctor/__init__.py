"""`bitext doctor`: what a person who asks for help is asked for, on one screen, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from bitext.components.shared.errors import ConfigError
from bitext.components.shared.storage import is_remote
from bitext.pipeline.config import PipelineConfig, load
from bitext.pipeline.doctor import machine, software, state, stores
from bitext.pipeline.doctor.findings import Findings


def collect(
    file: Path, overrides: list[str], root: str | None, *, ask_tensorflow: bool = False
) -> dict[str, Any]:
    """Returns the report as an object that JSON can hold. An invalid configuration is a problem in it.

    Args:
      file: the configuration.
      overrides, root: as for `config.load`.
      ask_tensorflow: ask TensorFlow for GPUs, which takes some seconds, also if no GPU is seen.

    Returns:
      `bitext`, `python`, `packages`, `processor`, `memory`, `locale`, `gpu`, `configuration`, `disk`,
      `stores`, `metadata` and `last_run`, each an object or null; `warnings`, a list of texts; and
      `problems`, a list of {`message`, `remedy`, `exit_code`}.
    """
    findings = Findings()
    report: dict[str, Any] = {
        "bitext": software.own_version(),
        "python": software.python(findings),
        "packages": software.packages(findings),
        "processor": machine.processor(),
        "memory": machine.memory(findings),
        "locale": machine.locale(findings),
        "gpu": machine.gpu(findings, ask_tensorflow),
    }
    config = _load(file, overrides, root, findings)
    report["configuration"] = {"file": str(file), "name": config.name if config else None}
    report["disk"] = machine.disks(_local_folders(config) if config else {}, findings)
    report["stores"] = stores.of_pipeline(config, findings) if config else None
    report |= state.of_pipeline(config, findings) if config else {"metadata": None, "last_run": None}
    return report | {
        "warnings": findings.warnings,
        "problems": [dataclasses.asdict(problem) for problem in findings.problems],
    }


def _load(file: Path, overrides: list[str], root: str | None, findings: Findings) -> PipelineConfig | None:
    """Loads the configuration; None, with a problem, if it is invalid."""
    try:
        return load(file, overrides, root, warn=findings.warnings.append)
    except ConfigError as error:
        findings.problem(str(error), error.remedy, error.exit_code)
        return None


def exit_code(report: dict[str, Any]) -> int:
    """Returns the exit code of the first problem; 0: there is none."""
    return next((int(problem["exit_code"]) for problem in report["problems"]), 0)


def render(report: dict[str, Any]) -> str:
    """Returns the report as text."""
    configuration = report["configuration"]
    rows = {
        **software.rows(report),
        **machine.rows(report),
        "configuration": configuration["file"]
        + (f", name {configuration['name']}" if configuration["name"] else ", which is invalid"),
        **stores.rows(report),
        **state.rows(report),
    }
    lines = [f"{label:<14}{text}" for label, text in rows.items()]
    for warning in report["warnings"]:
        lines.append(f"warning: {warning.removeprefix('warning: ')}")
    for problem in report["problems"]:
        lines.append(f"problem: {problem['message']}")
        if problem["remedy"]:
            lines.append(f"    what to do: {problem['remedy']}")
    count = len(report["problems"])
    lines.append(f"{count} problem{'s' * (count != 1)} found" if count else "no problem found")
    return "\n".join(lines)


def _local_folders(config: PipelineConfig) -> dict[str, str]:
    """The folders of this machine that a run writes to."""
    own = "work" if is_remote(config.root) else "root"
    folders = {own: config.work_folder, "serving": config.serving}
    return {name: folder for name, folder in folders.items() if not is_remote(folder)}


__all__ = ["collect", "exit_code", "render"]
