"""Runs StatisticsGen: TFDV statistics of the texts and of features derived from them, in a Beam pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.shared import progress, tfrecord
from bitext.components.statistics_gen import Parameters
from bitext.components.statistics_gen.combining import AddExact, CombineInOrder, Summarizer
from bitext.schemas import features


def run(
    parameters: Parameters,
    context: Context,
    *,
    examples: artifacts.Examples,
    statistics: artifacts.ExampleStatistics,
) -> None:
    """Writes the statistics of every split.

    A split without examples gets statistics of no examples. A span without examples may have no split.
    """
    for name in ("corpus", "span", "version"):
        if name in examples.properties:
            statistics.properties[name] = examples.properties[name]
    splits = examples.splits()
    rows = sum(int(examples.properties.get(split, 0)) for split in splits)
    with context.progress("rows", rows or None), context.beam_pipeline() as pipeline:
        for split in splits:
            files = pipeline | f"Files[{split}]" >> beam.Create(list(enumerate(examples.files(split))))
            summaries = files | f"Statistics[{split}]" >> _Statistics(parameters)
            _ = summaries | f"Write[{split}]" >> beam.Map(statistics.write, split)
    counts: list[str] = []
    names: set[str] = set()
    for split in splits:
        [dataset] = statistics.load(split).datasets
        statistics.properties[split] = int(dataset.num_examples)
        counts.append(f"{split} {dataset.num_examples:,}")
        names.update(feature.path.step[0] for feature in dataset.features)
    context.say(f"{len(names)} features of the examples: {', '.join(counts)}" if names else "no examples")


class _Statistics(beam.PTransform):  # type: ignore[misc]  # Beam is untyped
    """(index of a file, path) -> DatasetFeatureStatisticsList, one."""

    def __init__(self, parameters: Parameters):
        super().__init__()
        self._parameters = parameters

    def expand(self, files: beam.PCollection) -> beam.PCollection:
        """Reads each file on one worker."""
        p = self._parameters
        summarizer = Summarizer(p.histogram_buckets, None if p.exact_top_values else p.top_values)
        read = files | "Read" >> beam.ParDo(_Read(p, summarizer)).with_outputs("batches", main="partial")
        statistics = read.partial | "Combine" >> CombineInOrder(summarizer)
        if not p.exact_top_values:
            return statistics
        return (statistics, read.batches) | "Exact" >> AddExact(p.top_values)


class _Read(beam.DoFn):
    """(index of a file, path) -> (index, partial statistics). Exact counts need the side output `batches`."""

    def __init__(self, parameters: Parameters, summarizer: Summarizer):
        self._parameters, self._summarizer = parameters, summarizer

    def process(self, file: tuple[int, Path]) -> Iterator[Any]:
        index, path = file
        # TFDV's own sample_rate is not used: it samples whole batches, and different ones in every run.
        partial = self._summarizer.start()
        for batch in read_batches(path, self._parameters.sample_rate):
            partial = self._summarizer.add(partial, batch)
            if self._parameters.exact_top_values:
                yield beam.pvalue.TaggedOutput("batches", batch)
        yield index, self._summarizer.compact(partial)


def read_batches(path: Path, sample_rate: float = 1.0) -> Iterator[pa.RecordBatch]:
    """Reads the examples of a file, and adds their derived features.

    Args:
      path: the TFRecord file.
      sample_rate: share of the examples to return; the same ones every time.

    Returns:
      Record batches whose columns are large_list<item>, with one value in every row.

    Raises:
      DataError: the file is damaged, or an example has no single source or target.
    """
    random = np.random.default_rng(0)
    for unsampled in tfrecord.read_record_batches(path):
        progress.count(unsampled.num_rows)
        batch = unsampled.filter(pa.array(random.random(unsampled.num_rows) < sample_rate))
        if not batch.num_rows:
            continue
        columns = {name: batch.column(index) for index, name in enumerate(batch.schema.names)}
        source, target = (tfrecord.string_column(batch, side, path) for side in ("source", "target"))
        derived = features.derive(source, target)
        columns.update({name: as_lists(array) for name, array in derived.items()})
        yield pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def as_lists(array: pa.Array) -> pa.Array:
    """A column of single values as TFDV reads it: large_list<item>[N], with strings as binary."""
    if pa.types.is_string(array.type):
        array = array.cast(pa.binary()).cast(pa.large_binary())
    offsets = pa.array(np.arange(len(array) + 1, dtype=np.int64))
    return pa.LargeListArray.from_arrays(offsets, array)
