"""How far long work is. The code that does the work counts; who shows it observes.

At most one work is in progress in a process. Code that has no `Context`, such as a Beam transform, counts
with `count`. In a worker process of a Beam runner nothing is in progress, so `count` does nothing there.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

OBSERVED_SECONDS = 0.1
"""The shortest time between two calls of an observer."""

Figure = str | int | float
"""A figure of the work: a loss, a score."""


class Progress:
    """How far a work is. Several threads may count.

    Attributes:
      unit: what is counted, in the plural: `rows`, `updates`.
      total: how many there are; None: unknown.
      done: how many are done.
      figures: what else is known, by name.
      is_drawn: whether a bar may be drawn on a terminal.
      is_ended: whether the work has ended.
    """

    def __init__(
        self,
        unit: str,
        total: int | None,
        done: int,
        observe: Callable[[Progress], None],
        *,
        is_drawn: bool = True,
    ):
        self.unit, self.total, self.done, self.is_drawn = unit, total, done, is_drawn
        self.figures: dict[str, Figure] = {}
        self.is_ended = False
        self._first, self._started = done, time.monotonic()
        self._observe, self._observed = observe, 0.0
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        """Counts what is done. A count of 0 says that the work goes on."""
        with self._lock:
            self.done += count
            self._tell()

    def note(self, **figures: Figure) -> None:
        """Sets figures."""
        with self._lock:
            self.figures |= figures
            self._tell(now=True)

    def end(self) -> None:
        """Marks the work as ended."""
        with self._lock:
            self.is_ended = True
            self._tell(now=True)

    @property
    def rate(self) -> float:
        """How many are done in a second, on average since the start."""
        return (self.done - self._first) / max(time.monotonic() - self._started, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this rate; None: unknown."""
        if self.total is None or self.done <= self._first:
            return None
        return max(0, self.total - self.done) / self.rate

    def _tell(self, now: bool = False) -> None:
        moment = time.monotonic()
        if now or moment - self._observed >= OBSERVED_SECONDS:
            self._observed = moment
            self._observe(self)


_current: Progress | None = None


def count(done: int) -> None:
    """Counts what is done of the work in progress in this process, if there is one."""
    progress = _current
    if progress is not None:
        progress.advance(done)


@contextlib.contextmanager
def in_progress(progress: Progress) -> Iterator[Progress]:
    """Context manager: the work is in progress, and has ended at the end."""
    global _current
    before, _current = _current, progress
    try:
        progress.advance(0)
        yield progress
    finally:
        _current = before
        progress.end()
