"""What is known of each pass through the pipeline: the rows of the history, without any layout."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from bitext.pipeline.reports.contents import Score

Outcome = Literal[
    "pushed",
    "unchanged",
    "refused",
    "not pushed",
    "partial",
    "rolled back",
    "failed",
    "canceled",
    "not ended",
]
"""What a pass came to:

* `pushed`: a new version is served.
* `unchanged`: it is complete, and the served version stays, because the model is the same.
* `refused`: the Evaluator or the InfraValidator did not bless the model.
* `not pushed`: the model was blessed, but a rollback withdrew it before.
* `partial`: it is complete, but did not run all nodes.
* `rolled back`: an earlier version is served again.
* `failed`, `canceled`: as the metadata store has it.
* `not ended`: it is running, or its process was killed.
"""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class NodeCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a node took.

    Attributes:
      seconds: how long it ran, all its attempts together.
      peak_memory: its peak memory in bytes; None: not on record.
    """

    seconds: float
    peak_memory: int | None = None


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """The values of a feature in the data that is new in a pass: new spans, or a new corpus.

    Attributes:
      mean: the mean of a feature of numbers; None: it is of strings.
      low: the value that 10 % of the values are at most; None as above.
      median: the same for 50 %.
      high: the same for 90 %.
      distance: how far they are from the data of the pass before: the Jensen-Shannon divergence of numbers,
        the L-infinity distance of strings; None: there was none.
    """

    mean: float | None = None
    low: float | None = None
    median: float | None = None
    high: float | None = None
    distance: float | None = None


class PartRows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a span or corpus.

    Attributes:
      part: its name; empty: the corpus is not divided.
      rows: rows read.
      rejected: those that cannot be used.
      reasons: rejected rows by reason.
      duplicates: rows dropped as exact duplicates.
      is_new: whether no earlier pass has these rows.
    """

    part: str
    rows: int
    rejected: int
    reasons: dict[str, int] = {}
    duplicates: int = 0
    is_new: bool = True


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A pass through the pipeline.

    Attributes:
      id: the id of its last run, which has its report.
      runs: the ids of all its runs, oldest first: several if a scheduler runs each node by itself.
      started: when it began, in seconds since the epoch.
      seconds: how long its runs took together; None: it has not ended, or was killed and it is unknown.
      outcome: what it came to.
      reasons: why: of the verdict, of the rollback, or the error.
      forced: a person's reason to bless its model whatever its scores; empty: nobody forced it.
      version: the version that it pushed or rolled back to; None: it did neither.
      rolled_back_to: the earlier version that `version` is a copy of; None: it is no rollback.
      withdrawn: the version that a rollback withdrew; None as above.
      scores: the scores on the test split by metric; empty: there are none.
      is_evaluated: whether these scores are new, and not those of an earlier pass.
      parts: the rows of each span and corpus.
      examples: examples by split.
      anomalies: warnings and errors of the data that did not stop it, by severity.
      features: the features of the new data; empty: there is none, or its statistics were collected.
      nodes: what each node took that ran.
      tokens_per_second: target tokens a second in training; None: not on record.
      collected: whether `bitext gc` removed any of its outputs.
    """

    id: str
    runs: tuple[str, ...]
    started: float
    seconds: float | None
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    forced: str = ""
    version: int | None = None
    rolled_back_to: int | None = None
    withdrawn: int | None = None
    scores: dict[str, Score] = {}
    is_evaluated: bool = False
    parts: tuple[PartRows, ...] = ()
    examples: dict[str, int] = {}
    anomalies: dict[str, int] = {}
    features: dict[str, Feature] = {}
    nodes: dict[str, NodeCost] = {}
    tokens_per_second: float | None = None
    collected: bool = False

    @property
    def rows(self) -> int | None:
        """Rows read; None: not on record."""
        return sum(part.rows for part in self.parts) if self.parts else None

    @property
    def rejected(self) -> int:
        """Rows that cannot be used."""
        return sum(part.rejected for part in self.parts)
