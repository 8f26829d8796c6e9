"""What `bitext status` says of a run that has not ended: where it is, and whether it still moves."""

from __future__ import annotations

import math
import time
from typing import Any

import msgspec

from bitext.pipeline import live
from bitext.pipeline.layout import Layout
from bitext.pipeline.lock import is_used
from bitext.pipeline.records import Run, State
from bitext.pipeline.terminal import duration, moment

STILL_SECONDS = 60.0
"""A run moves if it counted something within this time."""
ENDED = "the process has ended; the next run continues"
SCORES = {"bleu": "BLEU", "chrf": "chrF", "best_bleu": "best BLEU"}


def collect(run: Run, layout: Layout) -> dict[str, Any] | None:
    """Returns where a run is; None if it has ended, or runs in another root with the same metadata store.

    Returns:
      `alive`: whether its process exists. `activity`: in words, whether it moves: `moves`, `no progress for
      12 min 00 s`, or that the process has ended. Then, if they are known, the fields of `live.Live`, with
      times in ISO 8601, and `seconds_still`, the seconds since it last moved.
    """
    if run.state != State.RUNNING or run.root_id not in ("", layout.read_id()):
        return None
    is_alive, work = is_used(layout), live.read(layout.progress)
    if work is None or work.run != run.run_id:
        return {"alive": is_alive, "activity": "starts" if is_alive else ENDED}
    still = max(0.0, time.time() - work.moved)
    activity = "moves" if still < STILL_SECONDS else f"no progress for {duration(still)}"
    fields = msgspec.to_builtins(work) | {
        "moved": moment(work.moved),
        "node_started": moment(work.node_started),
    }
    del fields["run"]
    return {
        "alive": is_alive,
        "activity": activity if is_alive else ENDED,
        "seconds_still": round(still, 1),
        **fields,
    }


def lines(progress: dict[str, Any]) -> list[str]:
    """Returns where a run is, in words: the node and how far it is, its figures, and whether it moves."""
    if "node" not in progress:
        return [progress["activity"]]
    node = f"{progress['node']} {progress['part']}".strip()
    shown = [f"{node}: {_extent(progress)}" if progress["unit"] else f"{node} works"]
    if progress["engine"]:
        shown.append(progress["engine"])
    if figures := _figures(progress["figures"]):
        shown.append(figures)
    last = f"last moved {duration(progress['seconds_still'])} ago"
    return [*shown, f"{progress['activity']}, {last}"]


def _extent(progress: dict[str, Any]) -> str:
    """How far the work is: `1,800 of 4,000 updates, 22.4 a second, 1 min 38 s left`."""
    done, total, rate, left = (progress[name] for name in ("done", "total", "rate", "seconds_left"))
    extent = f"{done:,} {progress['unit']}" if total is None else f"{done:,} of {total:,} {progress['unit']}"
    if 0 < rate < 1:
        extent += f", {1 / rate:.1f} s each"
    elif rate:
        extent += f", {rate:,.1f} a second"
    return extent if left is None else f"{extent}, {duration(math.ceil(left))} left"


def _figures(figures: dict[str, Any]) -> str:
    """The figures of a training: `loss 2.310; validation at 1,600: BLEU 30.12, chrF 51.02`."""
    shown = [f"loss {figures['loss']:.3f}"] if "loss" in figures else []
    if "validated" in figures:
        scores = [f"{label} {figures[name]:.2f}" for name, label in SCORES.items() if name in figures]
        shown.append(f"validation at {figures['validated']:,}: {', '.join(scores)}")
    return "; ".join(shown)
