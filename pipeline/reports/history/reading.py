"""Reads what is on record of each pass, and what its artifacts hold if they still exist."""

from __future__ import annotations

from collections.abc import Sequence

from bitext.components.artifacts import (
    TRAIN_SPLIT,
    ExampleAnomalies,
    Examples,
    ExampleStatistics,
    Model,
    ModelBlessing,
    ModelEvaluation,
    Rejects,
)
from bitext.components.example_gen import SPLITS
from bitext.components.shared import distributions
from bitext.components.shared.distributions import Distribution, Numbers
from bitext.components.shared.errors import DataError
from bitext.pipeline.memory import MEGABYTE
from bitext.pipeline.records import Execution, Run, Scalar, StoredArtifact
from bitext.pipeline.reports import contents
from bitext.pipeline.reports.history.entries import Entry, Feature, NodeCost, PartRows
from bitext.pipeline.reports.history.outcomes import outcome_of, pushed
from bitext.pipeline.reports.passes import Pass

TOKENS_PER_SECOND = "tokens_per_second"
"""The property of a Model with the speed of its training."""
SHARES = (0.1, 0.5, 0.9)
"""The quantiles of a feature that are shown."""


def entries(passes: Sequence[Pass]) -> list[Entry]:
    """Returns an entry for each pass.

    Args:
      passes: all passes, oldest first.
    """
    data = _Data()
    return [_entry(one, data) for one in passes]


def _entry(one: Pass, data: _Data) -> Entry:
    outcome, reasons = outcome_of(one)
    push = pushed(one)
    properties = push.properties if push else {}
    evaluations = one.outputs(ModelEvaluation.TYPE_NAME)
    models = one.outputs(Model.TYPE_NAME)
    speed = models[-1][1].properties.get(TOKENS_PER_SECOND) if models else None
    return Entry(
        id=one.last.run_id,
        runs=tuple(run.run_id for run in one.runs),
        started=one.runs[0].started,
        seconds=_seconds(one.runs, one.executions),
        outcome=outcome,
        reasons=tuple(filter(None, reasons)),
        forced=contents.forced([a for _, a in one.outputs(ModelBlessing.TYPE_NAME)]),
        version=_number(properties, "version"),
        rolled_back_to=_number(properties, "rolled_back_to"),
        withdrawn=_number(properties, "from_version"),
        scores=contents.scores(evaluations[-1][1]) if evaluations else {},
        is_evaluated=any(data.is_new(artifact) for _, artifact in evaluations),
        parts=data.parts(one),
        examples=_examples(one),
        anomalies=_anomalies(one),
        features=data.features(one),
        nodes=_nodes(one),
        tokens_per_second=float(speed) if speed is not None else None,
        collected=any(a.deleted or not a.exists for e in one.executions for a in e.all_outputs()),
    )


class _Data:
    """Reads the data of the passes, one after the other, oldest first."""

    def __init__(self) -> None:
        self._seen: set[int | None] = set()
        self._distributions: dict[int | None, dict[str, Distribution] | None] = {}
        self._before: list[StoredArtifact] = []

    def is_new(self, artifact: StoredArtifact) -> bool:
        """Whether no earlier call had this artifact."""
        is_new = artifact.id not in self._seen
        self._seen.add(artifact.id)
        return is_new

    def parts(self, one: Pass) -> tuple[PartRows, ...]:
        """The rows of each span and corpus."""
        duplicates = {
            str(a.properties.get("part", "")): int(a.properties["duplicates"])
            for _, a in one.outputs(Examples.TYPE_NAME)
            if "duplicates" in a.properties
        }
        return tuple(
            _part_rows(artifact.properties, duplicates, self.is_new(artifact))
            for _, artifact in one.outputs(Rejects.TYPE_NAME)
            if "rows" in artifact.properties
        )

    def features(self, one: Pass) -> dict[str, Feature]:
        """The features of the new training data, and how far they are from those of the pass before."""
        statistics = training_statistics(one)
        if not statistics:
            return {}
        before, self._before = self._before, statistics
        new = [artifact for artifact in statistics if self.is_new(artifact)]
        now = self._pooled(new)
        if not now:
            return {}
        earlier = self._pooled(before)
        return {name: _feature(values, earlier.get(name)) for name, values in now.items()}

    def _pooled(self, statistics: Sequence[StoredArtifact]) -> dict[str, Distribution]:
        """The distributions of all examples; empty if any of the statistics do not exist any more."""
        parts = [self._of(artifact) for artifact in statistics]
        known = [part for part in parts if part is not None]
        return distributions.pooled(known) if len(known) == len(parts) else {}

    def _of(self, statistics: StoredArtifact) -> dict[str, Distribution] | None:
        """The distributions of the training examples of one span; None: its statistics cannot be read."""
        if statistics.id not in self._distributions:
            self._distributions[statistics.id] = distributions_of(statistics)
        return self._distributions[statistics.id]


