"""Distributions of features from TFDV's statistics: means, quantiles, and distances between data sets.

It reads the messages alone and imports neither TFDV nor TensorFlow, whose import takes seconds. The distances
are those of TFDV's comparators.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

Floats: TypeAlias = npt.NDArray[np.float64]
TEXTS = frozenset({"id", "source", "target"})
"""Features whose values are nearly all different, so that their distributions are not compared."""


@dataclasses.dataclass(frozen=True)
class Categories:
    """The distribution of a feature of strings.

    Attributes:
      counts: examples by value: all values, or the most frequent 1,000.
    """

    counts: Counter[str]

    @property
    def examples(self) -> float:
        """Number of values."""
        return float(self.counts.total())


@dataclasses.dataclass(frozen=True)
class Numbers:
    """The distribution of a feature of numbers.

    Attributes:
      examples: number of values.
      mean: their mean.
      buckets: float64[buckets, 3]: lowest value, highest value and number of values of each. Values are
        taken to be evenly distributed within a bucket. A bucket may have no width.
    """

    examples: float
    mean: float
    buckets: Floats

    def quantile(self, share: float) -> float:
        """Returns the value that `share` of the values are at most, interpolated within a bucket."""
        low, high, count = self.buckets.T
        edges = np.unique(self.buckets[:, :2])
        below, upto = (_cumulated(edges, low, high, count, side) for side in ("left", "right"))
        wanted = share * count.sum()
        last = int(np.searchsorted(upto, wanted))  # the first edge up to which there are that many values
        if last >= len(edges):
            return float(edges[-1])
        if last == 0 or wanted >= below[last]:
            return float(edges[last])
        start, end = upto[last - 1], below[last]
        return float(edges[last - 1] + (edges[last] - edges[last - 1]) * (wanted - start) / (end - start))


Distribution: TypeAlias = Categories | Numbers


def of_dataset(dataset: statistics_pb2.DatasetFeatureStatistics) -> dict[str, Distribution]:
    """Returns the distribution of each feature of a data set that has values, but not of `TEXTS`."""
    distributions: dict[str, Distribution] = {}
    for feature in dataset.features:
        name = ".".join(feature.path.step)
        if name in TEXTS:
            continue
        distribution: Distribution | None = None
        if feature.HasField("num_stats"):
            distribution = _numbers(feature.num_stats)
        elif feature.HasField("string_stats"):
            ranks = feature.string_stats.rank_histogram.buckets
            distribution = Categories(Counter({bucket.label: bucket.sample_count for bucket in ranks}))
        if distribution is not None and distribution.examples:
            distributions[name] = distribution
    return distributions


def _numbers(statistics: statistics_pb2.NumericStatistics) -> Numbers | None:
    quantiles = [h for h in statistics.histograms if h.type == h.QUANTILES]
    rows = [
        (bucket.low_value, bucket.high_value, bucket.sample_count)
        for histogram in quantiles
        for bucket in histogram.buckets
        if bucket.sample_count and math.isfinite(bucket.low_value) and math.isfinite(bucket.high_value)
    ]
    if not rows:
        return None
    return Numbers(float(statistics.common_stats.tot_num_values), statistics.mean, np.array(rows))


def pooled(parts: Iterable[dict[str, Distribution]]) -> dict[str, Distribution]:
    """Returns the distributions of the examples of all parts. Parts without a feature add nothing to it.

    A feature that is of strings in one part and of numbers in another is left out.
    """
    by_name: dict[str, list[Distribution]] = {}
    for part in parts:
        for name, distribution in part.items():
            by_name.setdefault(name, []).append(distribution)
    result: dict[str, Distribution] = {}
    for name, distributions in by_name.items():
        categories = [d for d in distributions if isinstance(d, Categories)]
        numbers = [d for d in distributions if isinstance(d, Numbers)]
        if len(distributions) == 1:
            result[name] = distributions[0]
        elif not numbers:
            result[name] = _pooled_categories(categories)
        elif not categories:
            result[name] = _pooled_numbers(numbers)
    return result


def _pooled_categories(parts: Sequence[Categories]) -> Categories:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Categories(counts)


def _pooled_numbers(parts: Sequence[Numbers]) -> Numbers:
    examples = [part.examples for part in parts]
    mean = float(np.average([part.mean for part in parts], weights=examples))
    return Numbers(sum(examples), mean, np.concatenate([part.buckets for part in parts]))


def distance(one: Distribution, other: Distribution) -> float | None:
    """Returns how far two distributions are apart, from 0 (equal) to 1.

    Returns:
      Of strings, the L-infinity distance: the largest difference between the shares of a value. Of numbers,
      the Jensen-Shannon divergence, in bits. None: one is of strings, and the other of numbers.
    """
    if isinstance(one, Categories) and isinstance(other, Categories):
        return max(
            abs(one.counts[value] / one.examples - other.counts[value] / other.examples)
            for value in one.counts.keys() | other.counts.keys()
        )
    if isinstance(one, Numbers) and isinstance(other, Numbers):
        return _jensen_shannon(one.buckets, other.buckets)
    return None


def _jensen_shannon(one: Floats, other: Floats) -> float:
    """The Jensen-Shannon divergence (Lin 1991) of two histograms on their common edges, in bits."""
    edges = np.unique(np.concatenate([one[:, :2], other[:, :2]]))
    shares = []
    for buckets in (one, other):
        low, high, count = buckets.T
        below, upto = (_cumulated(edges, low, high, count, side) for side in ("left", "right"))
        cells = np.concatenate([upto - below, below[1:] - upto[:-1]])  # at the edges, and between them
        shares.append(np.maximum(cells, 0.0) / count.sum())
    middle = (shares[0] + shares[1]) / 2
    divergence = 0.0
    for share in shares:
        positive = share > 0
        divergence += float(np.sum(share[positive] * np.log2(share[positive] / middle[positive]))) / 2
    return min(1.0, max(0.0, divergence))


def _cumulated(edges: Floats, low: Floats, high: Floats, count: Floats, side: str) -> Floats:
    """Returns float64[edges]: the number of values below each edge, or with `right` up to it."""
    width = high - low
    is_point = width <= 0
    below = np.zeros(len(edges))
    if not is_point.all():
        wide = ~is_point
        shares = (edges[:, None] - low[wide]) / width[wide]
        below += np.clip(shares, 0.0, 1.0) @ count[wide]
    if is_point.any():
        order = np.argsort(low[is_point], kind="stable")
        sums = np.concatenate([[0.0], np.cumsum(count[is_point][order])])
        below += sums[np.searchsorted(low[is_point][order], edges, "left" if side == "left" else "right")]
    return below
