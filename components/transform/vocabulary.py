"""The TensorFlow Transform analyzer that learns a vocabulary from the counts of pretokens.

It counts the pretokens of each span, adds the counts, and learns the vocabulary once. TFT's analyzer cache
stores the counts of each span.
"""

from __future__ import annotations

import collections
import functools
import hashlib
import heapq
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

from bitext.components.artifacts import OF_LEARNED, Segmentation, vocabulary_digest
from bitext.components.shared.files import encode_json
from bitext.components.text import TextSettings, learn, processor
from bitext.components.text.given import Given

Counts = collections.Counter[bytes]
_SCOPE = "vocabulary"
_SIZE = struct.Struct("<Q")
MAX_LEARNED_WORDS = 2_000_000
"""A vocabulary is learned from so many pretokens at most, the most frequent. A million take 1.1 GB."""


def asset_name(prefix: str, kind: str, digest: str) -> str:
    """Returns the file name of an asset. `kind` is `vocabulary` or `merges`."""
    return f"{prefix}{kind}-{digest}.txt"


def side_prefix(side: str) -> str:
    """Returns the first part of the names of a side's own vocabulary files."""
    return f"{side}."


def analyzer_of(prefix: str, cache_keys: Iterable[bytes]) -> bytes:
    """Returns the cache entry key of TFT that belongs to the vocabulary files with a prefix.

    TFT's key begins with the label of the analyzer's step, which has the name scope of `vocabulary_assets`.

    Raises:
      ValueError: not exactly one key belongs to them.
    """
    (key,) = (key for key in cache_keys if f"[{prefix}{_SCOPE}#".encode() in key)
    return key


