"""The TensorFlow Transform analyzer that learns a vocabulary: counts pretokens, adds the counts, trains once.

TFT's analyzer cache stores the counts of each span.
"""

from __future__ import annotations

import collections
import functools
import hashlib
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform import analyzer_nodes, nodes

from bitext.components.artifacts import vocabulary_digest
from bitext.components.text import TextSettings, learn, processor

Counts = collections.Counter[bytes]


def asset_name(prefix: str, kind: str, digest: str) -> str:
    """Returns the name of a vocabulary file: `kind` is `vocabulary` or `merges`."""
    return f"{prefix}{kind}-{digest}.txt"


def vocabulary_assets(
    pretokens: tf.Tensor, settings: TextSettings, size: int, prefix: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Adds the analyzer that learns a vocabulary over the whole analyzed dataset.

    Args:
      pretokens: string[N], the pretokens of a batch.
      settings: the text settings.
      size: maximum number of ids.
      prefix: begins the names of the two asset files.

    Returns:
      Paths of the vocabulary and merges files, string[] each, assets of the transform graph.
    """
    distinct, _, counts = tf.unique_with_counts(pretokens, out_idx=tf.int64)
    blank = learn.empty(settings)
    with tf.name_scope(f"{prefix}vocabulary"):
        vocabulary, merges = _cacheable_analyzer(
            [distinct, counts],
            tft.experimental.CacheablePTransformAnalyzer(
                make_accumulators_ptransform=CountBatches(),
                merge_accumulators_ptransform=MergeCounts(),
                extract_output_ptransform=LearnVocabulary(settings, size, prefix),
                cache_coder=CountsCoder(settings),
            ),
            [blank.vocabulary_file(), blank.merges_file()],
        )
    return vocabulary, merges


def _cacheable_analyzer(
    inputs: list[tf.Tensor], analyzer: tft.experimental.CacheablePTransformAnalyzer, defaults: list[bytes]
) -> list[tf.Tensor]:
    """`tft.experimental.ptransform_analyzer` for a cacheable analyzer with more than one asset.

    TFT's own gives each stage as many outputs as the last stage has, but a cached stage must have one.
    This function uses internals of TensorFlow Transform 1.16 and 1.17 (`analyzer_nodes`, `nodes`); no other
    code does.
    """
    counts = [analyzer_nodes.TensorInfo(tf.string, [], None)]
    assets = [
        analyzer_nodes.TensorInfo(tf.string, [], analyzer_nodes.TemporaryAssetInfo(content, "text"))
        for content in defaults
    ]
    stages: list[tuple[str, dict[str, Any]]] = [
        (
            "make_accumulators",
            {"ptransform": analyzer.make_accumulators_ptransform, "is_partitionable": True},
        ),
        (
            "local_merge_accumulators",
            {
                "ptransform": analyzer.merge_accumulators_ptransform,
                "is_partitionable": True,
                "cache_coder": analyzer.cache_coder,
            },
        ),
        (
            "global_merge_accumulators",
            {"ptransform": analyzer.merge_accumulators_ptransform, "is_partitionable": False},
        ),
        (
            "extract_output",
            {"ptransform": analyzer.extract_output_ptransform, "is_partitionable": False},
        ),
    ]
    values = (analyzer_nodes.get_input_tensors_value_nodes(inputs),)
    for name, arguments in stages:
        outputs = assets if name == "extract_output" else counts
        with tf.name_scope(name):
            values = nodes.apply_multi_output_operation(
                analyzer_nodes.PTransform, *values, output_tensor_info_list=outputs, **arguments
            )
    return [analyzer_nodes.wrap_as_tensor(value) for value in values]


def tokenize(
    text: tf.Tensor, settings: TextSettings, size: int, assets: tuple[tf.Tensor, tf.Tensor], name: str
) -> tf.RaggedTensor:
    """Tokenizes text with the vocabulary that an analyzer of the same graph learns.

    Args:
      text: string[B].
      settings: the text settings.
      size: maximum number of ids, as given to `vocabulary_assets`.
      assets: the paths that `vocabulary_assets` returned.
      name: names the processor in the graph; equal names and assets share one processor.

    Returns:
      int64[B, None].
    """
    vocabulary, merges = assets
    max_size = tf.constant(size, tf.int64)

    # Only `apply_vocabulary` passes on the files that analyzers write. There are two files, so it is nested.
    def with_vocabulary(text: tf.Tensor, vocabulary_path: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        def with_merges(text: tf.Tensor, merges_path: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
            path = tft.make_and_track_object(
                lambda: processor.TextProcessor(settings, vocabulary_path, merges_path), name=name
            )
            return tf.cast(path.tokenize(text), tf.int64), max_size

        ids = tft.apply_vocabulary(text, merges, default_value=0, lookup_fn=with_merges)
        return ids, max_size

    return tft.apply_vocabulary(text, vocabulary, default_value=0, lookup_fn=with_vocabulary)


def count_batch(batch: tuple[np.ndarray, np.ndarray]) -> Counts:
    """Returns the counts of a batch's distinct pretokens.

    Args:
      batch: the pretokens string[N], and their counts int64[N].
    """
    words, counts = batch
    return collections.Counter(dict(zip(words.tolist(), counts.tolist(), strict=True)))


class SumCounts(beam.CombineFn):
    """Adds counts by pretoken. Memory grows with the number of distinct pretokens in the corpus."""

    def create_accumulator(self) -> Counts:
        """See `beam.CombineFn`."""
        return collections.Counter()

    def add_input(self, accumulator: Counts, counts: Counts) -> Counts:
        """See `beam.CombineFn`."""
        accumulator.update(counts)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Counts]) -> Counts:
        """See `beam.CombineFn`."""
        total: Counts = collections.Counter()
        for counts in accumulators:
            total.update(counts)
        return total

    def extract_output(self, accumulator: Counts) -> Counts:
        """See `beam.CombineFn`."""
        return accumulator


class _Named(beam.PTransform):  # type: ignore[misc]
    """A transform whose `repr`, part of TFT's cache key, has no memory address in it."""

    def __repr__(self) -> str:
        return type(self).__name__


class CountBatches(_Named):
    """Turns batches of (pretokens string[N], counts int64[N]) into counts."""

    def expand(self, batches: beam.PCollection[tuple[np.ndarray, np.ndarray]]) -> beam.PCollection[Counts]:
        """See `beam.PTransform.expand`."""
        return batches | "Count" >> beam.Map(count_batch)


class MergeCounts(_Named):
    """Adds counts. The sum of none is empty."""

    def expand(self, counts: beam.PCollection[Counts]) -> beam.PCollection[Counts]:
        """See `beam.PTransform.expand`."""
        return counts | "Sum" >> beam.CombineGlobally(SumCounts())


class CountsCoder(tft.experimental.PTransformAnalyzerCacheCoder):
    """Encodes counts as deflated bytes: their number, the pretokens' lengths, the counts, the pretokens.

    Its `repr` is part of TFT's cache key. Otherwise, the key covers only the constants and attributes of the
    graph and not what an operation does, so the `repr` names everything that the counts depend on beside the
    text: the settings, the source code and TensorFlow's version.
    """

    _SIZE = struct.Struct("<Q")

    def __init__(self, settings: TextSettings):
        self._settings = settings

    def __repr__(self) -> str:
        return f"CountsCoder({self._settings}, {_sources()}, TensorFlow {tf.__version__})"

    def encode_cache(self, counts: Counts) -> bytes:
        """Encodes counts; equal counts give equal bytes."""
        words = sorted(counts)
        numbers = [len(word) for word in words], [counts[word] for word in words]
        columns = [np.array(column, "<u8").tobytes() for column in numbers]
        return zlib.compress(b"".join([self._SIZE.pack(len(words)), *columns, *words]), 1)

    def decode_cache(self, encoded: bytes) -> Counts:
        """Decodes counts."""
        content = zlib.decompress(encoded)
        (size,) = self._SIZE.unpack_from(content)
        lengths, counts = np.frombuffer(content, "<u8", 2 * size, self._SIZE.size).reshape(2, size)
        ends = self._SIZE.size + 16 * size + np.cumsum(lengths, dtype=np.int64)
        starts = ends - lengths.astype(np.int64)
        words = [content[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        return collections.Counter(dict(zip(words, counts.tolist(), strict=True)))


@functools.cache
def _sources() -> str:
    """Returns a digest of the code that makes pretokens of text and counts them."""
    total = hashlib.sha256()
    for module in (__file__, processor.__file__):
        for path in sorted(Path(module).parent.glob("*.py")):
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


class LearnVocabulary(tft_beam.experimental.PTransformAnalyzer):
    """Turns the counts of all pretokens into the paths of the two vocabulary files."""

    def __init__(self, settings: TextSettings, size: int, prefix: str):
        super().__init__()
        self._settings = settings
        self._size = size
        self._prefix = prefix

    def expand(self, counts: beam.PCollection[Counts]) -> tuple[beam.PCollection[str], beam.PCollection[str]]:
        """See `beam.PTransform.expand`."""
        paths = counts | "Learn" >> beam.Map(
            _learn_and_write, self._settings, self._size, self.base_temp_dir, self._prefix
        )
        return tuple(paths | f"Path{i}" >> beam.Map(lambda pair, i=i: pair[i]) for i in range(2))


def _learn_and_write(
    counts: Counts, settings: TextSettings, size: int, folder: str, prefix: str
) -> tuple[str, str]:
    """Learns the vocabulary, writes its files and returns their paths."""
    words = {word.decode(): count for word, count in counts.items()}
    vocabulary = learn.learn(words, settings, size)
    contents = {"vocabulary": vocabulary.vocabulary_file(), "merges": vocabulary.merges_file()}
    # TensorFlow shares lookup tables of a process by the paths of their files, so equal paths must have equal
    # contents.
    digest = vocabulary_digest(b"".join(contents.values()))
    tf.io.gfile.makedirs(folder)
    paths = {kind: f"{folder}/{asset_name(prefix, kind, digest)}" for kind in contents}
    for kind, content in contents.items():
        with tf.io.gfile.GFile(paths[kind], "wb") as file:
            file.write(content)
    return paths["vocabulary"], paths["merges"]
