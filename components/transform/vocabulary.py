"""The TensorFlow Transform analyzer that learns a vocabulary: pretoken counts, combined, then one trainer."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

from components.text import TextSettings, learn, processor

Counts = collections.Counter[bytes]


def asset_name(prefix: str, kind: str, digest: str) -> str:
    """The name of a vocabulary file: `kind` is `vocabulary` or `merges`."""
    return f"{prefix}{kind}-{digest}.txt"


def vocabulary_assets(
    pretokens: tf.Tensor, settings: TextSettings, size: int, prefix: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Learns a vocabulary over the whole analysed dataset.

    Args:
      pretokens: string[N], those of a batch.
      settings: the text settings.
      size: most ids.
      prefix: put before the names of the two asset files.

    Returns:
      Paths of the vocabulary and merges files, string[], assets of the transform graph.
    """
    distinct, _, counts = tf.unique_with_counts(pretokens, out_idx=tf.int64)
    blank = learn.empty(settings)
    vocabulary, merges = tft.experimental.ptransform_analyzer(
        inputs=[distinct, counts],
        ptransform=LearnVocabulary(settings, size, prefix),
        output_dtypes=[tf.string, tf.string],
        output_shapes=[[], []],
        output_asset_default_values=[blank.vocabulary_file(), blank.merges_file()],
        name=f"{prefix}vocabulary",
    )
    return vocabulary, merges


def tokenise(
    text: tf.Tensor, settings: TextSettings, size: int, assets: tuple[tf.Tensor, tf.Tensor], name: str
) -> tf.RaggedTensor:
    """Text string[B] to ids int64[B, None] by the vocabulary an analyzer in the same graph yields.

    Args:
      text: string[B].
      settings: the text settings.
      size: most ids, as given to `vocabulary_assets`.
      assets: what that returned.
      name: names the processor in the graph; where name and assets are the same, so is the processor.
    """
    vocabulary, merges = assets
    most = tf.constant(size, tf.int64)

    # Only `apply_vocabulary` hands out the files analyzers will have written. Nested, for there are two.
    def with_vocabulary(text: tf.Tensor, vocabulary_path: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        def with_merges(text: tf.Tensor, merges_path: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
            path = tft.make_and_track_object(
                lambda: processor.TextProcessor(settings, vocabulary_path, merges_path), name=name
            )
            return tf.cast(path.tokenise(text), tf.int64), most

        ids = tft.apply_vocabulary(text, merges, default_value=0, lookup_fn=with_merges)
        return ids, most

    return tft.apply_vocabulary(text, vocabulary, default_value=0, lookup_fn=with_vocabulary)


class LearnVocabulary(tft_beam.experimental.PTransformAnalyzer):
    """From batches of (pretoken string[N], count int64[N]) to the paths of the two vocabulary files."""

    def __init__(self, settings: TextSettings, size: int, prefix: str):
        super().__init__()
        self._settings = settings
        self._size = size
        self._prefix = prefix

    def expand(
        self, batches: beam.PCollection[tuple[np.ndarray, np.ndarray]]
    ) -> tuple[beam.PCollection[str], beam.PCollection[str]]:
        """See `beam.PTransform.expand`."""
        paths = (
            batches
            | "Count" >> beam.CombineGlobally(SumCounts())
            | "Learn"
            >> beam.Map(_learn_and_write, self._settings, self._size, self.base_temp_dir, self._prefix)
        )
        return tuple(paths | f"Path{i}" >> beam.Map(lambda pair, i=i: pair[i]) for i in range(2))


class SumCounts(beam.CombineFn):
    """Adds up counts by pretoken. Its size is that of the corpus's distinct pretokens."""

    def create_accumulator(self) -> Counts:
        """No counts."""
        return collections.Counter()

    def add_input(self, accumulator: Counts, batch: tuple[np.ndarray, np.ndarray]) -> Counts:
        """Adds a batch's distinct pretokens."""
        words, counts = batch
        for word, count in zip(words.tolist(), counts.tolist(), strict=True):
            accumulator[word] += count
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Counts]) -> Counts:
        """The sum."""
        total: Counts = collections.Counter()
        for counts in accumulators:
            total.update(counts)
        return total

    def extract_output(self, accumulator: Counts) -> Counts:
        """The sum itself."""
        return accumulator


def _learn_and_write(
    counts: Counts, settings: TextSettings, size: int, folder: str, prefix: str
) -> tuple[str, str]:
    """Learns the vocabulary and writes its files; their paths."""
    words = {word.decode(): count for word, count in counts.items()}
    vocabulary = learn.learn(words, settings, size)
    contents = {"vocabulary": vocabulary.vocabulary_file(), "merges": vocabulary.merges_file()}
    # TensorFlow shares a process's lookup tables by the paths of their files: a path must mean one content.
    digest = hashlib.sha256(b"".join(contents.values())).hexdigest()[:12]
    tf.io.gfile.makedirs(folder)
    paths = {kind: f"{folder}/{asset_name(prefix, kind, digest)}" for kind in contents}
    for kind, content in contents.items():
        with tf.io.gfile.GFile(paths[kind], "wb") as file:
            file.write(content)
    return paths["vocabulary"], paths["merges"]
