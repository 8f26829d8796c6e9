"""Training batches, read from the transformed TFRecords. Their order depends on seed and epoch only.

All examples of a file are padded to the same shape, so that a batch is parsed at once and needs no further
padding. The order of the batches of an epoch is drawn before the epoch, so that a resumed training continues
with the next batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from bitext.components.artifacts import Bucket, TransformedExamples
from bitext.components.shared.damaged_examples import reporting_damaged_examples
from bitext.components.shared.errors import DataError
from bitext.components.shared.graphs import without_autograph
from bitext.components.text import PAD_ID
from bitext.components.trainer.segmentation import Segmenter

SPLIT = "train"
SHUFFLE_BUFFER = 20_000
"""Maximum number of examples of one shape that are shuffled at a time."""
PREFETCHED_BATCHES = 4
WINDOW = 32
"""Number of batches that are tokenized again together, and divided into batches of rows of similar length."""
EPOCH_SEEDS = 100_003
"""Distance between the shuffle seeds of two training seeds; no training has so many epochs."""
Batch = tuple[tf.Tensor, ...]
"""Source int32[B, S] and target int32[B, T]; for some segmenters, the source as tokenized in serving, too."""


@dataclasses.dataclass(frozen=True)
class Batches:
    """The training split, divided into batches.

    Args:
      folder: the split's folder.
      buckets: the examples by padded shape; at least one.
      batch_tokens: maximum number of target positions in a batch.
      seed: seed of the order. The order also depends on TensorFlow's global seed
        (`keras.utils.set_random_seed`), which `trainer.executor.run` sets.
      workers: number of processes that train together. Each reads the same batches, and takes its rows of
        each.
      worker: index of this process among them.
      segmenter: tokenizes each batch again; None: as in the files.
    """

    folder: Path
    buckets: tuple[Bucket, ...]
    batch_tokens: int
    seed: int
    workers: int = 1
    worker: int = 0
    segmenter: Segmenter | None = None

    @classmethod
    def open(
        cls, examples: TransformedExamples, batch_tokens: int, seed: int, workers: int = 1, worker: int = 0
    ) -> Batches:
        """Opens the training split. Arguments as of the class.

        Raises:
          DataError: a file is missing or damaged, or the split has no examples.
        """
        folder, buckets = examples.split(SPLIT), tuple(examples.buckets(SPLIT))
        if not sum(b.examples for b in buckets):
            raise DataError(f"{folder} holds no examples", "look at Transform's counts of rejected examples")
        return cls(folder, buckets, batch_tokens, seed, workers, worker)

    @property
    def tensors(self) -> int:
        """Number of tensors of a batch."""
        return 3 if self.segmenter is not None and self.segmenter.keeps_served else 2

    def sentences(self, bucket: Bucket) -> int:
        """Number of sentences in a batch of this shape."""
        return max(1, self.batch_tokens // bucket.target)

    def _batch_count(self, bucket: Bucket) -> int:
        """Number of batches of this shape in an epoch."""
        return -(-bucket.examples // self.sentences(bucket))

    @property
    def mean_tokens(self) -> float:
        """Mean number of target tokens to predict in a batch."""
        return sum(b.target_tokens for b in self.buckets) / self.per_epoch

    @property
    def per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return sum(map(self._batch_count, self.buckets))

    def plan(self, epoch: int) -> np.ndarray:
        """Returns the index of the bucket of each batch of an epoch, int64[per_epoch]."""
        choices = np.repeat(np.arange(len(self.buckets)), list(map(self._batch_count, self.buckets)))
        return np.random.default_rng((self.seed, epoch)).permutation(choices)

    def epoch(self, epoch: int | tf.Tensor, skip: int | tf.Tensor = 0) -> tf.data.Dataset:
        """Returns the batches of an epoch after the first `skip`: (source int32[B, S], target int32[B, T]).

        Both arguments may be tensors int64[], so that one graph serves every epoch.
        """
        plan = tf.numpy_function(self.plan, [epoch], tf.int64)
        plan.set_shape([self.per_epoch])
        seed = self.seed * EPOCH_SEEDS + tf.cast(epoch, tf.int64)

        def dataset(bucket: Bucket) -> tf.data.Dataset:
            records = tf.data.TFRecordDataset([str(self.folder / name) for name in bucket.files], "GZIP")
            shuffled = records.shuffle(min(bucket.examples, SHUFFLE_BUFFER), seed)
            return shuffled.batch(self.sentences(bucket))

        batches = tf.data.Dataset.choose_from_datasets(
            [dataset(b) for b in self.buckets],
            tf.data.Dataset.from_tensor_slices(plan),
            stop_on_empty_dataset=False,
        )
        skip = tf.cast(skip, tf.int64)
        if self.segmenter is None:
            return batches.skip(skip).map(self._parse_rows)
        of_epoch = tf.stack([tf.constant(self.seed), tf.cast(epoch, tf.int32)])
        first = skip // WINDOW * WINDOW
        return _tokenize_again(batches.enumerate().skip(first), self.segmenter, of_epoch).skip(skip - first)

    def _parse_rows(self, records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Parses the rows of this worker of a batch string[B]. They may be none, with the padded lengths."""
        if self.workers == 1:
            return _parse(records)
        rows = tf.shape(records)[0]
        first, end = (rows * number // self.workers for number in (self.worker, self.worker + 1))
        # At least one row is parsed, because no row has no length.
        source, target = _parse(records[first : tf.maximum(end, first + 1)])
        return source[: end - first], target[: end - first]

    def after(self, batch_count: int) -> Iterator[Batch]:
        """Returns an endless iterator over the batches of all epochs after the first `batch_count`."""
        epoch, skip = divmod(batch_count, self.per_epoch)
        # One graph for all epochs, because with many shapes it takes seconds to build.
        epochs = tf.data.Dataset.counter(epoch)
        skips = tf.data.Dataset.from_tensors(np.int64(skip)).concatenate(
            tf.data.Dataset.from_tensors(np.int64(0)).repeat()
        )
        dataset = tf.data.Dataset.zip((epochs, skips)).flat_map(without_autograph(self.epoch))
        return iter(dataset.prefetch(PREFETCHED_BATCHES))

    def read_ahead(self, batch_count: int) -> Generator[Batch, None, None]:
        """Yields the batches of `after`. A thread fetches the next batch while the caller trains on this one.

        Even a prefetched batch takes milliseconds to fetch while an update uses all cores.

        Args:
          batch_count: number of batches to skip at the start.

        Raises:
          DataError: a file is damaged.
        """
        batches = self.after(batch_count)
        with ThreadPoolExecutor(1) as pool:
            next_batch = pool.submit(next, batches)
            while True:
                with reporting_damaged_examples(self.folder, "Transform"):
                    batch = next_batch.result()
                next_batch = pool.submit(next, batches)
                yield batch


def _tokenize_again(batches: tf.data.Dataset, segmenter: Segmenter, seed: tf.Tensor) -> tf.data.Dataset:
    """Tokenizes batches again, and divides each window into as many batches of rows of similar length.

    A batch is padded to its longest row, and the rows of a shape differ in length after BPE-dropout.

    Args:
      batches: the number of each batch in the epoch, int64[], and its serialized examples, string[B].
      segmenter: tokenizes a batch.
      seed: int32[2], the seed of the epoch.

    Returns:
      As many batches as there were, see `Batch`. All batches of a window have about as many target tokens.
    """

    @without_autograph
    def tokenized(number: tf.Tensor, records: tf.Tensor) -> tuple[tf.Tensor, Batch]:
        of_batch = tf.random.experimental.stateless_fold_in(seed, number)
        return of_batch, segmenter(*_parse(records), of_batch)

    @without_autograph
    def divided(seeds: tf.Tensor, rows: tuple[tf.RaggedTensor, ...]) -> tf.data.Dataset:
        count = tf.shape(seeds, tf.int64)[0]
        sides = [ids.merge_dims(0, 1).to_tensor(PAD_ID) for ids in rows]
        source, target = (tf.math.count_nonzero(ids, axis=1) for ids in sides[:2])
        order = tf.argsort(tf.maximum(source, target) * tf.shape(sides[1], tf.int64)[1] + target, stable=True)
        ends = equal_parts(tf.gather(target, order), count)
        numbers = tf.random.experimental.stateless_shuffle(tf.range(count), seeds[0])

        def batch(number: tf.Tensor) -> Batch:
            start = tf.where(number > 0, ends[number - 1], 0)
            return tuple(_trim(tf.gather(ids, order[start : ends[number]])) for ids in sides)

        return tf.data.Dataset.from_tensor_slices(numbers).map(without_autograph(batch))

    return batches.map(tokenized).ragged_batch(WINDOW).flat_map(divided)


def equal_parts(weights: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Divides a row of items into parts of about equal weight. Each part has an item.

    Args:
      weights: int64[N], positive.
      count: number of parts, int64[], at most N.

    Returns:
      The index after the last item of each part, int64[count].
    """
    sums, numbers = tf.cumsum(weights), tf.range(count)
    ends = tf.searchsorted(sums, sums[-1] * (numbers + 1) // count, out_type=tf.int64) + 1
    # At least one item more than the part before; and enough items are left for the parts after.
    spare = tf.where(numbers[:, tf.newaxis] >= numbers, ends - numbers, 1)
    return numbers + tf.minimum(tf.reduce_max(spare, axis=1), tf.size(weights, tf.int64) - count + 1)


def _trim(ids: tf.Tensor) -> tf.Tensor:
    """Removes the columns of ids int32[B, T] that are padding in all rows."""
    return ids[:, : tf.reduce_max(tf.math.count_nonzero(ids, axis=1))]


def _parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Parses serialized examples string[B] of one padded shape."""
    ids = tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True)
    parsed = tf.io.parse_example(records, {"source_ids": ids, "target_ids": ids})
    return tf.cast(parsed["source_ids"], tf.int32), tf.cast(parsed["target_ids"], tf.int32)
