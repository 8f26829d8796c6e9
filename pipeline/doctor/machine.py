"""Processor, memory, disks, locale and GPU of the machine, with the limits of containers (cgroups)."""

from __future__ import annotations

import codecs
import locale as locale_module
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bitext.components.shared.cpu import instruction_sets
from bitext.pipeline.doctor.findings import Findings

GIB = 1 << 30
LITTLE_MEMORY = 2 * GIB
"""Below this, the example's training may run out of memory."""
LITTLE_DISK = 2 * GIB
"""Below this, the outputs of a few runs may fill the disk."""
THREAD_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
ENCODING_VARIABLES = ("LC_ALL", "LC_CTYPE", "LANG", "PYTHONUTF8", "PYTHONIOENCODING")
GPU_SECONDS = 120
_NO_LIMIT_V1 = 1 << 60
"""cgroup version 1 writes a number near 2^63 for no limit."""
_ASK = (
    "import json, tensorflow as tf;"
    "print(json.dumps({'built_with_cuda': tf.test.is_built_with_cuda(),"
    " 'used': [d.name for d in tf.config.list_physical_devices('GPU')]}))"
)


def processor(system: Path = Path("/")) -> dict[str, Any]:
    """Returns the processor, its cores, and the limits on them.

    Args:
      system: the folder with `proc` and `sys`.
    """
    text = _read(system / "proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    known = instruction_sets(text)
    return {
        "name": names[0] if names else "unknown",
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "cgroup_cores": cgroup_cores(system),
        "instructions": [name for name in ("avx2", "avx512f", "amx_bf16", "avx512_bf16") if name in known],
        "threads": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    }


def memory(findings: Findings, system: Path = Path("/")) -> dict[str, int | None]:
    """Returns the memory of the machine, what is available of it, and the limit of the cgroup, in bytes."""
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _read(system / "proc/meminfo"), re.MULTILINE))
    total, available = (1024 * int(found[n]) if n in found else None for n in ("MemTotal", "MemAvailable"))
    limit = cgroup_memory(system)
    usable = [value for value in (total, limit) if value is not None]
    if usable and min(usable) < LITTLE_MEMORY:
        findings.warning(f"{_size(min(usable))} of memory is little: a training may be ended by the system")
    return {"total": total, "available": available, "cgroup_limit": limit}


