"""Counts the pretokens of new spans in Beam and writes the counts to the analyzer cache.

The counts are those of TensorFlow Transform's analyzers (`preprocessing.analysis_fn`). TFT's own analysis is
not used for them: it writes files that all workers must see, and reads every span in one step of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import apache_beam as beam
import tensorflow as tf
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue
from tensorflow_metadata.proto.v0 import schema_pb2

from bitext.components.artifacts import TransformCache
from bitext.components.transform import Parameters, preprocessing, vocabulary
from bitext.components.transform.analyzer_cache import Entry
from bitext.components.transform.batches import File, Reader
from bitext.components.transform.given_sides import GivenSides

Key: TypeAlias = tuple[str, str]
"""The key of a span, and the prefix of a vocabulary's files."""


def build(
    pipeline: beam.Pipeline,
    spans: Mapping[str, Sequence[File]],
    parameters: Parameters,
    given: GivenSides,
    schema: schema_pb2.Schema,
    analyzers: Mapping[str, bytes],
    cache: TransformCache,
) -> None:
    """Adds the steps that count spans and write the counts.

    Args:
      pipeline: the pipeline.
      spans: the training files of each span, by the span's key.
      parameters: Transform's parameters.
      given: the vocabularies that are not learned.
      schema: the schema of the features.
      analyzers: TFT's cache entry key by the prefix of the vocabulary's files.
      cache: receives the counts.
    """
    files = [(span, file) for span, of_span in spans.items() for file in of_span]
    counted = (
        pipeline
        | "ListTrain" >> beam.Create(files)
        | "SpreadTrain" >> beam.Reshuffle()
        | "CountWords" >> beam.ParDo(CountWords(parameters, given, schema))
    )
    # Counts are written of every span, even if it has no example.
    keys = [((span, prefix), b"") for span in spans for prefix in analyzers]
    no_counts = pipeline | "ListSpans" >> beam.Create(keys)
    _ = (
        (counted, no_counts)
        | "WithoutExamples" >> beam.Flatten()
        | "BySpan" >> beam.GroupByKey()
        | "WriteCounts" >> beam.Map(_write, analyzers, cache)
    )


def _write(
    element: tuple[Key, Iterable[bytes]], analyzers: Mapping[str, bytes], cache: TransformCache
) -> None:
    (span, prefix), encoded = element
    Entry(span, analyzers[prefix]).write(cache, vocabulary.sum_encoded(filter(None, encoded)))


class _Counts:
    """The graph that counts the distinct pretokens of a batch. It serves all threads of a process."""

    def __init__(self, parameters: Parameters, given: GivenSides):
        def count(source: tf.Tensor, target: tf.Tensor) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
            words = preprocessing.counted_words({"source": source, "target": target}, parameters, given)
            return {prefix: vocabulary.distinct(of_prefix) for prefix, of_prefix in words.items()}

        text = tf.TensorSpec([None], tf.string)
        self.of_batch = tf.function(count, input_signature=[text, text], autograph=False)


class CountWords(beam.DoFn):
    """(span, File) -> ((span, prefix), encoded counts). The counts of a bundle are added before they move."""

    def __init__(self, parameters: Parameters, given: GivenSides, schema: schema_pb2.Schema):
        self._parameters, self._given = parameters, given
        self._schema, self._shared = schema.SerializeToString(), Shared()

    def setup(self) -> None:
        self._reader = Reader(schema_pb2.Schema.FromString(self._schema), self._parameters)
        self._counts = self._shared.acquire(lambda: _Counts(self._parameters, self._given))

    def teardown(self) -> None:
        self.__dict__.pop("_counts", None)  # it is missing if `setup` has failed

    def start_bundle(self) -> None:
        self._totals: dict[Key, vocabulary.Counts] = {}

    def process(self, element: tuple[str, File]) -> None:
        span, file = element
        for batch in self._reader.read(file, augmented=True):
            tensors = self._reader.tensors(batch)
            source, target = (
                tf.fill(tf.shape(tensors[side]), "") if file.counted_side not in ("", side) else tensors[side]
                for side in ("source", "target")
            )
            for prefix, counts in self._counts.of_batch(source, target).items():
                total = self._totals.setdefault((span, prefix), Counter())
                total.update(vocabulary.count_batch(tuple(column.numpy() for column in counts)))

    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        for key, counts in self._totals.items():
            yield WindowedValue((key, vocabulary.encode_counts(counts)), window.max_timestamp(), [window])
