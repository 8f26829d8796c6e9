"""How far the run in progress is: a small file in the pipeline root, for `bitext status` and other programs.

A run replaces the file at most once a second, and removes it at its end. A killed run leaves it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from bitext.components.shared.progress import Figure, Progress
from bitext.pipeline.records import Stopwatch

WRITTEN_SECONDS = 1.0
"""The shortest time between two replacements of the file."""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The work in progress.

    Attributes:
      run: the id of the run.
      node: the node that works.
      part: the part of its work: a span or a corpus; empty: its work is not divided.
      node_started: when it began with this part, in seconds since the epoch.
      moved: when it last counted something, in seconds since the epoch.
      unit: what it counts: `updates`; empty: it counts nothing, or not yet.
      done: how many are done.
      total: how many there are; None: unknown.
      rate: how many are done in a second.
      seconds_left: how long the rest takes at this rate; None: unknown.
      figures: what else it reports: the loss, the scores of the last validation.
      engine: the job on a Beam engine that the node waits for, and its state; empty: none.
      node_seconds: the seconds from `node_started` to `moved`, which a change of the system clock does not
        affect.
      run_seconds: the same from the start of the run.
    """

    run: str
    node: str
    part: str = ""
    node_started: float
    moved: float
    unit: str = ""
    done: int = 0
    total: int | None = None
    rate: float = 0.0
    seconds_left: float | None = None
    figures: dict[str, Figure] = {}
    engine: str = ""
    node_seconds: float = 0.0
    run_seconds: float = 0.0


@dataclasses.dataclass
class LiveFile:
    """Writes the file of a run in progress.

    Attributes:
      path: the file.
      run_id: the id of the run.
      node: the node that works; empty: none yet.
    """

    path: Path
    run_id: str
    node: str = ""

    def __post_init__(self) -> None:
        self._part, self._engine, self._started, self._written = "", "", 0.0, 0.0
        self._run_stopwatch = self._node_stopwatch = Stopwatch()

    def start(self, node: str, part: str) -> None:
        """Records that a node begins with its work or a part of it."""
        self._node_stopwatch = Stopwatch()
        self.node, self._part, self._engine = node, part, ""
        self._started = self._node_stopwatch.started
        self._write(moved=self._started, node_seconds=0.0)

    def show_engine(self, text: str) -> None:
        """Records the state of the job on a Beam engine that the node waits for."""
        self._engine = text
        self._write()

    def move(self, progress: Progress) -> None:
        """Records how far the work is, if the file is old enough or the work has ended."""
        if time.monotonic() - self._written < WRITTEN_SECONDS and not progress.is_ended:
            return
        left = progress.seconds_left
        self._write(
            unit=progress.unit,
            done=progress.done,
            total=progress.total,
            rate=round(progress.rate, 3),
            seconds_left=None if left is None else round(left, 1),
            figures=dict(progress.figures),
        )

    def remove(self) -> None:
        """Removes the file at the end of the run."""
        with contextlib.suppress(OSError):  # it is removed or replaced by the next run
            self.path.unlink()

    def _write(self, **fields: Any) -> None:
        """Writes the file: what is known of the run and of the node, and the given fields."""
        known = {
            "run": self.run_id,
            "node": self.node,
            "part": self._part,
            "node_started": self._started,
            "moved": time.time(),
            "engine": self._engine,
            "node_seconds": self._node_stopwatch.seconds,
            "run_seconds": self._run_stopwatch.seconds,
        }
        live = Live(**{**known, **fields})
        self._written = time.monotonic()
        new = self.path.with_name(f"{self.path.name}.new")
        # On a full disk, whoever writes outputs reports it.
        with contextlib.suppress(OSError):
            new.write_bytes(msgspec.json.encode(live))
            os.replace(new, self.path)


def read(path: Path) -> Live | None:
    """Reads the file; None if there is none, or if another version of bitext wrote it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Live)
    except (OSError, msgspec.MsgspecError):
        return None
