"""Cache keys: what a node's outputs depend on, hashed by content.

A key covers the content of the input artifacts and of the external files that a node reads, its parameters,
its source code, and the versions of its libraries and of Python. Modification times do not count.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bitext.components.component import Component, Parameters
from bitext.components.shared import files, storage
from bitext.components.shared.errors import DataError, MissingFileError
from bitext.pipeline.records import Artifacts
from bitext.pipeline.source_digests import source_digests

KeyParts = dict[str, dict[str, Any]]
"""The values that a cache key is the hash of, by kind (`input`, `file`, `parameter`, ...) and name."""


def key_parts(component: Component[Any], parameters: Parameters, inputs: Artifacts) -> KeyParts:
    """Returns everything that the outputs depend on, by kind and name.

    Args:
      component: the component.
      parameters: its parameters.
      inputs: its inputs by keyword; an absent one is an empty tuple.

    Raises:
      DataError: if a file that the component reads does not exist.
    """
    values = msgspec.json.decode(msgspec.json.encode(parameters))  # as the store returns them
    for name in component.uncached_parameters:
        *sections, last = name.split(".")
        functools.reduce(lambda section, key: section[key], sections, values).pop(last)
    return {
        "input": input_digests(component, inputs),
        "file": external_digests(component, parameters),
        "parameter": values,
        "source": source_digests(type(component).__module__),
        "library": {name: _version(name) for name in component.libraries},
        "python": {"version": ".".join(platform.python_version_tuple()[:2])},
    }


def key_of(parts: KeyParts) -> str:
    """Returns the cache key: SHA-256 of the parts, in a fixed order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def input_digests(component: Component[Any], inputs: Artifacts) -> dict[str, Any]:
    """Returns the digest of each input by name, or of each split of it if only some splits are read.

    A list input of several artifacts has a list of digests; an absent input or split has None.
    """
    digests: dict[str, Any] = {}
    for key, artifacts in sorted(inputs.items()):
        if key in component.uncached_inputs:
            continue
        splits = component.input_splits.get(key) if artifacts else None
        if splits is None:
            digests[key] = _one_or_list([artifact.digest for artifact in artifacts])
        else:
            for split in splits:
                digests[f"{key}/{split}"] = _one_or_list([a.split_digests.get(split) for a in artifacts])
    return digests


def _one_or_list(digests: list[str] | list[str | None]) -> Any:
    return digests if len(digests) > 1 else next(iter(digests), None)


def external_digests(component: Component[Any], parameters: Parameters) -> dict[str, str]:
    """Returns the digest, by path, of each file that a component reads in addition to its inputs.

    Raises:
      DataError: if a path does not exist or a pattern matches nothing.
    """
    digests: dict[str, str] = {}
    for pattern in component.external_inputs(parameters):
        if storage.is_remote(pattern):
            matches = {path: storage.fingerprint(path) for path in storage.matching(pattern)}
        else:
            matches = {path: files.file_digest(Path(path)) for path in files.local_files(pattern)}
        if not matches:
            raise _no_such_file(component, pattern)
        digests.update(matches)
    return digests


def check_external(component: Component[Any], parameters: Parameters) -> None:
    """Raises the DataError of `external_digests` if a local file is missing. Reads no file."""
    for pattern in component.external_inputs(parameters):
        if not storage.is_remote(pattern) and not files.local_files(pattern):
            raise _no_such_file(component, pattern)


def _no_such_file(component: Component[Any], pattern: str) -> DataError:
    if error := files.not_a_file(pattern):
        return DataError(f"{component.name}: {error}", error.remedy)
    return MissingFileError(
        f"{component.name}: {pattern}: there is no such file",
        f"check the path in the configuration (paths are relative to the current folder, {Path.cwd()});"
        " `bitext fetch NAME` downloads an example corpus",
        pattern,
    )


@functools.cache
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def differences(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns what changed from one key's parts to another's, one line each."""
    lines = []
    for kind in new:
        before, after = _flat(old.get(kind, {})), _flat(new[kind])
        for name in sorted({*before, *after}):
            old_value, new_value = before.get(name), after.get(name)
            if old_value != new_value or (name in before) != (name in after):
                lines.append(f"{kind} {name}: {_change(kind, old_value, new_value)}")
    return lines


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _change(kind: str, old: Any, new: Any) -> str:
    if kind in ("input", "file", "source"):
        if old is None:
            return "new"
        return "gone" if new is None else "content changed"
    return f"{json.dumps(old, ensure_ascii=False)} -> {json.dumps(new, ensure_ascii=False)}"