def distributions_of(statistics: StoredArtifact) -> dict[str, Distribution] | None:
    """Returns the distributions of the training examples; None: the statistics are collected or damaged."""
    try:
        [dataset] = ExampleStatistics(statistics.path).load(TRAIN_SPLIT).datasets
    except (DataError, OSError):
        return None
    return distributions.of_dataset(dataset)


def training_statistics(one: Pass) -> list[StoredArtifact]:
    """Returns the statistics of the training examples, one of each span."""
    return [a for _, a in one.outputs(ExampleStatistics.TYPE_NAME) if TRAIN_SPLIT in a.properties]


def _feature(values: Distribution, earlier: Distribution | None) -> Feature:
    distance = distributions.distance(values, earlier) if earlier is not None else None
    if not isinstance(values, Numbers):
        return Feature(distance=distance)
    low, median, high = map(values.quantile, SHARES)
    return Feature(mean=values.mean, low=low, median=median, high=high, distance=distance)


def _part_rows(properties: dict[str, Scalar], duplicates: dict[str, int], is_new: bool) -> PartRows:
    part = str(properties.get("part", ""))
    counts = {name: value for name, value in properties.items() if isinstance(value, int)}
    rows, rejected = counts.pop("rows"), counts.pop("rejected", 0)
    return PartRows(
        part=part,
        rows=rows,
        rejected=rejected,
        reasons=counts,
        duplicates=duplicates.get(part, 0),
        is_new=is_new,
    )


def _examples(one: Pass) -> dict[str, int]:
    """The examples of each split, of all spans together."""
    artifacts = [artifact for _, artifact in one.outputs(Examples.TYPE_NAME)]
    return {
        split: sum(int(a.properties[split]) for a in artifacts if split in a.properties)
        for split in SPLITS
        if any(split in a.properties for a in artifacts)
    }


def _anomalies(one: Pass) -> dict[str, int]:
    counts: dict[str, int] = {}
    for _, artifact in one.outputs(ExampleAnomalies.TYPE_NAME):
        for name in ("errors", "warnings"):
            if name in artifact.properties:
                counts[name] = counts.get(name, 0) + int(artifact.properties[name])
    return counts


def _nodes(one: Pass) -> dict[str, NodeCost]:
    """What each node took that ran, if it is known."""
    costs = {node: _cost(executions) for node, executions in one.ran().items()}
    return {node: cost for node, cost in costs.items() if cost is not None}


def _cost(executions: Sequence[Execution]) -> NodeCost | None:
    known = [e.known_seconds for e in executions]
    seconds = [value for value in known if value is not None]
    peak = round(max((e.peak_megabytes for e in executions), default=0.0) * MEGABYTE)
    return NodeCost(seconds=sum(seconds), peak_memory=peak or None) if seconds else None


def _seconds(runs: Sequence[Run], executions: Sequence[Execution]) -> float | None:
    """How long the runs took together; None: one has not ended, or was killed and it is unknown."""
    if any(run.known_seconds is None for run in runs):
        return None
    nodes: dict[str, float] = {}
    for execution in executions:
        nodes[execution.run_id] = nodes.get(execution.run_id, 0.0) + execution.seconds
    # The record of a rollback that was completed later has no duration.
    return sum(run.seconds or nodes.get(run.run_id, 0.0) for run in runs) or None


def _number(properties: dict[str, Scalar], name: str) -> int | None:
    return int(properties[name]) if name in properties else None
