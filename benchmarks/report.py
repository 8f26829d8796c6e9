"""Measured figures: targets, and the files RESULTS.md and RESULTS.json."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
JSON, MARKDOWN = HERE / "RESULTS.json", HERE / "RESULTS.md"
LIBRARIES = ("tensorflow", "tensorflow-transform", "tensorflow-data-validation", "apache-beam", "numpy")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One figure.

    Attributes:
      name: what was measured.
      value: the median.
      unit: unit of value, spread and target.
      spread: the smallest and the largest measured value.
      runs: number of measured values: runs, or sentences if each sentence has a value.
      target: the upper limit, or the lower limit if `at_least`; null: no target.
      at_least: whether the target is a lower limit.
      met: whether the value meets the target; null: no target.
      bench: the benchmark.
      commit: the commit of this project that was measured.
      machine: the machine it was measured on.
    """

    name: str
    value: float
    unit: str
    spread: tuple[float, float]
    runs: int
    target: float | None = None
    at_least: bool = False
    met: bool | None = None
    bench: str = ""
    commit: str = ""
    machine: dict[str, str | int] = {}


def result(
    name: str,
    values: Sequence[float],
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Result:
    """Returns the median and the spread of measured values, rounded to three or four digits.

    Args:
      name: what was measured.
      values: the measured values.
      unit: their unit.
      at_most: target: upper limit of the median.
      at_least: target: lower limit of the median.
    """
    value = statistics.median(values)
    target = at_most if at_least is None else at_least
    met = None if target is None else (value <= target if at_least is None else value >= target)
    return Result(
        name=name,
        value=_rounded(value),
        unit=unit,
        spread=(_rounded(min(values)), _rounded(max(values))),
        runs=len(values),
        target=target,
        at_least=at_least is not None,
        met=met,
    )


def _rounded(value: float) -> float:
    return float(f"{value:.3g}") if abs(value) < 1000 else float(round(value))


def progress(line: str) -> None:
    """Prints a line on standard error, because standard output is for the figures."""
    print(f"    {line}", file=sys.stderr, flush=True)


def print_results(results: list[Result]) -> None:
    """Prints the figures of a benchmark as JSON, for `python -m benchmarks`."""
    print(msgspec.json.encode(results).decode())


def machine() -> dict[str, str | int]:
    """Returns a description of this machine and of the libraries."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def _processor() -> str:
    """Returns the processor's name, family and model on Linux, elsewhere its architecture.

    Family and model identify the processor where a virtual machine hides its name.
    """
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.machine()
    first = cpuinfo.read_text(encoding="utf-8").partition("\n\n")[0]
    fields = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in first.splitlines())}
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"


def commit() -> str:
    """Returns the checked-out commit, with `-dirty` if a file other than the results was changed."""
    exclusions = (f":(exclude){file.name}" for file in (JSON, MARKDOWN))
    changes = _git("status", "--porcelain", "--", ":/", *exclusions)
    return _git("rev-parse", "--short=7", "HEAD") + ("-dirty" if changes else "")


def _git(*arguments: str) -> str:
    """Runs git and returns what it prints."""
    command = ("git", *arguments)
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()


def read() -> list[Result]:
    """Reads the figures of earlier runs."""
    if not JSON.exists():
        return []
    return msgspec.convert(json.loads(JSON.read_bytes())["results"], list[Result])


def table(results: list[Result]) -> str:
    """Returns the figures in Markdown, a table for each machine."""
    machines: list[dict[str, str | int]] = []
    for r in results:
        if r.machine not in machines:
            machines.append(r.machine)
    paragraphs = list[str]()
    for described in machines:
        paragraphs.append(", ".join(f"{name} {value}" for name, value in described.items()))
        paragraphs.append(_rows([r for r in results if r.machine == described]))
    return "\n\n".join(paragraphs)


def _rows(results: list[Result]) -> str:
    rows = []
    for r in results:
        target = "" if r.target is None else f"{'>=' if r.at_least else '<='} {r.target:g}"
        verdict = {None: "", True: "yes", False: "**no**"}[r.met]
        spread = f"{r.spread[0]:g} to {r.spread[1]:g}, of {r.runs}" if r.runs > 1 else "one run"
        measured = f"{r.value:g} {r.unit} | {spread}"
        rows.append(f"| {r.bench} | {r.name} | {measured} | {target} | {verdict} | {r.commit} |")
    head = ["| bench | what | median | spread | target | met | commit |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def write(results: list[Result]) -> None:
    """Writes RESULTS.json and RESULTS.md."""
    content = {"machine": machine(), "results": results}
    JSON.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
    MARKDOWN.write_text(f"# Results of `make bench`\n\n{table(results)}\n", encoding="utf-8")
