"""The versions of bitext, Python and the packages, and whether they fit together."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from bitext.pipeline.doctor.findings import Findings

OLDEST_GLIBC = {(3, 11): (2, 17), (3, 12): (2, 39), (3, 13): (2, 39)}
"""The oldest C library for each supported Python: the compiled packages need it."""
SHOWN = (
    *("tensorflow", "tensorflow-transform", "tensorflow-data-validation", "tfx-bsl", "ml-metadata"),
    *("apache-beam", "numpy", "protobuf", "pyarrow"),
)
"""The packages of a family that are shown; the others are counted."""
MAKE_AGAIN = "make the environment again from the lock: `make setup`, or `pip install` of the wheel"


def own_version() -> dict[str, str]:
    """Returns the version of bitext and the folder of its code."""
    import bitext

    return {"version": _version("bitext") or "not installed", "folder": str(Path(bitext.__file__).parents[1])}


def python(findings: Findings) -> dict[str, Any]:
    """Returns the versions of Python, the C library and the kernel."""
    name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    report = {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "libc": f"{name} {version}" if version else "unknown",
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
    }
    check_python(sys.version_info[:2], report, findings)
    return report


def check_python(version: tuple[int, ...], report: dict[str, Any], findings: Findings) -> None:
    """Adds a problem if the packages do not exist for this Python, C library or machine."""
    supported = ", ".join(f"{major}.{minor}" for major, minor in OLDEST_GLIBC)
    oldest = OLDEST_GLIBC.get((version[0], version[1]))
    remedy = (
        "install CPython 3.11, or CPython 3.12 or 3.13 on Debian 13, Ubuntu 24.04 or later, on x86-64 Linux"
    )
    if oldest is None or report["implementation"] != "CPython":
        findings.problem(
            f"{report['implementation']} {report['version']} is not supported (CPython {supported} is)",
            remedy,
        )
    elif report["libc"].startswith("glibc "):
        numbers = tuple(int(part) for part in report["libc"].split()[1].split(".")[:2])
        if numbers < oldest:
            needed = ".".join(map(str, oldest))
            findings.problem(
                f"{report['libc']} is too old for Python {report['version']}: {needed} is needed", remedy
            )
    if report["machine"] != "x86_64":
        findings.problem(f"the machine {report['machine']} is not supported", remedy)


def packages(findings: Findings) -> dict[str, Any]:
    """Returns the installed version of each package that bitext requires, and the versions that fit."""
    from packaging.requirements import Requirement

    wanted: dict[str, dict[str, Any]] = {}
    report = {"family": family(), "required": wanted}
    if _version("bitext") is None:
        findings.problem("the package bitext is not installed", MAKE_AGAIN)
        return report
    for text in metadata.requires("bitext") or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        installed = _version(requirement.name)
        fits = installed is not None and requirement.specifier.contains(installed, prereleases=True)
        wanted[requirement.name] = {
            "version": installed,
            "required": str(requirement.specifier),
            "fits": fits,
        }
    check_packages(report, findings)
    return report


def family() -> str:
    """Returns the name of the family of versions for this Python."""
    return "CPython 3.11" if sys.version_info < (3, 12) else "CPython 3.12 and 3.13"


def check_packages(report: dict[str, Any], findings: Findings) -> None:
    """Adds a problem if packages are missing or of another version."""
    missing = [name for name, package in report["required"].items() if package["version"] is None]
    wrong = [
        f"{name} {package['version']} (needed: {package['required']})"
        for name, package in report["required"].items()
        if package["version"] is not None and not package["fits"]
    ]
    if missing:
        findings.problem(f"packages are not installed: {', '.join(missing)}", MAKE_AGAIN)
    if wrong:
        findings.problem(
            f"packages do not fit the family for {report['family']}: {', '.join(wrong)}", MAKE_AGAIN
        )


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def rows(report: dict[str, Any]) -> dict[str, str]:
    """Returns the lines of the report, by label."""
    own, python, packages = report["bitext"], report["python"], report["packages"]
    required = packages["required"]
    shown = ", ".join(f"{n} {required[n]['version'] or 'missing'}" for n in SHOWN if n in required)
    fit = sum(package["fits"] for package in required.values())
    return {
        "bitext": f"{own['version']} in {own['folder']}",
        "Python": f"{python['version']} ({python['executable']}), {python['libc']}, {python['system']}"
        f" {python['machine']}",
        "packages": f"{fit} of {len(required)} fit the family for {packages['family']}: {shown}",
    }
