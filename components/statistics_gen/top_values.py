"""A generator of TFDV for the most frequent values and the number of distinct values of string features.

TFDV's own generator (`TopKUniquesSketchStatsGenerator`) chooses among equally frequent values by the order of
a hash table, which differs between processes, and counts rare values too high. This one gives the same result
for the same values in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_data_validation import constants, types
from tensorflow_data_validation.arrow import arrow_util
from tensorflow_data_validation.statistics.generators import stats_generator
from tensorflow_data_validation.utils import stats_util, top_k_uniques_stats_util
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx_bsl.arrow import array_util
from tfx_bsl.sketches import KmvSketch

COUNTED_VALUES = 16_384
"""Counts are exact for features with at most so many distinct values."""
_HELD_VALUES = 4 * COUNTED_VALUES
_LONGEST_VALUE = 1024
"""A longer value, in bytes, is counted as a placeholder."""
Counters: TypeAlias = dict[types.FeaturePath, "Counter"]


class Counter:
    """Counts the values of a feature.

    Frequent values are counted by the algorithm of Misra and Gries: if there are too many distinct values,
    the count of the value at rank `COUNTED_VALUES + 1` is subtracted from each count, and values whose count
    is not positive are dropped. So a count is too low by at most `1 / COUNTED_VALUES` of all values.
    (Agarwal et al., Mergeable Summaries, 2012.)
    """

    def __init__(self) -> None:
        self._values = pa.array([], pa.large_binary())
        self._counts = np.zeros(0, np.int64)
        self._distinct = KmvSketch(COUNTED_VALUES + 1)  # exact up to one less

    def add(self, values: pa.Array) -> None:
        """Adds values: large_binary[N] or binary[N]."""
        self._distinct.AddValues(values)
        counted = values.cast(pa.large_binary()).value_counts()
        self._add(counted.field("values"), counted.field("counts").to_numpy())

    def merge(self, other: Counter) -> None:
        """Adds the values that come after those of this counter."""
        self._distinct.Merge(other._distinct)
        self._add(other._values, other._counts)

    def _add(self, values: pa.Array, counts: npt.NDArray[np.int64]) -> None:
        encoded = pa.concat_arrays([self._values, values]).dictionary_encode()
        counts = np.concatenate([self._counts, counts]).astype(np.float64)
        self._values = encoded.dictionary
        self._counts = np.bincount(encoded.indices.to_numpy(), counts, len(self._values)).astype(np.int64)
        if len(self._values) > _HELD_VALUES:
            self.compact()

    def compact(self) -> None:
        """Drops rare values if there are more than `COUNTED_VALUES`."""
        if len(self._counts) <= COUNTED_VALUES:
            return
        rank = len(self._counts) - COUNTED_VALUES - 1
        self._counts = self._counts - np.partition(self._counts, rank)[rank]
        is_left = self._counts > 0
        self._values, self._counts = self._values.filter(pa.array(is_left)), self._counts[is_left]

    def most_frequent(self, number: int) -> list[top_k_uniques_stats_util.FeatureValueCount]:
        """The most frequent values; of equally frequent ones, the last in the order of their bytes."""
        self.compact()
        order = pc.sort_indices(
            pa.table({"count": self._counts, "value": self._values}),
            sort_keys=[("count", "descending"), ("value", "descending")],
        )[:number]
        values, counts = self._values.take(order).to_pylist(), self._counts[order.to_numpy()].tolist()
        pairs = zip(values, counts, strict=True)
        return [top_k_uniques_stats_util.FeatureValueCount(value, count) for value, count in pairs]

    def distinct(self) -> int:
        """The number of distinct values; an estimate if it is over `COUNTED_VALUES`."""
        return int(self._distinct.Estimate())


class TopValuesGenerator(stats_generator.CombinerStatsGenerator):  # type: ignore[misc]  # TFDV is untyped
    """The most frequent values and the number of distinct values of each string feature.

    Args:
      top_values: number of most frequent values to list.
      ranks: number of values in the histogram of ranks.
    """

    def __init__(self, top_values: int, ranks: int) -> None:
        super().__init__("TopValuesGenerator")
        self._top_values, self._ranks = top_values, ranks

    def create_accumulator(self) -> Counters:
        return {}

    def add_input(self, accumulator: Counters, batch: pa.RecordBatch) -> Counters:
        for path, array, _ in arrow_util.enumerate_arrays(batch, None, enumerate_leaves_only=True):
            if stats_util.get_feature_type_from_arrow_type(path, array.type) == _STRING:
                values, _ = array_util.flatten_nested(array, False)
                values = values.cast(pa.large_binary())
                is_long = pc.greater(pc.binary_length(values), _LONGEST_VALUE)
                values = pc.if_else(is_long, _PLACEHOLDER, values)
                accumulator.setdefault(path, Counter()).add(values)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Counters]) -> Counters:
        merged: Counters = {}
        for accumulator in accumulators:
            for path, counter in accumulator.items():
                if path in merged:
                    merged[path].merge(counter)
                else:
                    merged[path] = counter
        return merged

    def compact(self, accumulator: Counters) -> Counters:
        for counter in accumulator.values():
            counter.compact()
        return accumulator

    def extract_output(self, accumulator: Counters) -> Any:
        statistics = statistics_pb2.DatasetFeatureStatistics()
        for path, counter in accumulator.items():
            feature = top_k_uniques_stats_util.make_feature_stats_proto_topk_uniques(
                feature_path=path,
                num_top_values=self._top_values,
                num_rank_histogram_buckets=self._ranks,
                num_unique=counter.distinct(),
                value_count_list=counter.most_frequent(max(self._top_values, self._ranks)),
            )
            statistics.features.add().CopyFrom(feature)
        return statistics


_STRING = statistics_pb2.FeatureNameStatistics.STRING
_PLACEHOLDER = pa.scalar(constants.LARGE_BYTES_PLACEHOLDER, pa.large_binary())
