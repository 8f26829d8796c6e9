"""Which padded shape and which file each example of a split gets, from the lengths of all examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np

from bitext.components.text.hashing import Hashes, mixed
from bitext.components.transform import Parameters, buckets
from bitext.components.transform.buckets import Ints
from bitext.components.transform.lengths import LengthCounts

TRAIN = "train"
SHUFFLE_SEED = 1
"""The seed of the order of the training examples in their files."""
Shape: TypeAlias = tuple[int, int]
"""Padded lengths of source and target."""
FileKey: TypeAlias = tuple[str, int, int, int]
"""Split, padded lengths of source and target, and the number of the file among those of its shape."""


@dataclasses.dataclass(frozen=True)
class FileLimits:
    """How large a file is. One worker holds the examples of a file.

    Attributes:
      examples: a file has about so many examples at most.
      positions: a file has about so many padded ids of both sides at most: long examples have more files.
    """

    examples: int = 200_000
    positions: int = 40_000_000


LIMITS = FileLimits()


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The padded lengths of each side before rare buckets are merged, int64[R] and int64[C]."""

    source: Ints
    target: Ints

    @classmethod
    def of(cls, parameters: Parameters) -> Bounds:
        """Returns the bounds that the parameters define."""
        growth = parameters.bucket_growth
        return cls(
            buckets.bounds(parameters.source_max_length, growth),
            buckets.bounds(parameters.target_max_length, growth),
        )

    def bucket(self, source: Ints, target: Ints) -> Ints:
        """Returns `row * C + column` of the bucket of each pair of lengths: int64[N]."""
        row = np.searchsorted(self.source, source)
        return row * len(self.target) + np.searchsorted(self.target, target)


@dataclasses.dataclass(frozen=True)
class Shaped:
    """The examples of a split with one padded shape.

    Attributes:
      lengths: their lengths.
      files: number of files.
    """

    lengths: LengthCounts
    files: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """Where the examples go.

    Attributes:
      shapes: the padded shape of each bucket.
      splits: by split, the examples of each padded shape that has some, in order.
    """

    shapes: tuple[Shape, ...]
    splits: Mapping[str, Mapping[Shape, Shaped]]

    @classmethod
    def of(cls, parameters: Parameters, totals: Mapping[str, LengthCounts], limits: FileLimits) -> Plan:
        """Returns the plan for the lengths of all splits.

        Rare buckets of the training split are merged into larger ones. The other splits have the same shapes.
        """
        bounds = Bounds.of(parameters)
        accepted = {split: counts.accepted(parameters) for split, counts in totals.items()}
        counts = np.zeros(len(bounds.source) * len(bounds.target), np.int64)
        train = accepted[TRAIN]
        np.add.at(counts, bounds.bucket(train.source, train.target), train.count)
        grid = counts.reshape(len(bounds.source), len(bounds.target))
        merged = buckets.merge_rare(grid, bounds.source, bounds.target).ravel()
        source, target = (
            bounds.source[merged // len(bounds.target)],
            bounds.target[merged % len(bounds.target)],
        )
        shapes = tuple(zip(source.tolist(), target.tolist(), strict=True))
        splits = {split: _shaped(bounds, shapes, of_split, limits) for split, of_split in accepted.items()}
        return cls(shapes, splits)

    def files(self) -> Iterator[FileKey]:
        """Yields all files."""
        for split, shaped in self.splits.items():
            for (source, target), examples in shaped.items():
                for number in range(examples.files):
                    yield split, source, target, number


def _shaped(
    bounds: Bounds, shapes: tuple[Shape, ...], accepted: LengthCounts, limits: FileLimits
) -> dict[Shape, Shaped]:
    """Returns the examples of a split by their padded shape."""
    by_shape: dict[Shape, list[int]] = {}
    for index, bucket in enumerate(bounds.bucket(accepted.source, accepted.target).tolist()):
        by_shape.setdefault(shapes[bucket], []).append(index)
    shaped = {}
    for shape, indices in sorted(by_shape.items()):
        columns = (accepted.source, accepted.target, accepted.count)
        lengths = LengthCounts(*(column[indices] for column in columns))
        total = lengths.total()
        files = max(-(-total // limits.examples), -(-total * sum(shape) // limits.positions))
        shaped[shape] = Shaped(lengths, files)
    return shaped


def keys(number: Ints) -> Hashes:
    """Returns the place of each example among all of the split in random order: uint64[N], all different."""
    return mixed(number.astype(np.uint64), SHUFFLE_SEED)


def file_numbers(number: Ints, files: int) -> Ints:
    """Returns the file of each example, int64[N]. File after file, they are in the order of `keys`."""
    return ((keys(number) >> np.uint64(32)) * np.uint64(files) >> np.uint64(32)).astype(np.int64)


def order(split: str, number: Ints) -> Ints:
    """Returns how the examples of a file are sorted, int64[N].

    Training examples are in random order, others in that of the corpus.
    """
    return np.argsort(keys(number) if split == TRAIN else number)
