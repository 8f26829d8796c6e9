"""Draws a progress bar on a terminal, below the lines that are printed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bitext.components.shared.progress import Figure, Progress, in_progress
from bitext.pipeline.streams import print_message

if TYPE_CHECKING:
    from tqdm import tqdm

_WITH_TOTAL = "    {percentage:3.0f}% {bar} {n_fmt}/{total_fmt}{unit}, {remaining} left, {rate_fmt}{postfix}"
_WITHOUT_TOTAL = "    {n_fmt}{unit} in {elapsed}, {rate_fmt}{postfix}"


def is_terminal() -> bool:
    """Whether a person watches on a terminal that can overwrite a line."""
    return sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class Bar:
    """At most one bar at a time."""

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None

    def show(self, progress: Progress) -> None:
        """Draws how far a work is; removes the bar if the work has ended."""
        if progress.is_ended or not progress.is_drawn:
            self.close()
            return
        if self._bar is None:
            self._bar = _new(progress)
        self._bar.set_postfix_str(_in_words(progress.figures), refresh=False)
        self._bar.update(progress.done - self._bar.n)
        self._bar.refresh()

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Context manager: removes the bar while a line is printed."""
        if self._bar is None:
            yield
            return
        self._bar.clear()
        try:
            yield
        finally:
            self._bar.refresh()


@dataclasses.dataclass(frozen=True)
class Printer:
    """Prints messages above a bar.

    Attributes:
      bar: the bar, which may not be drawn.
      write: prints a message.
    """

    bar: Bar
    write: Callable[[str], None] = print_message

    def __call__(self, text: str) -> None:
        with self.bar.hidden():
            self.write(text)


@contextlib.contextmanager
def drawn(unit: str, total: int | None = None, *, is_wanted: bool = True) -> Iterator[Printer]:
    """Context manager: draws a bar of what is counted in this process, if standard error is a terminal.

    Args:
      unit: what is counted, in the plural.
      total: how many there are; None: unknown.
      is_wanted: whether a bar may be drawn.

    Yields:
      What prints a message above the bar.
    """
    bar = Bar()
    if not is_wanted or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Printer(bar)
        return
    with in_progress(Progress(unit, total, 0, bar.show)):
        yield Printer(bar)


def _new(progress: Progress) -> tqdm[None]:
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread
    return tqdm(
        total=progress.total,
        initial=progress.done,
        unit=f" {progress.unit}",
        bar_format=_WITHOUT_TOTAL if progress.total is None else _WITH_TOTAL,
        dynamic_ncols=True,
        leave=False,
        file=sys.stderr,
    )


def _in_words(figures: dict[str, Figure]) -> str:
    """The figures that fit into a line: `loss 2.31, best BLEU 30.41`."""
    shown = {"loss": "loss", "best_bleu": "best BLEU"}
    return ", ".join(f"{label} {figures[name]}" for name, label in shown.items() if name in figures)