def cgroup_cores(system: Path = Path("/")) -> float | None:
    """Returns the number of cores that the cgroups of this process allow; None: no limit."""
    limits = []
    for folder in _cgroup_folders(system, "cpu"):
        quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
        if not quota:  # version 1
            quota, period = (_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit():  # else `max`, or -1
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def cgroup_memory(system: Path = Path("/")) -> int | None:
    """Returns the bytes that the cgroups of this process allow; None: no limit."""
    limits = []
    for folder in _cgroup_folders(system, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name).strip()
            if text.isdigit() and int(text) < _NO_LIMIT_V1:
                limits.append(int(text))
    return min(limits, default=None)


def _cgroup_folders(system: Path, controller: str) -> Iterator[Path]:
    """Yields the folders of the cgroups of this process, up to the root, in versions 1 and 2.

    In a container, the path of the cgroup may be that of the host; the root is then that of the container.
    """
    mounted = system / "sys/fs/cgroup"
    for line in _read(system / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = mounted / controller if controllers else mounted
        folder = top / path.lstrip("/")
        yield from (each for each in (folder, *folder.parents) if each.is_relative_to(top))


def disks(folders: Mapping[str, str], findings: Findings) -> dict[str, dict[str, Any]]:
    """Returns the disk of each folder: its place, size and free bytes, and whether it can be written.

    Args:
      folders: paths, which need not exist, by name; their nearest existing parent is looked at.
      findings: gets a problem for a folder that cannot be written, and a warning for a full disk.
    """
    report = {}
    for name, folder in folders.items():
        path = Path(folder).absolute()
        existing = next(each for each in (path, *path.parents) if each.exists())
        usage = shutil.disk_usage(existing)
        writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
        report[name] = {
            "path": folder,
            "total": usage.total,
            "free": usage.free,
            "writable": writable,
        }
        if not writable:
            what = "cannot be written" if existing.is_dir() else "is not a folder"
            findings.problem(
                f"{name} {folder}: {existing} {what}", f"allow it, or choose another folder with `{name}`"
            )
        elif usage.free < LITTLE_DISK:
            findings.warning(
                f"{name} {folder}: {_size(usage.free)} free is little: `bitext gc` deletes old outputs"
            )
    return report


def locale(findings: Findings) -> dict[str, Any]:
    """Returns the locale's variables, and the encodings of Python."""
    report = {
        "variables": {name: os.environ[name] for name in ENCODING_VARIABLES if name in os.environ},
        "encoding": locale_module.getpreferredencoding(False),
        "file_names": sys.getfilesystemencoding(),
        "terminal": getattr(sys.stdout, "encoding", None) or "unknown",
    }
    others = [report[name] for name in ("file_names", "terminal") if not _is_utf_8(str(report[name]))]
    if others:
        findings.warning(
            f"the encoding is {', '.join(map(str, dict.fromkeys(others)))} and not UTF-8: text of other"
            " scripts is shown as escapes (set LANG=C.UTF-8)"
        )
    return report


def _is_utf_8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding).name == "utf-8"
    except LookupError:
        return False


def gpu(findings: Findings, ask: bool, system: Path = Path("/")) -> dict[str, Any]:
    """Returns the NVIDIA GPUs that are seen, and those that TensorFlow uses.

    Args:
      findings: gets a warning if a GPU is seen and not used.
      ask: ask TensorFlow also if no GPU is seen.
      system: the folder with `proc` and `dev`.

    Returns:
      `seen`, names of devices; `driver`, its version or null; `used`, TensorFlow's names of devices, or null
      if it was not asked or does not answer; `seconds` that it took; `error`, why it does not answer, or
      null.
    """
    seen = sorted(path.name for path in (system / "dev").glob("nvidia[0-9]*"))
    driver = re.search(
        r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", _read(system / "proc/driver/nvidia/version")
    )
    report: dict[str, Any] = {
        "seen": seen,
        "driver": driver[1] if driver else None,
        "visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "used": None,
        "seconds": None,
        "error": None,
    }
    if seen or ask:
        report |= _ask_tensorflow()
        if seen and not report["used"]:
            cause = report["error"] or "the packages have no CUDA libraries, or CUDA_VISIBLE_DEVICES hides it"
            findings.warning(
                f"a GPU is there and TensorFlow does not use it: {cause}; see the guide Train on a GPU"
            )
        elif report["error"]:
            findings.problem(
                f"TensorFlow does not start: {report['error']}", "`make setup` installs the locked packages"
            )
    return report


def _ask_tensorflow() -> dict[str, Any]:
    """Asks TensorFlow in a process of its own, which takes some seconds."""
    import json

    started = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _ASK],
            capture_output=True,
            text=True,
            timeout=GPU_SECONDS,
            check=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        answer = {"error": f"no answer in {GPU_SECONDS} seconds"}
    except subprocess.CalledProcessError as error:
        answer = {"error": (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]}
    return answer | {"seconds": round(time.monotonic() - started, 1)}


def rows(report: dict[str, Any]) -> dict[str, str]:
    """Returns the lines of the report, by label."""
    cpu, memory, locale = report["processor"], report["memory"], report["locale"]
    limit = f", limited to {cpu['cgroup_cores']:g} by the cgroup" if cpu["cgroup_cores"] is not None else ""
    threads = "".join(f", {name}={value}" for name, value in cpu["threads"].items())
    memory_limit = (
        f", limited to {_size(memory['cgroup_limit'])} by the cgroup" if memory["cgroup_limit"] else ""
    )
    variables = " ".join(f"{name}={value}" for name, value in locale["variables"].items()) or "no LANG"
    return {
        "processor": f"{cpu['name']}, {cpu['usable_cores']} of {cpu['cores']} cores{limit}"
        f" ({', '.join(cpu['instructions']) or 'no AVX2'}){threads}",
        "memory": f"{_size(memory['total'])}, {_size(memory['available'])} available{memory_limit}",
        **_disk_rows(report["disk"]),
        "locale": f"{variables}; file names {locale['file_names']}, terminal {locale['terminal']}",
        "GPU": _gpu_row(report["gpu"]),
    }


def _disk_rows(disks: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {
        name: f"{disk['path']}: {_size(disk['free'])} of {_size(disk['total'])} free"
        + ("" if disk["writable"] else ", cannot be written")
        for name, disk in disks.items()
    }


def _gpu_row(gpu: dict[str, Any]) -> str:
    seen = ", ".join(gpu["seen"]) + (f" (driver {gpu['driver']})" if gpu["driver"] else "")
    if gpu["seconds"] is None:
        return "none seen; TensorFlow was not asked (--gpu asks it, which takes some seconds)"
    used = ", ".join(gpu["used"] or []) or "none"
    return f"{seen or 'none seen'}; TensorFlow uses {used} (asked for {gpu['seconds']:.1f} s)"


def _size(size: int | None) -> str:
    return "unknown" if size is None else f"{size / GIB:,.1f} GiB"


def _read(path: Path) -> str:
    """Returns the text of a file; empty if it does not exist or cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
