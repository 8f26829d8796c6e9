"""The report of `bitext compare`: two runs side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from bitext.components.shared import distributions
from bitext.components.shared.distributions import Numbers
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.reports.compare import scores
from bitext.pipeline.reports.compare.content import Comparison, FeatureChange, Figure
from bitext.pipeline.reports.compare.scores import Paired
from bitext.pipeline.reports.compare.settings import changes, settings_of
from bitext.pipeline.reports.compare.sides import Side, sides
from bitext.pipeline.reports.history.data import reason_counts


@dataclasses.dataclass(frozen=True)
class Report:
    """A comparison with what its page shows besides figures.

    Attributes:
      comparison: the figures.
      first: the first run.
      second: the second run.
      paired: both runs on the sentences that both translated, of each set.
    """

    comparison: Comparison
    first: Side
    second: Side
    paired: tuple[Paired, ...]


def collect(
    names: tuple[str, str], configs: tuple[PipelineConfig, PipelineConfig], other: str = ""
) -> Report:
    """Compares two runs.

    Args:
      names: what the user calls them (see `selection.choose`).
      configs: the configuration of the pipeline of each.
      other: the configuration file of the second, for messages; empty: that of the first.

    Raises:
      ConfigError: there is no such run, several, or both are the same.
      DataError, EnvironmentFault: the metadata store or an evaluation is damaged or cannot be read.
    """
    first, second = sides(names, configs, other)
    paired = tuple(scores.paired(first, second))
    parts = [{part.part for part in side.entry.parts} for side in (first, second)]
    comparison = Comparison(
        pipelines=(first.config.name, second.config.name),
        first=first.entry,
        second=second.entry,
        settings=tuple(
            changes(*(settings_of(side.one, side.history, side.layout) for side in (first, second)))
        ),
        figures=tuple(_figures(first, second)),
        only_first=tuple(p.part for p in first.entry.parts if p.part not in parts[1]),
        only_second=tuple(p.part for p in second.entry.parts if p.part not in parts[0]),
        features=tuple(_features(first, second)),
        scores=tuple(scores.recorded(first, second, paired)),
        common=tuple(one.summary for one in paired),
        missing=tuple(_missing(first, second)),
    )
    return Report(comparison, first, second, paired)


def _figures(first: Side, second: Side) -> list[Figure]:
    """The figures of data and model that either run has."""
    reasons = [reason_counts(side.entry.parts) for side in (first, second)]
    groups: list[tuple[str, Mapping[str, float], Mapping[str, float]]] = [
        ("rows", _rows(first), _rows(second)),
        ("rows that did not become examples", reasons[0], reasons[1]),
        ("examples", first.entry.examples, second.entry.examples),
        ("anomalies", first.entry.anomalies, second.entry.anomalies),
        ("model", first.model_figures(), second.model_figures()),
        ("training", first.training_figures(), second.training_figures()),
        ("seconds", _seconds(first), _seconds(second)),
    ]
    return [
        Figure(group=group, name=name, first=before.get(name), second=after.get(name))
        for group, before, after in groups
        for name in dict.fromkeys([*before, *after])
        if before.get(name) or after.get(name)
    ]


def _rows(side: Side) -> dict[str, int]:
    entry = side.entry
    return {} if entry.rows is None else {"read": entry.rows, "rejected": entry.rejected}


def _seconds(side: Side) -> dict[str, float]:
    """What the nodes took that ran. A cached node took nothing, and its time is left out."""
    return {node: cost.seconds for node, cost in side.entry.nodes.items()}


def _features(first: Side, second: Side) -> list[FeatureChange]:
    """The features of the training examples, the most distant first."""
    before, after = first.statistics(), second.statistics()
    found = []
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name), after.get(name)
        distance = distributions.distance(one, other) if one is not None and other is not None else None
        found.append(
            FeatureChange(
                name=name,
                first=one.mean if isinstance(one, Numbers) else None,
                second=other.mean if isinstance(other, Numbers) else None,
                distance=distance,
            )
        )
    return sorted(found, key=lambda feature: -(feature.distance or 0.0))


def _missing(first: Side, second: Side) -> list[str]:
    """What cannot be compared, and why."""
    found = [problem for side in (first, second) if (problem := scores.problem(side))]
    without = [side.name for side in (first, second) if side.entry.parts and not side.statistics()]
    found += [f"the statistics of the data of run {name} do not exist any more" for name in without]
    return [*found, *_same_artifacts(first, second)]


def _same_artifacts(first: Side, second: Side) -> Sequence[str]:
    """Says which outputs both runs have in common, because one found those of the other in the cache."""
    from bitext.components.artifacts import Model, ModelEvaluation, Rejects

    found = []
    for kind, what in ((Rejects, "the corpus"), (Model, "the model"), (ModelEvaluation, "the evaluation")):
        one, other = first.newest(kind), second.newest(kind)
        if one is not None and other is not None and one.digest == other.digest and one.uri == other.uri:
            found.append(f"both runs have {what} of the same execution")
    return found
