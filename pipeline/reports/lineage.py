"""The report of `bitext lineage`: the files, parameters and libraries a pushed version was made from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bitext.components.shared.errors import DataError
from bitext.pipeline.completion import complete_interrupted
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.records import (
    Execution,
    History,
    State,
    StoredArtifact,
    pushed_artifact,
    pushed_folder,
)
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists
from bitext.pipeline.terminal import moment

SHOWN_DIGEST = 12
"""Characters shown of a digest."""


def collect(config: PipelineConfig, version: int) -> dict[str, Any]:
    """Returns the report as an object that JSON can hold.

    Returns:
      `model`, `version`, `path`, `digest`; and `executions`, newest first, each with `node`, `part`, `id`,
      `run`, `started`, `finished` (ISO 8601), `inputs` and `outputs` {name: [{`type`, `uri`,
      `digest`}]}, `files` {path: sha256}, `parameters`, `libraries` and `python` {name: version}, and
      `properties` of its outputs.

    Raises:
      DataError: no such version is on record.
    """
    root = Path(config.work_folder)
    complete_interrupted(config)
    recorded = store_exists(config.metadata, root)
    history = Store(config.metadata, root, config.name).executions() if recorded else []
    pushes = {
        int(artifact.properties["version"]): (execution, artifact)
        for execution in reversed(history)  # if a version was pushed twice, the newest push counts
        if execution.state == State.COMPLETE and (artifact := pushed_artifact(execution))
    }
    if version not in pushes:
        known = ", ".join(map(str, sorted(pushes)))
        raise DataError(
            f"the pipeline {config.name} has pushed no version {version}",
            f"it has pushed {known or 'none'}; `bitext status CONFIG` shows the runs",
        )
    last, artifact = pushes[version]
    return {
        "model": Path(config.serving).name,
        "version": version,
        "path": str(pushed_folder(artifact, config.serving)),
        "digest": artifact.properties.get("digest"),
        "executions": [_execution(execution) for execution in chain(history, last)],
    }


def chain(history: History, last: Execution) -> list[Execution]:
    """Returns an execution and all executions that its inputs come from, directly or not, newest first."""
    makers = {
        artifact.id: execution
        for execution in reversed(history)
        if execution.state == State.COMPLETE and execution.cache_key_parts
        for artifact in execution.all_outputs()
    }
    lineage, pending = {}, [last]
    while pending:
        execution = pending.pop()
        if execution.id in lineage:
            continue
        lineage[execution.id] = execution
        pending += [makers[artifact.id] for artifact in execution.all_inputs() if artifact.id in makers]
    return sorted(lineage.values(), key=lambda execution: execution.id or 0, reverse=True)


def _execution(execution: Execution) -> dict[str, Any]:
    parts = execution.key_values()
    properties = {name: value for a in execution.all_outputs() for name, value in a.properties.items()}
    return {
        "node": execution.node,
        "part": execution.part,
        "id": execution.id,
        "run": execution.run_id,
        "started": moment(execution.started),
        "finished": moment(execution.finished),
        "inputs": {name: _artifacts(artifacts) for name, artifacts in execution.inputs.items()},
        "outputs": {name: _artifacts(artifacts) for name, artifacts in execution.outputs.items()},
        "files": parts.get("file", {}),
        "parameters": parts.get("parameter", {}),
        "libraries": parts.get("library", {}),
        "python": parts.get("python", {}),
        "properties": properties,
    }


def _artifacts(artifacts: Iterable[StoredArtifact]) -> list[dict[str, str]]:
    return [{"type": a.type, "uri": a.uri, "digest": a.digest} for a in artifacts]


def render(lineage: dict[str, Any]) -> str:
    """Returns the report as text, with shortened digests and without parameters."""
    lines = [f"{lineage['model']} version {lineage['version']}: {lineage['path']}", str(lineage["digest"])]
    libraries: dict[str, str] = {}
    for execution in lineage["executions"]:
        name = f"{execution['node']} {execution['part']}".rstrip()
        lines += ["", f"{name}, execution {execution['id']}, {execution['finished']}, run {execution['run']}"]
        for side, arrow in (("inputs", "<-"), ("outputs", "->")):
            for key, artifacts in execution[side].items():
                lines += [f"    {arrow} {key:<20} {_short(a['digest'])}  {a['uri']}" for a in artifacts]
        lines += [
            f"    <- {'file':<20} {_short(digest)}  {path}" for path, digest in execution["files"].items()
        ]
        libraries |= execution["libraries"] | {
            f"python {name}".removesuffix(" version"): value for name, value in execution["python"].items()
        }
    versions = ", ".join(f"{name} {version}" for name, version in sorted(libraries.items()))
    return "\n".join([*lines, "", f"made with {versions}"])


def _short(digest: str) -> str:
    return digest[:SHOWN_DIGEST]
