"""Combines the statistics of files in the order of the files: sums and sketches of TFDV depend on the order.

TFDV's own transform (`tfdv.GenerateStatistics`) combines bundles in the order in which they arrive.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import apache_beam as beam
import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_data_validation.statistics.generators.basic_stats_generator import BasicStatsGenerator
from tensorflow_data_validation.statistics.generators.top_k_uniques_stats_generator import (
    TopKUniquesStatsGenerator,
)
from tfx_bsl.statistics import merge_util

from bitext.components.statistics_gen.top_values import TopValuesGenerator

FILES_AT_ONCE = 32
"""Statistics of so many files are combined by one worker, and then those of so many groups of files."""
Partial: TypeAlias = list[Any]
"""The accumulators of the generators of a `Summarizer`."""


class Summarizer:
    """The generators of TFDV, and what they do with their accumulators.

    Args:
      histogram_buckets: number of buckets of every standard histogram.
      top_values: number of most frequent values to list; None: they are counted elsewhere (`ExactTopValues`).
    """

    def __init__(self, histogram_buckets: int = 10, top_values: int | None = 20) -> None:
        self._generators: list[Any] = [BasicStatsGenerator(num_histogram_buckets=histogram_buckets)]
        if top_values is not None:
            ranks = tfdv.StatsOptions().num_rank_histogram_buckets
            self._generators.append(TopValuesGenerator(top_values, ranks))

    def start(self) -> Partial:
        """The statistics of no rows."""
        return [generator.create_accumulator() for generator in self._generators]

    def add(self, partial: Partial, batch: pa.RecordBatch) -> Partial:
        """Adds rows."""
        return [g.add_input(each, batch) for g, each in zip(self._generators, partial, strict=True)]

    def of_rows(self, batches: Iterable[pa.RecordBatch]) -> Partial:
        """The statistics of rows."""
        partial = self.start()
        for batch in batches:
            partial = self.add(partial, batch)
        return self.compact(partial)

    def compact(self, partial: Partial) -> Partial:
        """The same statistics in less memory."""
        return [g.compact(each) for g, each in zip(self._generators, partial, strict=True)]

    def merge(self, partials: Iterable[Partial]) -> Partial:
        """The statistics of rows that follow each other."""
        merged = self.start()
        for partial in partials:
            pairs = zip(self._generators, merged, partial, strict=True)
            merged = [generator.merge_accumulators([one, other]) for generator, one, other in pairs]
        return self.compact(merged)

    def result(self, partial: Partial) -> Any:
        """The statistics as a DatasetFeatureStatisticsList."""
        return stats_impl.extract_statistics_output(partial, self._generators)


class CombineInOrder(beam.PTransform):  # type: ignore[misc]  # Beam is untyped
    """(index of a file, its partial statistics) -> DatasetFeatureStatisticsList, one, also of no files."""

    def __init__(self, summarizer: Summarizer) -> None:
        super().__init__()
        self._summarizer = summarizer

    def expand(self, partials: beam.PCollection) -> beam.PCollection:
        """Merges the statistics of groups of files, then those of all groups."""
        no_files = partials.pipeline | "NoFiles" >> beam.Create([(0, None)])
        return (
            (partials, no_files)
            | "WithNoFiles" >> beam.Flatten()
            | "ByGroup" >> beam.Map(lambda file: (file[0] // FILES_AT_ONCE, file))
            | "GatherGroup" >> beam.GroupByKey()
            | "MergeGroup" >> beam.Map(self._merge)
            | "ByVoid" >> beam.Map(lambda group: (None, group))
            | "GatherAll" >> beam.GroupByKey()
            | "MergeAll" >> beam.Map(self._merge)
            | "Result" >> beam.Map(lambda merged, summarizer: summarizer.result(merged[1]), self._summarizer)
        )

    def _merge(self, group: tuple[Any, Iterable[tuple[int, Partial | None]]]) -> tuple[Any, Partial]:
        given = [(index, partial) for index, partial in group[1] if partial is not None]
        given.sort(key=lambda file: file[0])
        return group[0], self._summarizer.merge(partial for _, partial in given)


class AddExact(beam.PTransform):  # type: ignore[misc]  # Beam is untyped
    """(DatasetFeatureStatisticsList of all rows, record batches) -> the same list with exact counts."""

    def __init__(self, top_values: int) -> None:
        super().__init__()
        self._top_values = top_values

    def expand(self, given: tuple[beam.PCollection, beam.PCollection]) -> beam.PCollection:
        """Counts the values, and merges the messages in an order that depends on their content only."""
        statistics, batches = given
        return (
            (
                statistics
                | "First" >> beam.FlatMap(lambda one: [(None, (0, each)) for each in one.datasets]),
                batches | ExactTopValues(self._top_values) | "Then" >> beam.Map(lambda one: (None, (1, one))),
            )
            | "WithCounts" >> beam.Flatten()
            | "Gather" >> beam.GroupByKey()
            | "Merge" >> beam.Map(_merge_messages)
        )


def _merge_messages(group: tuple[None, Iterable[tuple[int, Any]]]) -> Any:
    ordered = sorted((order, each.SerializeToString(deterministic=True), each) for order, each in group[1])
    return merge_util.merge_dataset_feature_statistics(each for _, _, each in ordered)


class ExactTopValues(beam.PTransform):  # type: ignore[misc]  # Beam is untyped
    """Record batches -> DatasetFeatureStatistics, several for each string feature, with exact counts.

    Every distinct value goes through the shuffle.

    Args:
      top_values: number of most frequent values to list.
    """

    def __init__(self, top_values: int) -> None:
        super().__init__()
        self._generator = TopKUniquesStatsGenerator(
            num_top_values=top_values,
            num_rank_histogram_buckets=tfdv.StatsOptions().num_rank_histogram_buckets,
        )

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Applies TFDV's transform."""
        return (
            batches
            | "KeyWithVoid" >> beam.Map(lambda batch: (None, batch))
            | "Count" >> self._generator.ptransform
            | "WithoutKey" >> beam.Values()
        )
