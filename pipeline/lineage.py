"""`bitext lineage`: from a pushed version down to the files, parameters and libraries it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bitext.components.shared.errors import DataError
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.records import Execution, State, StoredArtifact, pushed_artifact
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists
from bitext.pipeline.terminal import moment

DIGEST_SHOWN = 12


def collect(config: PipelineConfig, version: int) -> dict[str, Any]:
    """The chain behind a pushed version, as an object that JSON can hold.

    Returns:
      `model`, `version`, `path`, `digest`; and `executions`, from the push down, each with `node`, `part`,
      `id`, `run`, `started`, `finished` (ISO 8601), `inputs` and `outputs` {name: [{`type`, `uri`,
      `digest`}]}, `files` {path: sha256}, `parameters`, `libraries` and `python` {name: version}, and
      `properties` of its outputs.

    Raises:
      DataError: no such version is on record.
    """
    root = Path(config.root)
    history = Store(config.metadata, root, config.name).executions() if _is_made(config) else []
    pushes = {
        int(artifact.properties["version"]): (execution, artifact)
        for execution in reversed(history)  # of several pushes of one version the newest counts
        if execution.state == State.COMPLETE and (artifact := pushed_artifact(execution))
    }
    if version not in pushes:
        known = ", ".join(map(str, sorted(pushes)))
        raise DataError(
            f"the pipeline {config.name} has pushed no version {version}",
            f"It has pushed {known or 'none'}. `bitext status` tells of the runs.",
        )
    last, artifact = pushes[version]
    return {
        "model": Path(config.serving).name,
        "version": version,
        "path": artifact.properties.get("path"),
        "digest": artifact.properties.get("digest"),
        "executions": [_execution(execution) for execution in chain(history, last)],
    }


def _is_made(config: PipelineConfig) -> bool:
    return store_exists(config.metadata, Path(config.root))


def chain(history: Sequence[Execution], last: Execution) -> list[Execution]:
    """An execution and all whose outputs it, or one of them, was made from: each once, newest first."""
    makers = {
        artifact.id: execution
        for execution in reversed(history)
        if execution.state == State.COMPLETE and execution.cache_key_parts
        for artifact in execution.all_outputs()
    }
    found, pending = {}, [last]
    while pending:
        execution = pending.pop()
        if execution.id in found:
            continue
        found[execution.id] = execution
        inputs = (artifact for several in execution.inputs.values() for artifact in several)
        pending += [makers[artifact.id] for artifact in inputs if artifact.id in makers]
    return sorted(found.values(), key=lambda execution: execution.id or 0, reverse=True)


def _execution(execution: Execution) -> dict[str, Any]:
    parts = json.loads(execution.cache_key_parts or "{}")
    properties = {name: value for a in execution.all_outputs() for name, value in a.properties.items()}
    return {
        "node": execution.node,
        "part": execution.part,
        "id": execution.id,
        "run": execution.run_id,
        "started": moment(execution.started),
        "finished": moment(execution.finished),
        "inputs": {name: _artifacts(several) for name, several in execution.inputs.items()},
        "outputs": {name: _artifacts(several) for name, several in execution.outputs.items()},
        "files": parts.get("file", {}),
        "parameters": parts.get("parameter", {}),
        "libraries": parts.get("library", {}),
        "python": parts.get("python", {}),
        "properties": properties,
    }


def _artifacts(several: Iterable[StoredArtifact]) -> list[dict[str, str]]:
    return [{"type": a.type, "uri": a.uri, "digest": a.digest} for a in several]


def render(lineage: dict[str, Any]) -> str:
    """The chain for a person; digests shortened, parameters left to --json."""
    lines = [f"{lineage['model']} version {lineage['version']}: {lineage['path']}", str(lineage["digest"])]
    libraries: dict[str, str] = {}
    for execution in lineage["executions"]:
        name = f"{execution['node']} {execution['part']}".rstrip()
        lines += ["", f"{name}, execution {execution['id']}, {execution['finished']}, run {execution['run']}"]
        for way, sign in (("inputs", "<-"), ("outputs", "->")):
            for key, several in execution[way].items():
                lines += [f"    {sign} {key:<20} {_short(a['digest'])}  {a['uri']}" for a in several]
        lines += [
            f"    <- {'file':<20} {_short(digest)}  {path}" for path, digest in execution["files"].items()
        ]
        libraries |= execution["libraries"] | {
            f"python {name}".removesuffix(" version"): value for name, value in execution["python"].items()
        }
    told = ", ".join(f"{name} {version}" for name, version in sorted(libraries.items()))
    return "\n".join([*lines, "", f"made with {told}"])


def _short(digest: str) -> str:
    return digest[:DIGEST_SHOWN]
