"""Writes transformed batches as TFRecords of padded examples: one file or more for each padded shape."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from bitext.components import artifacts
from bitext.components.artifacts import Bucket
from bitext.components.component import Context
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.shared.files import gzip_writer
from bitext.components.shared.tf_example import serialize
from bitext.components.text import EOS_ID
from bitext.components.transform import Augmentation, Parameters, buckets, fitting, ragged
from bitext.components.transform.buckets import Ints

CHUNK_EXAMPLES = 200_000
"""Examples held in memory at a time. Each bucket gets one file for each chunk that has examples of it."""
SIDES = ("source", "target")
Shape = tuple[int, int]
"""Padded lengths of source and target."""


@dataclasses.dataclass(frozen=True)
class Lengths:
    """The lengths of all examples of a split, in order.

    Attributes:
      files: the Arrow files.
      rows: int64[F], examples of each file.
      source: int64[N], tokens of each source, before truncation.
      target: int64[N], tokens of each target, before truncation.
      accepted: bool[N], whether the example is written.
    """

    files: list[Path]
    rows: Ints
    source: Ints
    target: Ints
    accepted: np.ndarray

    def truncated(self, parameters: Parameters) -> tuple[Ints, Ints]:
        """Returns both lengths, int64[N], after truncation."""
        return (
            np.minimum(self.source, parameters.source_max_length),
            np.minimum(self.target, parameters.target_max_length),
        )


def write(
    parameters: Parameters,
    context: Context,
    batches: dict[str, Path],
    output: artifacts.TransformedExamples,
) -> None:
    """Pads and writes every split; prints and records the counts.

    Args:
      parameters: Transform's parameters.
      context: the run, which prints messages.
      batches: by split, the folder of Arrow files. Sorted by name, they are in the order of the input.
      output: the artifact to write.

    Raises:
      DataError: all pairs of a split are over-long.
    """
    source_bounds = buckets.bounds(parameters.source_max_length, parameters.bucket_growth)
    target_bounds = buckets.bounds(parameters.target_max_length, parameters.bucket_growth)
    lengths = {split: _lengths(parameters, split, folder) for split, folder in batches.items()}

    def bucket(split: str) -> tuple[Ints, Ints]:
        source, target = lengths[split].truncated(parameters)
        return np.searchsorted(source_bounds, source), np.searchsorted(target_bounds, target)

    counts = np.zeros((len(source_bounds), len(target_bounds)), np.int64)
    source, target = bucket("train")
    accepted = lengths["train"].accepted
    np.add.at(counts, (source[accepted], target[accepted]), 1)
    destination = buckets.merge_rare(counts, source_bounds, target_bounds)
    for split, split_lengths in lengths.items():
        merged = destination[bucket(split)]
        shapes = np.stack(
            [source_bounds[merged // len(target_bounds)], target_bounds[merged % len(target_bounds)]], axis=1
        )
        split_buckets = _write_split(parameters, split_lengths, shapes, output, split)
        _report(parameters, context, split, split_lengths, shapes, len(split_buckets), output)


def _lengths(parameters: Parameters, split: str, folder: Path) -> Lengths:
    """Reads the lengths of a split's examples.

    Raises:
      DataError: all pairs are over-long.
    """
    files = sorted(folder.glob("*.arrow"))
    # Tables are read one by one, because all of them together may not fit into memory.
    by_file = [
        [ragged.column(table, f"{side}_ids")[2] for side in SIDES] for table in map(ragged.read, files)
    ]
    source, target = (np.concatenate(of_side) for of_side in zip(*by_file, strict=True))
    accepted = np.ones(len(source), bool)
    if parameters.over_long == "reject":
        accepted = (source <= parameters.source_max_length) & (target <= parameters.target_max_length)
    if not accepted.any():
        raise DataError(
            f"every pair of the {split} split is longer than source_max_length "
            f"{parameters.source_max_length} or target_max_length {parameters.target_max_length} tokens",
            "raise these limits, or set `transform.over_long: truncate`",
        )
    rows = np.array([len(of_source) for of_source, _ in by_file])
    return Lengths(files, rows, source, target, accepted)


def _chunks(rows: Ints) -> Iterator[tuple[int, int]]:
    """Yields half-open ranges of files. The files of a range hold about CHUNK_EXAMPLES examples.

    Args:
      rows: int64[F], examples of each file.
    """
    first, examples = 0, 0
    for index, count in enumerate(rows.tolist()):
        if examples and examples + count > CHUNK_EXAMPLES:
            yield first, index
            first, examples = index, 0
        examples += count
    yield first, len(rows)


def _write_split(
    parameters: Parameters,
    lengths: Lengths,
    shapes: Ints,
    output: artifacts.TransformedExamples,
    split: str,
) -> list[Bucket]:
    """Writes a split's TFRecords and its list of buckets; returns the list.

    Args:
      shapes: int64[N, 2], the padded shape of each example.
    """
    folder = output.split(split)
    folder.mkdir(parents=True)
    starts = np.concatenate([[0], np.cumsum(lengths.rows)])
    source_length, target_length = lengths.truncated(parameters)
    chunk_files: dict[Shape, list[Path]] = {}
    examples: Counter[Shape] = Counter()
    tokens: Counter[Shape] = Counter()
    for number, (first, last) in enumerate(_chunks(lengths.rows)):
        table = pa.concat_tables([ragged.read(file) for file in lengths.files[first:last]])
        chunk = slice(starts[first], starts[last])
        columns = _Columns(table, source_length[chunk], target_length[chunk])
        accepted = lengths.accepted[chunk]
        for source, target in np.unique(shapes[chunk][accepted], axis=0).tolist():
            shape = (source, target)
            rows = np.flatnonzero(accepted & (shapes[chunk] == shape).all(axis=1))
            path = folder / f"s{source:03d}-t{target:03d}-{number:05d}"
            columns.write(path, rows, shape)
            chunk_files.setdefault(shape, []).append(path)
            examples[shape] += len(rows)
            tokens[shape] += int((target_length[chunk][rows] - 1).sum())
    split_buckets = []
    for shape, paths in sorted(chunk_files.items()):
        # The final names contain the number of files of the bucket, which is known only now.
        files = [output.bucket_file(split, shape, index, len(paths)) for index in range(len(paths))]
        for path, file in zip(paths, files, strict=True):
            path.rename(file)
        split_buckets.append(
            Bucket(
                source=shape[0],
                target=shape[1],
                examples=examples[shape],
                target_tokens=tokens[shape],
                files=tuple(file.name for file in files),
            )
        )
    output.write_buckets(split, split_buckets)
    return split_buckets


class _Columns:
    """The columns of a chunk of transformed examples, which pads and writes chosen rows.

    Args:
      table: the examples, with ragged ids.
      source_length: int64[N], tokens of each source, after truncation.
      target_length: int64[N], tokens of each target, after truncation.
    """

    def __init__(self, table: pa.Table, source_length: Ints, target_length: Ints):
        self._ids = pa.concat_arrays(table.column("id").chunks).flatten()
        self._source = (*ragged.column(table, "source_ids")[:2], source_length)
        self._target = (*ragged.column(table, "target_ids")[:2], target_length)

    def write(self, path: Path, rows: Ints, shape: Shape) -> None:
        """Writes the rows, padded to the shape, as a gzipped TFRecord file."""
        with gzip_writer(path, tfrecord.COMPRESSION_LEVEL) as file:
            for start in range(0, len(rows), tfrecord.BLOCK_ROWS):
                block = self._padded(rows[start : start + tfrecord.BLOCK_ROWS], shape)
                file.write(tfrecord.frame(serialize(block)))

    def _padded(self, rows: Ints, shape: Shape) -> dict[str, pa.Array | Ints]:
        """Returns the rows' features: binary[N], or int64[N, width]."""
        columns: dict[str, pa.Array | Ints] = {"id": self._ids.take(pa.array(rows))}
        for name, (values, starts, lengths), width in (
            ("source", self._source, shape[0]),
            ("target", self._target, shape[1]),
        ):
            columns[f"{name}_ids"] = buckets.pad(values, starts[rows], lengths[rows], width, EOS_ID)
            columns[f"{name}_length"] = lengths[rows][:, None]
        return columns


