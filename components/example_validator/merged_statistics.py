"""Merges the statistics of several data sets into statistics of all their examples, for TFDV's comparators.

* Exact: all counts, and the counts of string values if TFDV listed every value (up to 1,000).
* Approximate: histograms of numbers, which get common edges. Values are taken to be evenly distributed
  within a bucket, as TFDV does when it compares histograms.
* Left out, because they cannot be merged: medians, and histograms of the number of values.

TFDV has no public function for this.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from tensorflow_metadata.proto.v0 import statistics_pb2

TOP_VALUES = 20
Path = tuple[str, ...]


def merge(
    parts: Iterable[statistics_pb2.DatasetFeatureStatisticsList],
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics of the examples of all parts.

    Args:
      parts: statistics of one data set each, without slices. Parts without examples add nothing.

    Raises:
      ValueError: a feature has different types in two parts.
    """
    datasets = [dataset for part in parts for dataset in part.datasets if dataset.num_examples]
    merged = statistics_pb2.DatasetFeatureStatisticsList()
    merged_dataset = merged.datasets.add(num_examples=sum(dataset.num_examples for dataset in datasets))
    features: dict[Path, list[statistics_pb2.FeatureNameStatistics]] = {}
    for dataset in datasets:
        for feature in dataset.features:
            features.setdefault(tuple(feature.path.step), []).append(feature)
    for path in sorted(features):
        merged_dataset.features.append(_merge_feature(path, features[path], int(merged_dataset.num_examples)))
    return merged


def _merge_feature(
    path: Path, parts: Sequence[statistics_pb2.FeatureNameStatistics], examples: int
) -> statistics_pb2.FeatureNameStatistics:
    kinds = statistics_pb2.FeatureNameStatistics.Type
    types = {part.type for part in parts}
    if len(types) > 1:
        names = " and ".join(sorted(kinds.Name(kind) for kind in types))
        raise ValueError(f"feature {'.'.join(path)} has types {names}, so its statistics cannot be merged")
    merged = statistics_pb2.FeatureNameStatistics(type=parts[0].type)
    merged.path.step.extend(path)
    if parts[0].HasField("num_stats"):
        _merge_numbers([part.num_stats for part in parts], merged.num_stats)
        merged.num_stats.common_stats.CopyFrom(
            _merge_common([p.num_stats.common_stats for p in parts], examples)
        )
    elif parts[0].HasField("string_stats"):
        _merge_strings([part.string_stats for part in parts], merged.string_stats)
        merged.string_stats.common_stats.CopyFrom(
            _merge_common([p.string_stats.common_stats for p in parts], examples)
        )
    return merged


def _merge_common(
    parts: Sequence[statistics_pb2.CommonStatistics], examples: int
) -> statistics_pb2.CommonStatistics:
    """Sums of the counts of values. Examples of parts that lack the feature count as missing values."""
    present = sum(part.num_non_missing for part in parts)
    total = sum(part.tot_num_values for part in parts)
    nonempty_parts = [part for part in parts if part.num_non_missing]
    return statistics_pb2.CommonStatistics(
        num_non_missing=present,
        num_missing=examples - present,
        tot_num_values=total,
        min_num_values=min((part.min_num_values for part in nonempty_parts), default=0),
        max_num_values=max((part.max_num_values for part in nonempty_parts), default=0),
        avg_num_values=total / present if present else 0.0,
    )


def _merge_strings(
    parts: Sequence[statistics_pb2.StringStatistics], merged: statistics_pb2.StringStatistics
) -> None:
    counts: Counter[str] = Counter()
    for part in parts:
        for bucket in part.rank_histogram.buckets:
            counts[bucket.label] += bucket.sample_count
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for rank, (label, count) in enumerate(ranked):
        merged.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=label, sample_count=count)
    for label, count in ranked[:TOP_VALUES]:
        merged.top_values.add(value=label, frequency=count)
    if all(part.unique == len(part.rank_histogram.buckets) for part in parts):
        merged.unique = len(counts)
    values = [part.common_stats.tot_num_values for part in parts]
    merged.avg_length = _mean([part.avg_length for part in parts], values)


def _merge_numbers(
    parts: Sequence[statistics_pb2.NumericStatistics], merged: statistics_pb2.NumericStatistics
) -> None:
    values = [part.common_stats.tot_num_values for part in parts]
    nonempty_parts = [part for part, count in zip(parts, values, strict=True) if count]
    merged.num_zeros = sum(part.num_zeros for part in parts)
    merged.min = min((part.min for part in nonempty_parts), default=0.0)
    merged.max = max((part.max for part in nonempty_parts), default=0.0)
    merged.mean = _mean([part.mean for part in parts], values)
    squares = _mean([part.std_dev**2 + part.mean**2 for part in parts], values)
    merged.std_dev = math.sqrt(max(0.0, squares - merged.mean**2))
    for kind in (statistics_pb2.Histogram.STANDARD, statistics_pb2.Histogram.QUANTILES):
        if histograms := [h for part in parts for h in part.histograms if h.type == kind]:
            merged.histograms.append(merge_histograms(histograms))


def merge_histograms(parts: Sequence[statistics_pb2.Histogram]) -> statistics_pb2.Histogram:
    """One histogram with the bucket edges of all parts.

    Buckets without width (many equal values between two quantiles) and unbounded buckets are not divided.

    Args:
      parts: histograms of one type.
    """
    merged = statistics_pb2.Histogram(
        type=parts[0].type,
        num_nan=sum(part.num_nan for part in parts),
        num_undefined=sum(part.num_undefined for part in parts),
    )
    counts: Counter[tuple[float, float]] = Counter()
    wide: list[statistics_pb2.Histogram.Bucket] = []
    for part in parts:
        for bucket in part.buckets:
            width = bucket.high_value - bucket.low_value
            if width > 0 and math.isfinite(width):
                wide.append(bucket)
            else:
                counts[bucket.low_value, bucket.high_value] += bucket.sample_count
    edges = np.unique([edge for bucket in wide for edge in (bucket.low_value, bucket.high_value)])
    density = np.zeros(max(0, len(edges) - 1))
    for bucket in wide:
        first, end = np.searchsorted(edges, [bucket.low_value, bucket.high_value])
        density[first:end] += bucket.sample_count / (bucket.high_value - bucket.low_value)
    spans = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    counts.update(dict(zip(spans, (density * np.diff(edges)).tolist(), strict=True)))
    for (low, high), count in sorted(counts.items()):
        merged.buckets.add(low_value=low, high_value=high, sample_count=count)
    return merged


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    total = sum(weights)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / total if total else 0.0