def distinct(pretokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the distinct pretokens of a batch, string[M], and their counts, int64[M]."""
    words, _, counts = tf.unique_with_counts(pretokens, out_idx=tf.int64)
    return words, counts


def vocabulary_assets(
    pretokens: tf.Tensor, settings: TextSettings, size: int, prefix: str, given: Given | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Adds the analyzer that learns a vocabulary from the complete analyzed dataset.

    Args:
      pretokens: string[N], the pretokens of a batch.
      settings: the text settings.
      size: maximum number of ids.
      prefix: the first part of the names of the two asset files.
      given: the vocabulary that is used instead of a learned one.

    Returns:
      The paths of the vocabulary file and the merges file, string[] each; both are assets of the graph.
    """
    words, counts = distinct(pretokens)
    empty = learn.empty(settings)
    with tf.name_scope(f"{prefix}{_SCOPE}"):
        vocabulary, merges = _cacheable_analyzer(
            [words, counts],
            tft.experimental.CacheablePTransformAnalyzer(
                make_accumulators_ptransform=CountBatches(),
                merge_accumulators_ptransform=MergeCounts(),
                extract_output_ptransform=LearnVocabulary(settings, size, prefix, given),
                cache_coder=CountsCoder(settings, given.segmentation if given else OF_LEARNED),
            ),
            [empty.vocabulary_file(), empty.merges_file()],
        )
    return vocabulary, merges


def _cacheable_analyzer(
    inputs: list[tf.Tensor], analyzer: tft.experimental.CacheablePTransformAnalyzer, defaults: list[bytes]
) -> list[tf.Tensor]:
    """Adds a cacheable analyzer with more than one asset, as `tft.experimental.ptransform_analyzer` does.

    TFT's function gives every stage as many outputs as the last stage has, but a cached stage must have one.
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
    text: tf.Tensor,
    settings: TextSettings,
    segmentation: Segmentation,
    size: int,
    assets: tuple[tf.Tensor, tf.Tensor],
    name: str,
) -> tf.RaggedTensor:
    """Tokenizes text with the vocabulary that an analyzer of the same graph learns.

    Args:
      text: string[B].
      settings: the text settings.
      segmentation: how text becomes words.
      size: maximum number of ids, as given to `vocabulary_assets`.
      assets: the paths that `vocabulary_assets` returned.
      name: the name of the text processor in the graph. Calls with equal names and assets share it.

    Returns:
      int64[B, None].
    """
    vocabulary, merges = assets
    max_size = tf.constant(size, tf.int64)

    # TFT gives the files that analyzers write to `apply_vocabulary` only, and one file to each call.
    def with_vocabulary(text: tf.Tensor, vocabulary_path: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        def with_merges(text: tf.Tensor, merges_path: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
            text_processor = tft.make_and_track_object(
                lambda: processor.TextProcessor(settings, vocabulary_path, merges_path, segmentation),
                name=name,
            )
            return tf.cast(text_processor.tokenize(text), tf.int64), max_size

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


class _NamedByType(beam.PTransform):  # type: ignore[misc]
    """Base of transforms whose `repr` is the class's name. TFT's cache key has it; Beam's has an address."""

    def __repr__(self) -> str:
        return type(self).__name__


class CountBatches(_NamedByType):
    """Turns batches of (pretokens string[N], counts int64[N]) into counts."""

    def expand(self, batches: beam.PCollection[tuple[np.ndarray, np.ndarray]]) -> beam.PCollection[Counts]:
        """See `beam.PTransform.expand`."""
        return batches | "Count" >> beam.Map(count_batch)


class MergeCounts(_NamedByType):
    """Adds counts. Without counts, the sum is empty."""

    def expand(self, counts: beam.PCollection[Counts]) -> beam.PCollection[Counts]:
        """See `beam.PTransform.expand`."""
        return counts | "Sum" >> beam.CombineGlobally(SumCounts())


class CountsCoder(tft.experimental.PTransformAnalyzerCacheCoder):
    """Encodes counts as deflated bytes: number of pretokens, their lengths, their counts, the pretokens.

    The `repr` is part of TFT's cache key. The rest of the key covers only constants and attributes of the
    graph, but not the code of its operations. The `repr` therefore has everything else that the counts depend
    on, except the text: the settings, the digest of the source code and TensorFlow's version.
    """

    def __init__(self, settings: TextSettings, segmentation: Segmentation = OF_LEARNED):
        self._settings = settings
        # The replacements can be thousands of characters.
        self._segmentation = hashlib.sha256(encode_json(segmentation)).hexdigest()[:12]

    def __repr__(self) -> str:
        versions = f"{_source_digest()}, TensorFlow {tf.__version__}"
        return f"CountsCoder({self._settings}, {self._segmentation}, {versions})"

    def encode_cache(self, counts: Counts) -> bytes:
        """Encodes counts; equal counts give equal bytes."""
        return encode_counts(counts)

    def decode_cache(self, encoded: bytes) -> Counts:
        """Decodes counts."""
        return decode_counts(encoded)


def encode_counts(counts: Counts) -> bytes:
    """Encodes counts; equal counts give equal bytes. See `CountsCoder`."""
    words = sorted(counts)
    columns = [len(word) for word in words], [counts[word] for word in words]
    encoded = [np.array(column, "<u8").tobytes() for column in columns]
    return zlib.compress(b"".join([_SIZE.pack(len(words)), *encoded, *words]), 1)


def decode_counts(encoded: bytes) -> Counts:
    """Decodes counts."""
    content = zlib.decompress(encoded)
    (size,) = _SIZE.unpack_from(content)
    lengths, counts = np.frombuffer(content, "<u8", 2 * size, _SIZE.size).reshape(2, size)
    ends = _SIZE.size + 16 * size + np.cumsum(lengths, dtype=np.int64)
    starts = ends - lengths.astype(np.int64)
    words = [content[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    return collections.Counter(dict(zip(words, counts.tolist(), strict=True)))


def sum_encoded(encoded: Iterable[bytes]) -> bytes:
    """Adds encoded counts. They are decoded one after another."""
    total: Counts = collections.Counter()
    for block in encoded:
        total.update(decode_counts(block))
    return encode_counts(total)


@functools.cache
def _source_digest() -> str:
    """Returns a digest of the code that splits text into pretokens and counts them."""
    total = hashlib.sha256()
    for module in (__file__, processor.__file__):
        for path in sorted(Path(module).parent.glob("*.py")):
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


class LearnVocabulary(tft_beam.experimental.PTransformAnalyzer):
    """Turns the counts of all pretokens into the paths of the two vocabulary files."""

    def __init__(self, settings: TextSettings, size: int, prefix: str, given: Given | None = None):
        super().__init__()
        self._given = given
        self._settings = settings
        self._size = size
        self._prefix = prefix

    def expand(self, counts: beam.PCollection[Counts]) -> tuple[beam.PCollection[str], beam.PCollection[str]]:
        """See `beam.PTransform.expand`."""
        paths = counts | "Learn" >> beam.Map(
            _learn_and_write, self._settings, self._size, self.base_temp_dir, self._prefix, self._given
        )
        return tuple(paths | f"Path{i}" >> beam.Map(lambda pair, i=i: pair[i]) for i in range(2))


def most_frequent(counts: Counts, number: int) -> Iterable[tuple[bytes, int]]:
    """Returns the most frequent pretokens with their counts; of equally frequent ones, the first by bytes."""
    if len(counts) <= number:
        return counts.items()
    return heapq.nsmallest(number, counts.items(), key=lambda item: (-item[1], item[0]))


def _learn_and_write(
    counts: Counts, settings: TextSettings, size: int, folder: str, prefix: str, given: Given | None
) -> tuple[str, str]:
    """Learns the vocabulary, or takes the given one, writes its files and returns their paths."""
    words = {word.decode(): count for word, count in most_frequent(counts, MAX_LEARNED_WORDS)}
    vocabulary = given.vocabulary(words, settings) if given else learn.learn(words, settings, size)
    contents = {"vocabulary": vocabulary.vocabulary_file(), "merges": vocabulary.merges_file()}
    # Within a process, TensorFlow shares lookup tables that have equal file paths, so equal paths must have
    # equal contents.
    digest = vocabulary_digest(b"".join(contents.values()))
    tf.io.gfile.makedirs(folder)
    paths = {kind: f"{folder}/{asset_name(prefix, kind, digest)}" for kind in contents}
    for kind, content in contents.items():
        with tf.io.gfile.GFile(paths[kind], "wb") as file:
            file.write(content)
    return paths["vocabulary"], paths["merges"]
