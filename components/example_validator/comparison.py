"""Compares statistics with other statistics, by the comparators of the schema and TFDV.

Every threshold is raised by three standard deviations of the sampling noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, TypeAlias

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList
Comparator = Literal["skew_comparator", "drift_comparator"]
DEVIATIONS = 3.0
"""By how many standard deviations of the sampling noise a threshold is raised."""


def examples_of(statistics: Statistics) -> int:
    """The number of examples in all data sets of the statistics."""
    return sum(int(dataset.num_examples) for dataset in statistics.datasets)


def compare(
    current: Statistics,
    control: Statistics,
    contract: schema_pb2.Schema,
    comparator: Comparator,
    *,
    only_common: bool,
) -> anomalies_pb2.Anomalies:
    """Compares the features that have the comparator. The rest of the schema is not checked.

    Each threshold is raised by `allowance`, so that differences by chance between small samples are no
    anomalies.

    Args:
      current: the statistics that are judged.
      control: the statistics to compare them with.
      contract: the schema.
      comparator: the comparator to use. In its messages, TFDV calls the control "serving" for skew and
        "previous" for drift.
      only_common: skip features that the control does not have.

    Returns:
      The anomalies that TFDV finds.
    """
    features = {feature.path.step[0]: feature for feature in current.datasets[0].features}
    controls = {feature.path.step[0]: feature for feature in control.datasets[0].features}
    schema = schema_pb2.Schema()
    for feature in contract.feature:
        name = feature.name
        if not feature.HasField(comparator) or name not in features or (only_common and name not in controls):
            continue
        judged = schema.feature.add(name=name, type=feature.type)
        getattr(judged, comparator).CopyFrom(getattr(feature, comparator))
        if name in controls:
            _raise_thresholds(getattr(judged, comparator), allowance(features[name], controls[name]))
    names = {feature.name for feature in schema.feature}
    sides = {
        "serving_statistics" if comparator == "skew_comparator" else "previous_statistics": _select_features(
            control, names
        )
    }
    return tfdv.validate_statistics(_select_features(current, names), schema, **sides)


def _raise_thresholds(comparator: schema_pb2.FeatureComparator, by: float) -> None:
    for kind in ("infinity_norm", "jensen_shannon_divergence"):
        if comparator.HasField(kind):
            getattr(comparator, kind).threshold += by


def _select_features(statistics: Statistics, names: Iterable[str]) -> Statistics:
    """The statistics of the named features alone."""
    selected = Statistics()
    dataset = selected.datasets.add(num_examples=statistics.datasets[0].num_examples)
    dataset.features.extend(f for f in statistics.datasets[0].features if f.path.step[0] in names)
    return selected


def allowance(
    current: statistics_pb2.FeatureNameStatistics, control: statistics_pb2.FeatureNameStatistics
) -> float:
    """How far two samples of one population may differ by chance: three standard deviations.

    * String features: the standard deviation of the difference between the shares p1 and p2 of a value,
      `sqrt(p1 (1 - p1) / n1 + p2 (1 - p2) / n2)`, for the value where it is largest. One example with the
      value and one without are added to each sample (Agresti and Caffo 2000, The American Statistician 54(4),
      section 2).
    * Numeric features: its upper bound for any share, `sqrt(1 / (4 n1) + 1 / (4 n2))`. The Jensen-Shannon
      divergence is at most the largest difference between shares (Lin 1991, IEEE Transactions on Information
      Theory 37(1), theorem 3). The edges of quantiles vary by the inverse root of the sample size too.
    """
    sides = [current, control]
    if all(side.HasField("string_stats") for side in sides):
        counts = [{b.label: b.sample_count for b in s.string_stats.rank_histogram.buckets} for s in sides]
        totals = [sum(side.values()) for side in counts]
        variance = max(
            (
                sum(_variance(side.get(value, 0.0), n) for side, n in zip(counts, totals, strict=True))
                for value in counts[0].keys() | counts[1].keys()
            ),
            default=0.0,
        )
    else:
        sizes = [max(1, int(side.num_stats.common_stats.tot_num_values)) for side in sides]
        variance = sum(1 / (4 * size) for size in sizes)
    return DEVIATIONS * math.sqrt(variance)


def _variance(count: float, total: float) -> float:
    """The variance of the share of a value that `count` of `total` examples have."""
    share = (count + 1) / (total + 2)
    return share * (1 - share) / (total + 2)
