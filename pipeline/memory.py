"""Measures the peak memory of an execution."""

from __future__ import annotations

import resource
from pathlib import Path

MEGABYTE = 10**6
"""Bytes."""
_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"
"""Sets VmHWM to the memory that is resident now: proc(5)."""


class PeakMemory:
    """Measures the largest resident memory of this process since its creation, and of child processes.

    A child process counts if it ended since, and was larger than all before.

    The kernel keeps one peak per process, which is reset here. `getrusage` and GNU time then report the peak
    since the last reset.
    """

    def __init__(self) -> None:
        self._is_reset = _reset()
        self._before, self._child_before = _peak(), _child_peak()

    def bytes(self) -> int:
        """Returns the peak; 0: unknown, because it cannot be reset, and an earlier peak was higher."""
        peak, child_peak = _peak(), _child_peak()
        own = peak if self._is_reset or peak > self._before else 0
        return max(own, child_peak) if own and child_peak > self._child_before else own


def _reset() -> bool:
    """Resets the peak; returns whether that is permitted."""
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def _peak() -> int:
    """The peak of this process in bytes."""
    try:
        lines = _STATUS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # /proc is not mounted
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    values = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(next(values, "0")) * 1024


def _child_peak() -> int:
    """The peak of the largest child process that has ended, in bytes."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
