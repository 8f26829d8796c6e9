"""StatisticsGen's work: TFDV over record batches of text and derived features, in one Beam pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow_data_validation as tfdv

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.statistics_gen import Parameters
from bitext.schemas import features


def run(
    parameters: Parameters,
    context: Context,
    *,
    examples: artifacts.Examples,
    statistics: artifacts.ExampleStatistics,
) -> None:
    """Writes `Split-<name>/FeatureStats.pb`, a DatasetFeatureStatisticsList, for every split.

    Of a split without examples it says that there are none; a span without any may have no split.
    """
    for name in ("span", "version"):
        if name in examples.properties:
            statistics.properties[name] = examples.properties[name]
    splits = examples.splits()
    with context.beam_pipeline() as pipeline:
        for split in splits:
            statistics.split(split).mkdir()
            files = [str(path) for path in examples.files(split)]
            _ = (
                pipeline
                | f"Files[{split}]" >> beam.Create(files, reshuffle=False)
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
    # Not its sample_rate: by that TFDV takes or leaves whole batches, others every time.
    return tfdv.StatsOptions(
        num_histogram_buckets=parameters.histogram_buckets,
        num_top_values=parameters.top_values,
        experimental_use_sketch_based_topk_uniques=not parameters.exact_top_values,
    )


def read_batches(path: str, sample_rate: float = 1.0) -> Iterator[pa.RecordBatch]:
    """The examples of one file with their derived features: columns large_list<item>, one value a row.

    Of a smaller share of them, the same ones every time.
    """
    chance = np.random.default_rng(0)
    for whole in tfrecord.read_record_batches(Path(path)):
        batch = whole.filter(pa.array(chance.random(whole.num_rows) < sample_rate))
        if not batch.num_rows:
            continue
        columns = {name: batch.column(index) for index, name in enumerate(batch.schema.names)}
        text = {side: _single(columns, side, path) for side in ("source", "target")}
        columns.update({n: as_lists(a) for n, a in features.derive(text["source"], text["target"]).items()})
        yield pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _single(columns: dict[str, pa.Array], name: str, path: str) -> pa.Array:
    """A feature's one value of every row, string[N]."""
    if name not in columns or len(columns[name].flatten()) != len(columns[name]):
        raise DataError(
            f"{path}: some examples have no single value of feature {name!r}", "run ExampleGen again"
        )
    return columns[name].flatten().cast(pa.large_string()).cast(pa.string())


def as_lists(array: pa.Array) -> pa.Array:
    """large_list<item>[N] of one value each; strings become binary, as TFDV has them."""
    if pa.types.is_string(array.type):
        array = array.cast(pa.binary()).cast(pa.large_binary())
    offsets = pa.array(np.arange(len(array) + 1, dtype=np.int64))
    return pa.LargeListArray.from_arrays(offsets, array)