def _report(
    parameters: Parameters,
    context: Context,
    split: str,
    lengths: Lengths,
    shapes: Ints,
    shape_count: int,
    output: artifacts.TransformedExamples,
) -> None:
    """Prints and records how many examples were written, left out or truncated, and the share of padding."""
    is_train = split == "train"
    samples = parameters.subword_samples if is_train else 1
    is_augmented = is_train and parameters.augmentation != Augmentation()
    accepted = lengths.accepted
    source, target = lengths.truncated(parameters)
    padding = 1 - (source[accepted].sum() + target[accepted].sum()) / shapes[accepted].sum()
    is_over_long = (lengths.source > parameters.source_max_length) | (
        lengths.target > parameters.target_max_length
    )
    examples, over_long = int(accepted.sum()) // samples, int(is_over_long.sum()) // samples
    output.properties.update(
        {
            f"{split}_examples": examples,
            f"{split}_over_long": over_long,
            f"{split}_padding": round(float(padding), 4),
        }
    )
    action = "left out" if parameters.over_long == "reject" else "truncated"
    remarks = [
        *(["altered copies included"] if is_augmented else []),
        *([f"each in {samples} tokenizations"] if samples > 1 else []),
    ]
    remark = f", {', '.join(remarks)}," if remarks else ""
    context.say(
        f"{split}: {examples:,} pairs{remark} in {shape_count} shapes, {padding:.1%} padding; "
        f"{over_long:,} over-long {action}"
    )
    if is_train:
        for line in fitting.length_warnings(parameters, lengths.source, lengths.target):
            context.say(f"warning: {line}")
