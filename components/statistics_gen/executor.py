"""Runs StatisticsGen: TFDV statistics of the texts and of features derived from them, in a Beam pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow_data_validation as tfdv

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.shared import progress, tfrecord
from bitext.components.statistics_gen import Parameters
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
            _ = (
                pipeline
                | f"Files[{split}]" >> beam.Create(examples.files(split), reshuffle=False)
                | f"Read[{split}]" >> beam.FlatMap(read_batches, parameters.sample_rate)
                | f"Statistics[{split}]" >> tfdv.GenerateStatistics(_options(parameters))
                | f"Write[{split}]" >> beam.Map(statistics.write, split)
            )
    counts: list[str] = []
    names: set[str] = set()
    for split in splits:
        [dataset] = statistics.load(split).datasets
        statistics.properties[split] = int(dataset.num_examples)
        counts.append(f"{split} {dataset.num_examples:,}")
        names.update(feature.path.step[0] for feature in dataset.features)
    context.say(f"{len(names)} features of the examples: {', '.join(counts)}" if names else "no examples")


def _options(parameters: Parameters) -> tfdv.StatsOptions:
    # TFDV's own sample_rate is not used: it samples whole batches, and different ones in every run.
    return tfdv.StatsOptions(
        num_histogram_buckets=parameters.histogram_buckets,
        num_top_values=parameters.top_values,
        experimental_use_sketch_based_topk_uniques=not parameters.exact_top_values,
    )


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
