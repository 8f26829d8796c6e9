"""Scores by properties of the sentences: length, rarest word, overlap with the training split, corpus."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bitext.components.artifacts.page import Axis, Block, Cell, Chart, Column, Series, Table
from bitext.components.reporter.evaluation.folding import folded
from bitext.components.reporter.evaluation.systems import (
    ScoreOptions,
    System,
    metrics_of,
    statistics_of,
)
from bitext.components.shared.metrics import Bleu, ChrF

if TYPE_CHECKING:
    from bitext.components.shared.metrics.metric import SentenceStatistics

FREQUENCIES = (0, 1, 2, 10, 100, 1000)
"""The frequencies at which bins begin."""
LENGTHS = (1, 5, 9, 13, 17, 25)
"""The source lengths, in words, at which bins begin; half as many again in characters."""
NO_WORDS = "no words"
_OVERLAP_BINS = ("0 %", "1–24 %", "25–49 %", "50–74 %", "75–99 %", "100 %")


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Sentences in groups.

    Attributes:
      title: what they are grouped by: `source length`.
      axis: the title of the axis.
      groups: the group of each sentence.
      order: the groups in order. Those without sentences are not shown.
      note: what a reader must know of the groups.
    """

    title: str
    axis: str
    groups: Sequence[str]
    order: Sequence[str]
    note: str = ""


def bin_names(starts: Sequence[int]) -> list[str]:
    """Returns the name of each bin of whole numbers, from where the bins begin: `2–9`, `1,000+`."""
    ends = [start - 1 for start in starts[1:]]
    names = [
        f"{start:,}" if start == end else f"{start:,}–{end:,}"
        for start, end in zip(starts, ends, strict=False)
    ]
    return [*names, f"{starts[-1]:,}+"]


def binned(values: Sequence[int | None], starts: Sequence[int]) -> tuple[list[str], list[str]]:
    """Returns the bin of each value, and all bins in order. None and values below all bins: `no words`."""
    names = bin_names(starts)
    groups = [
        NO_WORDS if value is None or value < starts[0] else names[bisect.bisect_right(starts, value) - 1]
        for value in values
    ]
    return groups, [NO_WORDS, *names]


def overlap_bins(shares: Sequence[float | None]) -> tuple[list[str], list[str]]:
    """Returns the bin of each share from 0 to 1, and all bins in order."""

    def name(share: float | None) -> str:
        if share is None:
            return NO_WORDS
        if share <= 0:
            return _OVERLAP_BINS[0]
        return _OVERLAP_BINS[-1] if share >= 1 else _OVERLAP_BINS[1 + int(4 * share)]

    return [name(share) for share in shares], [NO_WORDS, *_OVERLAP_BINS]


class Breakdown:
    """Makes the chart and the table of groupings of the same sentences.

    Args:
      systems: the model, and the served model if there is one.
      options: how they are scored.
    """

    def __init__(self, systems: Sequence[System], options: ScoreOptions):
        self._systems = systems
        self._metrics = metrics_of(systems[0].rows, options)
        self._statistics = {
            (name, system.name): statistics_of(metric, system)
            for name, metric in self._metrics.items()
            for system in systems
        }

    def blocks(self, grouping: Grouping) -> tuple[Block, ...]:
        """Returns a chart of BLEU and, to open, a table of BLEU and chrF by group."""
        groups = np.array(grouping.groups)
        members = {name: np.flatnonzero(groups == name) for name in grouping.order}
        members = {name: indices for name, indices in members.items() if len(indices)}
        scores = {
            key: [self._score(key[0], statistics[indices]) for indices in members.values()]
            for key, statistics in self._statistics.items()
        }
        sizes = {name: len(indices) for name, indices in members.items()}
        return self._chart(grouping, sizes, scores), folded(self._table(grouping, sizes, scores))

    def _score(self, metric: str, statistics: SentenceStatistics) -> tuple[float, float, float] | None:
        """Returns the score of some sentences and the ends of its interval; None: BLEU has no n-gram."""
        if metric == Bleu.name and not statistics[:, -1].any():
            return None
        score = self._metrics[metric].score(statistics)
        return score.score, *score.interval

    def _chart(
        self, grouping: Grouping, sizes: dict[str, int], scores: dict[tuple[str, str], list[_Score]]
    ) -> Chart:
        series = tuple(
            Series(
                name=system.name,
                x=tuple(sizes),
                y=tuple(score and round(score[0], 2) for score in scores[Bleu.name, system.name]),
                low=tuple(score and round(score[1], 2) for score in scores[Bleu.name, system.name]),
                high=tuple(score and round(score[2], 2) for score in scores[Bleu.name, system.name]),
                labels=tuple(f"{size:,} sentences" for size in sizes.values()),
                role="other" if number else "main",
            )
            for number, system in enumerate(self._systems)
        )
        parts = [
            f"{name}: {'none' if score is None else f'{score[0]:.1f}'} on {size:,}"
            for (name, size), score in zip(
                sizes.items(), scores[Bleu.name, self._systems[0].name], strict=True
            )
        ]
        return Chart(
            form="bar",
            title=f"{Bleu.label} by {grouping.title}",
            x=Axis(title=grouping.axis, scale="ordinal"),
            y=Axis(title=Bleu.label),
            series=series,
            alternative=f"{Bleu.label} of {self._systems[0].name} by {grouping.title}, on how many "
            f"sentences: {'; '.join(parts)}.",
        )

    def _table(
        self, grouping: Grouping, sizes: dict[str, int], scores: dict[tuple[str, str], list[_Score]]
    ) -> Table:
        columns, labels = [Column(grouping.axis), Column("sentences", "number")], (Bleu.label, ChrF.label)
        values: list[list[Cell]] = [[name, size] for name, size in sizes.items()]
        for number, system in enumerate(self._systems):
            for metric, label in zip(self._metrics, labels, strict=True):
                name = f"{label}, {system.name}" if len(self._systems) > 1 else label
                of_groups = scores[metric, system.name]
                if number:
                    columns.append(Column(name, "number", 2))
                else:
                    columns += [Column(name, "number", 2), Column(f"{label} interval")]
                for row, score in zip(values, of_groups, strict=True):
                    row.append(None if score is None else score[0])
                    if not number:
                        row.append(None if score is None else f"{score[1]:.2f}–{score[2]:.2f}")
        return Table(
            title=f"Scores by {grouping.title}",
            columns=tuple(columns),
            rows=tuple(map(tuple, values)),
            note=grouping.note,
        )


_Score = tuple[float, float, float] | None
