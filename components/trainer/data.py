"""Batches straight from the transformed TFRecords, in an order that is a function of seed and epoch.

Every file holds examples of one padded shape, so a batch is parsed at once and holds no padding of its own.
The order of the batches is drawn in advance, so that a resumed training goes on with the next batch.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bitext.components.shared.damaged_examples import reporting_damaged_examples
from bitext.components.shared.errors import DataError

SHUFFLE_BUFFER = 20_000
Batch = tuple[tf.Tensor, tf.Tensor]
"""Source int32[B, S] and target int32[B, T]."""


@dataclasses.dataclass(frozen=True)
class Bucket:
    """The examples of one padded shape.

    Attributes:
      source: source positions.
      target: target positions, `<s>` included.
      examples: how many there are.
      target_tokens: their real target tokens but for `<s>`, which is not predicted.
      files: where they are.
    """

    source: int
    target: int
    examples: int
    target_tokens: int
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Batches:
    """The training split cut into batches.

    Args:
      buckets: what there is.
      batch_tokens: target positions a batch.
      seed: of the order, beside the process's (`keras.utils.set_random_seed`), which the executor sets.
    """

    buckets: tuple[Bucket, ...]
    batch_tokens: int
    seed: int

    @classmethod
    def open(cls, split: Path, batch_tokens: int, seed: int) -> Batches:
        """Reads the split's `buckets.json`.

        Raises:
          DataError: it has no examples.
        """
        listed = json.loads((split / "buckets.json").read_text(encoding="utf-8"))
        buckets = tuple(
            Bucket(**(bucket | {"files": tuple(str(split / name) for name in bucket["files"])}))
            for bucket in listed
        )
        if not sum(b.examples for b in buckets):
            raise DataError(f"{split} holds no examples", "look at Transform's counts of rejected examples")
        return cls(buckets, batch_tokens, seed)

    def sentences(self, bucket: Bucket) -> int:
        """Sentences a batch of this shape."""
        return max(1, self.batch_tokens // bucket.target)

    @property
    def mean_tokens(self) -> float:
        """Real target tokens in a mean batch, `<s>` not counted."""
        return sum(b.target_tokens for b in self.buckets) / self.per_epoch

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return sum(-(-b.examples // self.sentences(b)) for b in self.buckets)

    def plan(self, epoch: int) -> np.ndarray:
        """The bucket of every batch of an epoch, int64[per_epoch]."""
        choices = np.repeat(
            np.arange(len(self.buckets)), [-(-b.examples // self.sentences(b)) for b in self.buckets]
        )
        return np.random.default_rng((self.seed, epoch)).permutation(choices)

    def epoch(self, epoch: int | tf.Tensor, skip: int | tf.Tensor = 0) -> tf.data.Dataset:
        """The batches of an epoch after the first `skip`: (source int32[B, S], target int32[B, T]).

        Both numbers may be tensors int64[], so that a graph made once serves every epoch.
        """
        plan = tf.numpy_function(self.plan, [epoch], tf.int64)
        plan.set_shape([self.per_epoch])
        seed = self.seed * 100_003 + tf.cast(epoch, tf.int64)

        def dataset(bucket: Bucket) -> tf.data.Dataset:
            records = tf.data.TFRecordDataset(list(bucket.files), "GZIP")
            shuffled = records.shuffle(min(bucket.examples, SHUFFLE_BUFFER), seed)
            return shuffled.batch(self.sentences(bucket))

        chosen = tf.data.Dataset.choose_from_datasets(
            [dataset(b) for b in self.buckets],
            tf.data.Dataset.from_tensor_slices(plan),
            stop_on_empty_dataset=False,
        )
        return chosen.skip(tf.cast(skip, tf.int64)).map(_parse)

    def after(self, taken: int) -> Iterator[Batch]:
        """All batches for ever, but for the first `taken`."""
        epoch, skip = divmod(taken, self.per_epoch)
        # With many shapes, building an epoch's graph takes seconds: it is built once, for all epochs.
        epochs = tf.data.Dataset.counter(epoch)
        skips = tf.data.Dataset.from_tensors(np.int64(skip)).concatenate(
            tf.data.Dataset.from_tensors(np.int64(0)).repeat()
        )
        return iter(tf.data.Dataset.zip((epochs, skips)).flat_map(self.epoch).prefetch(4))

    def packed(self, taken: int, sizes: Iterable[int]) -> Iterator[Packed]:
        """Batches in packs, each made while the one before it is worked on.

        Where updates keep all cores busy, even a batch that is there takes milliseconds to be handed over.

        Args:
          taken: batches left out, the first.
          sizes: how many are in each pack.

        Raises:
          DataError: a file is damaged.
        """
        batches = self.after(taken)
        packs = (pack(itertools.islice(batches, size)) for size in sizes)
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(next, packs, None)
            while (now := self._whole(following)) is not None:
                following = pool.submit(next, packs, None)
                yield now

    def _whole(self, following: Future[Packed | None]) -> Packed | None:
        with reporting_damaged_examples(Path(self.buckets[0].files[0]).parent, "Transform"):
            return following.result()


class Packed(NamedTuple):
    """Batches in a row, which a graph takes in one call.

    Attributes:
      ids: int32[N], of every batch the source and then the target, row by row.
      shapes: int32[K, 3], every batch's sentences, source positions and target positions.
    """

    ids: tf.Tensor
    shapes: tf.Tensor


def pack(batches: Iterable[Batch]) -> Packed:
    """Batches in a row."""
    listed = [(source.numpy(), target.numpy()) for source, target in batches]
    ids = np.concatenate([side.ravel() for batch in listed for side in batch])
    return Packed(
        tf.constant(ids), tf.constant([[*source.shape, target.shape[1]] for source, target in listed])
    )


def unpack(packed: Packed, number: tf.Tensor, begin: tf.Tensor) -> tuple[Batch, tf.Tensor]:
    """A batch of a pack, whose ids begin at `begin` (int32[]), and where the next one's begin."""
    rows, source, target = tf.unstack(packed.shapes[number])
    middle, end = begin + rows * source, begin + rows * (source + target)
    ids = packed.ids
    return (tf.reshape(ids[begin:middle], [rows, source]), tf.reshape(ids[middle:end], [rows, target])), end


def _parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Serialised examples string[B] of one padded shape to source int32[B, S] and target int32[B, T]."""
    ids = tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True)
    parsed = tf.io.parse_example(records, {"source_ids": ids, "target_ids": ids})
    return tf.cast(parsed["source_ids"], tf.int32), tf.cast(parsed["target_ids"], tf.int32)
