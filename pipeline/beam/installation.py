"""Checks that a Beam worker has the same Python, libraries and code as the caller.

Outputs and cache keys depend on them, so a worker with another version would give wrong results under the
right key. The check is a small program that travels inside each pickled function, as its first attribute. It
runs when a worker unpickles the function, before its other attributes, and needs only the standard library.
The module of its class is imported even earlier: see `failures.missing_package` if that fails.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
import re
from pathlib import Path
from typing import Any

from bitext.components.example_gen import ExampleGen, GoldenGen
from bitext.components.shared.errors import EnvironmentFault
from bitext.components.statistics_gen import RequestStatistics, StatisticsGen
from bitext.components.transform import Transform

REPORT = "bitext-worker: "
"""Begins the JSON text in which a worker reports what differs."""
ATTRIBUTE = "_bitext_worker_check"
"""The attribute of a DoFn that has the check."""
INSTALL = (
    "install this version of bitext with its lock on the workers, or give them an image that has them"
    " (see the guide `Run on a Beam engine`)"
)
"""What to do about a worker with another installation."""
CODE = "source code of bitext"
_UNLIKE_SDKS = re.compile(
    r"Submission environment: \S*/beam_(\S+?)\. Runtime environment: \S*/beam_(\S+?)\.?\s"
)
"""Beam's own check, which it makes before it unpickles anything: `python3.11_sdk:2.72.0`."""
_COMPONENTS = (ExampleGen, GoldenGen, StatisticsGen, RequestStatistics, Transform)
_LIBRARIES = ("bitext", "apache-beam", "tensorflow", "numpy")
"""Distributions that workers need, besides those that the components name."""
_CHECK = f'''
import sys
if getattr(sys, "{ATTRIBUTE}", None) != token:
    import importlib.metadata, json, platform, socket
    def version(name):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None
    found = {{name: version(name) for name in expected}}
    found["Python"] = ".".join(platform.python_version_tuple()[:2])
    found.pop("{CODE}", None)
    differences = [[n, v, expected[n]] for n, v in found.items() if v != expected[n]]
    error = None
    if not differences:
        try:
            from bitext.pipeline.beam import installation
            if installation.source_digest() != expected["{CODE}"]:
                differences = [["{CODE}", "another", "this"]]
        except ImportError as caught:
            error = str(caught)
    if differences or error:
        report = {{"host": socket.gethostname(), "python": sys.executable, "differences": differences}}
        raise ImportError("{REPORT}" + json.dumps(dict(report, error=error)))
    sys.{ATTRIBUTE} = token
import os
if os.path.isdir(folder):
    sys.path[:] = [entry for entry in sys.path if entry]
    os.chdir(folder)
from bitext.components.shared.errors import Notes
Notes.are_added = True
'''
"""The check. It runs in any version of Python 3 and of Beam, on a worker that may lack bitext.

Then it changes to the folder that the command runs in, if the worker sees it: relative paths of the
configuration are relative to that. Modules in that folder are not imported.
"""


class WorkerCheck:
    """An attribute of a DoFn. To unpickle it is to run the check; the attribute is then None."""

    def __reduce__(self) -> tuple[Any, ...]:
        expected = expected_versions()
        text = json.dumps(expected, sort_keys=True)
        token = hashlib.sha256(text.encode()).hexdigest()
        return exec, (_CHECK, {"expected": expected, "token": token, "folder": str(Path.cwd())})


def add_check(function: Any) -> None:
    """Makes the check the first attribute of a function, if it has a dictionary of attributes."""
    attributes = getattr(function, "__dict__", None)
    if isinstance(attributes, dict):
        others = {name: value for name, value in attributes.items() if name != ATTRIBUTE}
        attributes.clear()
        attributes.update({ATTRIBUTE: WorkerCheck(), **others})


@functools.cache
def expected_versions() -> dict[str, str | None]:
    """The versions that a worker must have: those of this process."""
    names = {*_LIBRARIES, *(name for component in _COMPONENTS for name in component.libraries)}
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{name: _version(name) for name in sorted(names)},
        CODE: source_digest(),
    }


@functools.cache
def source_digest() -> str:
    """Returns a digest of the files of the components and the schemas, as they are installed."""
    import bitext.components
    import bitext.schemas

    digest = hashlib.sha256()
    for package in (bitext.components, bitext.schemas):
        folder = Path(next(iter(package.__path__)))
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{package.__name__}/{file.relative_to(folder)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def installation_fault(text: str) -> EnvironmentFault | None:
    """Returns the error about a worker's installation that an engine's text reports, or None."""
    if unlike_sdks := _UNLIKE_SDKS.search(text):
        caller, worker = unlike_sdks.groups()
        return EnvironmentFault(f"a Beam worker has another Beam SDK: {worker}, here {caller}", INSTALL)
    _, marker, rest = text.partition(REPORT)
    if marker:
        try:
            report, _ = json.JSONDecoder().raw_decode(rest)
            where = f"the Beam worker on {report['host']} ({report['python']})"
            unlike = [_difference(*difference) for difference in report["differences"]]
            reason = ", ".join(unlike) or f"bitext cannot be imported: {report['error']}"
        except (ValueError, KeyError, TypeError):
            where, reason = "a Beam worker", rest[:200]
        return EnvironmentFault(f"{where} has another installation: {reason}", INSTALL)
    return None


def _difference(name: str, found: str | None, expected: str | None) -> str:
    """One difference in words: `numpy 1.26.4, here 2.0.1`."""
    if name == CODE:
        return f"the same version of bitext with other {CODE.removesuffix(' of bitext')}"
    there = f"{name} {found}" if found else f"no {name}"
    return f"{there}, here {expected or 'none'}"


def _version(name: str) -> str | None:
    """The installed version of a distribution; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
