"""The report of `bitext show statistics`: TFDV's statistics of each split as tables, without TFDV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bitext.components.artifacts import ExampleStatistics, span_label
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.suggestions import did_you_mean
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.reports.show.outputs import outputs_of
from bitext.pipeline.reports.show.tables import number, shown, table

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

SHOWN_VALUES = 3
"""The most frequent values that the table shows of a feature of strings."""
SHOWN_CHARACTERS = 32
LEAST_SHARE = 0.01
"""The most frequent values are shown if one of them is so frequent."""


def collect(
    config: PipelineConfig,
    run_id: str | None,
    splits: Sequence[str],
    features: Sequence[str],
    limit: int | None,
) -> dict[str, Any]:
    """Returns the report as an object that JSON can hold.

    Args:
      config: the configuration.
      run_id: the run; None: the newest with statistics.
      splits: the splits; none: all.
      features: the features; none: all.
      limit: the most frequent values of each feature; None: all that are recorded.

    Returns:
      `run`, and `statistics`, each with `part` (label of the span or corpus; empty: there is one), `split`,
      `examples`, `numbers` and `strings` {feature: figures}. Figures of numbers: `values`, `missing`, `mean`,
      `std_dev`, `min`, `median`, `max`, `zeros`, and `quantiles` (the bounds of equally filled buckets).
      Figures of strings: `values`, `missing`, `unique`, `average_length`, and `top` (values with
      their counts).

    Raises:
      ConfigError: there is no such run, split or feature.
      DataError: no run has statistics, or a file is damaged.
    """
    outputs = outputs_of(config, ExampleStatistics, run_id)
    known = list(dict.fromkeys(name for artifact in outputs.artifacts for name in artifact.splits()))
    _check("--split", splits, known)
    read = [
        (span_label(artifact), split, artifact.load(split).datasets[0])
        for artifact in outputs.artifacts
        for split in artifact.splits()
        if not splits or split in splits
    ]
    names = list(dict.fromkeys(_name(feature) for _, _, dataset in read for feature in dataset.features))
    _check("--feature", features, names)
    return {
        "run": outputs.run.run_id,
        "statistics": [
            {
                "part": part,
                "split": split,
                "examples": dataset.num_examples,
                **_figures(dataset, features, limit),
            }
            for part, split, dataset in read
        ],
    }


def _check(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(
                f"{option} {name}: there is no such {option.strip('-')}{did_you_mean(name, known)}",
                f"there are {', '.join(known)}",
            )


def _name(feature: statistics_pb2.FeatureNameStatistics) -> str:
    return ".".join(feature.path.step)


def _figures(
    dataset: statistics_pb2.DatasetFeatureStatistics, features: Sequence[str], limit: int | None
) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns the figures of the features of a split, numbers and strings separately."""
    numbers: dict[str, dict[str, Any]] = {}
    strings: dict[str, dict[str, Any]] = {}
    for feature in dataset.features:
        name = _name(feature)
        if features and name not in features:
            continue
        if feature.HasField("num_stats"):
            numbers[name] = _of_numbers(feature.num_stats)
        elif feature.HasField("string_stats"):
            strings[name] = _of_strings(feature.string_stats, limit)
    return {"numbers": numbers, "strings": strings}


def _of_numbers(statistics: statistics_pb2.NumericStatistics) -> dict[str, Any]:
    quantiles = [h for h in statistics.histograms if h.type == h.QUANTILES and h.buckets]
    bounds = [quantiles[0].buckets[0].low_value] if quantiles else []
    bounds += [bucket.high_value for histogram in quantiles[:1] for bucket in histogram.buckets]
    return {
        "values": statistics.common_stats.num_non_missing,
        "missing": statistics.common_stats.num_missing,
        "mean": statistics.mean,
        "std_dev": statistics.std_dev,
        "min": statistics.min,
        "median": statistics.median,
        "max": statistics.max,
        "zeros": statistics.num_zeros,
        "quantiles": bounds,
    }


def _of_strings(statistics: statistics_pb2.StringStatistics, limit: int | None) -> dict[str, Any]:
    ranked = statistics.rank_histogram.buckets
    top = [(bucket.label, int(bucket.sample_count)) for bucket in ranked]
    if not top:
        top = [(value.value, int(value.frequency)) for value in statistics.top_values]
    return {
        "values": statistics.common_stats.num_non_missing,
        "missing": statistics.common_stats.num_missing,
        "unique": statistics.unique,
        "average_length": statistics.avg_length,
        "top": [list(pair) for pair in top[:limit]],
    }


def render(report: dict[str, Any]) -> str:
    """Returns the report as text."""
    lines = [f"run {report['run']}"]
    for split in report["statistics"]:
        part = f"{split['part']}, " if split["part"] else ""
        lines += ["", f"{part}{split['split']}: {split['examples']:,} examples"]
        if split["numbers"]:
            names = ("mean", "std_dev", "min", "median", "max", "zeros", "missing")
            header = ["number", *(name.replace("_", " ") for name in names)]
            rows = [
                [shown(feature), *(number(figures[name]) for name in names)]
                for feature, figures in split["numbers"].items()
            ]
            lines += table(header, rows, right=range(1, len(header)), indent="    ")
        if split["strings"]:
            header = ["string", "unique", "characters", "missing", "most frequent"]
            rows = [
                [shown(feature), *_string_cells(figures)] for feature, figures in split["strings"].items()
            ]
            lines += table(header, rows, right=(1, 2, 3), indent="    ")
    return "\n".join(lines)


def _string_cells(figures: dict[str, Any]) -> list[str]:
    values = max(1, figures["values"])
    top = ", ".join(
        f"{shown(value, SHOWN_CHARACTERS)} {count / values:.1%}"
        for value, count in figures["top"][:SHOWN_VALUES]
    )
    is_frequent = any(count >= LEAST_SHARE * values for _, count in figures["top"])
    return [
        f"{figures['unique']:,}",
        number(figures["average_length"]),
        f"{figures['missing']:,}",
        top if is_frequent else "none over 1 %",
    ]
