"""What a comparison of two runs says, without any layout."""

from __future__ import annotations

from typing import Literal

import msgspec

from bitext.pipeline.reports.compare.settings import Change
from bitext.pipeline.reports.history.entries import Entry

Better = Literal["first", "second", "neither"]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of both runs.

    Attributes:
      group: what it is about: `rows`, `examples`, `model`, `training`.
      name: its name: `too_long`.
      first: its value in the first run; None: it has none.
      second: its value in the second run.
    """

    group: str
    name: str
    first: float | None
    second: float | None

    @property
    def difference(self) -> float | None:
        """The second value minus the first; None: one is missing."""
        return None if self.first is None or self.second is None else self.second - self.first


class FeatureChange(msgspec.Struct, frozen=True, kw_only=True):
    """A feature of the training examples of both runs.

    Attributes:
      name: its name.
      first: its mean in the first run; None: it is of strings, or one of the runs has no statistics.
      second: its mean in the second run.
      distance: the Jensen-Shannon divergence of numbers, or the L-infinity distance of strings; None: one of
        the runs has no statistics of it.
    """

    name: str
    first: float | None
    second: float | None
    distance: float | None


class RecordedScore(msgspec.Struct, frozen=True, kw_only=True):
    """The scores that both runs recorded on a set, each on its own sentences.

    Attributes:
      set: the set: `test split`, `golden set`, or the name of a test set.
      metric: the metric's name.
      first: the score of the first run; None: it has none.
      first_interval: its 95 % interval; None: not on record.
      second: the score of the second run.
      second_interval: as `first_interval`.
      difference: the second minus the first; None: one is missing, or `reason` says why not.
      reason: why the scores must not be subtracted; empty: they may.
    """

    set: str
    metric: str
    first: float | None
    first_interval: tuple[float, float] | None
    second: float | None
    second_interval: tuple[float, float] | None
    difference: float | None = None
    reason: str = ""


class CommonScore(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of both runs on the sentences that both translated.

    Attributes:
      metric: the metric's name.
      first: the score of the first run.
      second: the score of the second run.
      difference: the second minus the first.
      p_value: two-sided, by paired bootstrap.
      better: the run that is significantly better.
    """

    metric: str
    first: float
    second: float
    difference: float
    p_value: float
    better: Better


class CommonSet(msgspec.Struct, frozen=True, kw_only=True):
    """The sentences of a set that both runs translated: equal source and references.

    Attributes:
      set: the set.
      sentences: number of common sentences.
      first_only: number of sentences of the first run alone.
      second_only: number of sentences of the second run alone.
      scores: the scores on the common sentences; empty: there are none.
      signature: how they are computed here, for both runs alike.
      improved: sentences with a higher chrF in the second run.
      worsened: sentences with a lower one.
    """

    set: str
    sentences: int
    first_only: int
    second_only: int
    scores: tuple[CommonScore, ...] = ()
    signature: str = ""
    improved: int = 0
    worsened: int = 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison of two runs.

    Attributes:
      pipelines: the names of their pipelines.
      first: the first run.
      second: the second run.
      settings: what differs in configuration, files, code and libraries.
      figures: figures of data and model.
      only_first: spans and corpora that the first run alone has.
      only_second: spans and corpora that the second run alone has.
      features: features of the training examples.
      scores: the scores that were recorded.
      common: the sentences that both translated, by set.
      missing: what cannot be compared, and why.
      page: the page that shows it; empty: none was written.
    """

    pipelines: tuple[str, str]
    first: Entry
    second: Entry
    settings: tuple[Change, ...]
    figures: tuple[Figure, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    features: tuple[FeatureChange, ...]
    scores: tuple[RecordedScore, ...]
    common: tuple[CommonSet, ...]
    missing: tuple[str, ...]
    page: str = ""
