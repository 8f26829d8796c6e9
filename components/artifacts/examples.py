"""Examples: tf.Examples by split, from ExampleGen, GoldenGen and Transform."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import ClassVar

import msgspec

from bitext.components.artifacts.base import Artifact
from bitext.components.shared.files import write_json

TRAIN_SPLIT = "train"
"""The split that models are trained on."""
TEST_SPLIT = "test"
"""The split that models are scored on. Training and early stopping never read it."""
CORPUS_PROPERTY = "corpus"
"""Property of examples: the name of their corpus; it is missing if that has none."""
ORIGIN_PROPERTY = "origin"
"""Property of synthetic examples: how they were made (`PairOrigin`)."""


class PairOrigin(enum.StrEnum):
    """How synthetic pairs were made."""

    FORWARD = "forward"
    """A training source and its translation."""
    BACKWARD = "backward"
    """The translation of a training target into the source language, and that target."""
    MONOLINGUAL_SOURCE = "monolingual_source"
    """A sentence of a monolingual file in the source language and its translation."""
    MONOLINGUAL_TARGET = "monolingual_target"
    """The translation of a sentence of a monolingual file in the target language, and that sentence."""

    @property
    def corpus(self) -> str:
        """The name of the corpus that such pairs are. No corpus of a user has a name with a slash."""
        return f"synthetic/{self.value}"

    @property
    def pairs_property(self) -> str:
        """The property of transformed examples that has the number of such training pairs."""
        return f"synthetic_{self.value}"

    @property
    def given_side(self) -> str:
        """The side that is a given text; the other side is its translation."""
        return "source" if self in (PairOrigin.FORWARD, PairOrigin.MONOLINGUAL_SOURCE) else "target"

    @property
    def is_monolingual(self) -> bool:
        """Whether the given text is not among the pairs of the bitext."""
        return self in (PairOrigin.MONOLINGUAL_SOURCE, PairOrigin.MONOLINGUAL_TARGET)


class Examples(Artifact):
    """TFRecords of tf.Example.

    From ExampleGen, features `id`, `source`, `target` (one byte string each)::

        Split-train/data_tfrecord-00000-of-00001.gz
        Split-eval/data_tfrecord-00000-of-00001.gz
        Split-test/data_tfrecord-00000-of-00001.gz

    From GoldenGen, the same in `Split-golden`. From BulkInferrer, synthetic pairs in `Split-train`; the
    property `origin` says how they were made. From MonolingualGen, features `id`, and `source` or `target`.
    """

    TYPE_NAME = "Examples"
    FILES: ClassVar[tuple[str, ...]] = ("data_tfrecord-",)
    NODE = "ExampleGen"

    @property
    def corpus(self) -> str:
        """The name of their corpus; empty: it has none."""
        return str(self.properties.get(CORPUS_PROPERTY, ""))

    def shard(self, split: str, number: int = 0, shards: int = 1) -> Path:
        """Returns the TFRecord file of one shard of a split."""
        return self.split(split) / f"data_tfrecord-{number:05d}-of-{shards:05d}.gz"

    def files(self, split: str) -> list[Path]:
        """Returns the TFRecord files of a split, in order; none if the split has none.

        Raises:
          DataError: a shard is missing; each file name contains the number of shards.
        """
        files = sorted(self.split(split).glob("data_tfrecord-*.gz"))
        if files:
            shards = int(files[0].stem.rpartition("-of-")[2])
            for number in range(shards):
                if (file := self.shard(split, number, shards)) not in files:
                    raise self.damaged(file, "is missing")
        return files


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """The examples of one padded shape.

    Attributes:
      source: padded length of the source, in tokens.
      target: padded length of the target, in tokens, `<s>` included.
      examples: number of examples.
      target_tokens: number of their target tokens, without padding and without `<s>`, which is not predicted.
      files: names of the TFRecord files that hold them.
    """

    source: int
    target: int
    examples: int
    target_tokens: int
    files: tuple[str, ...]


class TransformedExamples(Examples):
    """TFRecords of padded tf.Examples from Transform, one file or more for each pair of padded lengths.

    Features `id`, `source_ids` int64[S], `source_length`, `target_ids` int64[T] (with `<s>` and `</s>`),
    `target_length`::

        Split-train/transformed_examples-s012-t014-00000-of-00001.gz
        Split-train/buckets.json        [{"source", "target", "examples", "target_tokens", "files"}, ...]
    """

    FILES = ("transformed_examples-", "buckets.json")
    NODE = "Transform"

    def bucket_file(self, split: str, shape: tuple[int, int], number: int, files: int) -> Path:
        """Returns the TFRecord file `number` of the `files` that hold the examples of a padded shape."""
        source, target = shape
        name = f"transformed_examples-s{source:03d}-t{target:03d}-{number:05d}-of-{files:05d}.gz"
        return self.split(split) / name

    def buckets(self, split: str) -> list[Bucket]:
        """Reads the list of buckets of a split.

        Raises:
          DataError: the file is missing or damaged, or a file that it names is missing.
        """
        path = self.split(split) / "buckets.json"
        buckets = self.read_json(path, list[Bucket])
        for bucket in buckets:
            for name in bucket.files:
                if not (file := self.split(split) / name).is_file():
                    raise self.damaged(file, "is missing")
        return buckets

    def write_buckets(self, split: str, buckets: list[Bucket]) -> None:
        """Writes the list of buckets of a split."""
        write_json(self.split(split) / "buckets.json", buckets)
