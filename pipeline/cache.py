"""Cache keys: what a node's outputs depend on, hashed by content, and why one key differs from another.

A key covers the content of the input artifacts and of the outside files a node reads, its parameters, its
source code, the versions of its libraries and of Python. No modification time is ever looked at.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from bitext.components.component import Component, Parameters
from bitext.components.shared import files
from bitext.components.shared.errors import DataError
from bitext.pipeline.beam import remote_fingerprints

OUR_PACKAGES = ("bitext.components", "bitext.schemas")

Parts = dict[str, dict[str, Any]]


def key_parts(component: Component[Any], parameters: Parameters, inputs: Mapping[str, Any]) -> Parts:
    """Everything the outputs depend on, by kind and name.

    Args:
      component: the declaration.
      parameters: its parameters.
      inputs: the content digest of each input artifact, a list for a list input, None for an absent one.

    Raises:
      DataError: if a file the component reads does not exist.
    """
    values = msgspec.json.decode(msgspec.json.encode(parameters))  # as they come back from the record
    for name in component.uncached_parameters:
        values.pop(name)
    return {
        "input": dict(inputs),
        "file": external_digests(component, parameters),
        "parameter": values,
        "source": source_digests(type(component).__module__),
        "library": {name: _version(name) for name in component.libraries},
        "python": {"version": ".".join(platform.python_version_tuple()[:2])},
    }


def key_of(parts: Parts) -> str:
    """The cache key: sha256 of the parts, in a fixed order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def external_digests(component: Component[Any], parameters: Parameters) -> dict[str, str]:
    """The content of each file a component reads beside its inputs: digest by path.

    Raises:
      DataError: if a path does not exist or a pattern matches nothing.
    """
    found: dict[str, str] = {}
    for pattern in component.external_inputs(parameters):
        if files.is_remote(pattern):
            matches = remote_fingerprints(pattern)
        else:
            matches = {path: files.file_digest(Path(path)) for path in files.matching(pattern)}
        if not matches:
            raise _no_such_file(component, pattern)
        found.update(matches)
    return found


def check_external(component: Component[Any], parameters: Parameters) -> None:
    """Raises DataError, as `external_digests` would, if a file of this machine is not there. Reads none."""
    for pattern in component.external_inputs(parameters):
        if not files.is_remote(pattern) and not files.matching(pattern):
            raise _no_such_file(component, pattern)


def _no_such_file(component: Component[Any], pattern: str) -> DataError:
    return DataError(
        f"{component.name}: {pattern}: there is no such file",
        "Check the path in the configuration (paths are relative to the current folder)."
        " `bitext fetch NAME` obtains an example corpus.",
    )


@functools.cache
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


# Source code.


def source_digests(module: str) -> dict[str, str]:
    """Digest by module of the code behind a component that `module` declares.

    These are the modules of its package and what they import, directly or not, of this project's
    components and schemas. Comments and layout do not count.
    """
    pending = [module]
    file = _module_file(module)
    if file is not None and file.name == "__init__.py":
        # Whole packages: no module imports a script that a component starts.
        pending += [
            ".".join((module, *path.relative_to(file.parent).with_suffix("").parts))
            for path in file.parent.rglob("*.py")
            if path.name != "__init__.py"
        ]
    found: dict[str, str] = {}
    while pending:
        name = pending.pop()
        file = _module_file(name)
        if name in found or file is None:
            continue
        found[name], imports = _read_module(name, file)
        pending += imports
        if "." in name:
            pending.append(name.rpartition(".")[0])
    return dict(sorted(found.items()))


@functools.cache
def _read_module(name: str, file: Path) -> tuple[str, list[str]]:
    """A module's digest, and the modules of ours that it may import."""
    tree = ast.parse(file.read_bytes(), filename=str(file))
    imports = _imports(tree, name, is_package=file.name == "__init__.py")
    ours = [m for m in imports if m.startswith(tuple(f"{package}." for package in OUR_PACKAGES))]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), ours


def _imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Names that import statements mention; some are a module's contents and not modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")
                above = above[: len(above) - node.level + int(is_package)]
                base = ".".join([*above, base] if base else above)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@functools.cache
def _module_file(name: str) -> Path | None:
    """The file of a module, found without importing it; None if there is no such module."""
    top, *below = name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        return None
    if not below:
        return Path(spec.origin) if spec.origin else None
    for location in spec.submodule_search_locations or ():
        path = Path(location, *below)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


# Explanations.


def differences(old: Parts, new: Parts) -> list[str]:
    """What changed from one key's parts to another's, a line each."""
    lines = []
    for kind in new:
        before, after = _flat(old.get(kind, {})), _flat(new[kind])
        for name in sorted({*before, *after}):
            was, now = before.get(name), after.get(name)
            if was != now or (name in before) != (name in after):
                lines.append(f"{kind} {name}: {_change(kind, was, now)}")
    return lines


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _change(kind: str, was: Any, now: Any) -> str:
    if kind in ("input", "file", "source"):
        if was is None:
            return "new"
        return "gone" if now is None else "content changed"
    return f"{json.dumps(was, ensure_ascii=False)} -> {json.dumps(now, ensure_ascii=False)}"
