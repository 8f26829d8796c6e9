"""Transformed batches to TFRecords of padded examples, a file for every pair of padded lengths."""

from __future__ import annotations

import dataclasses
import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.text import EOS_ID
from bitext.components.transform import Parameters, buckets, ragged
from bitext.components.transform import serialize as serialise
from bitext.components.transform.buckets import Ints

# Examples held in memory at a time; a bucket gets a file for each such chunk it occurs in.
CHUNK = 200_000
SIDES = ("source", "target")


@dataclasses.dataclass(frozen=True)
class Lengths:
    """Of every example of a split, in order: its Arrow file, lengths as they are, and whether it is kept."""

    files: list[Path]
    rows: Ints  # [F] examples of each file
    source: Ints  # [N]
    target: Ints  # [N]
    kept: np.ndarray  # bool[N]

    def cut(self, parameters: Parameters) -> tuple[Ints, Ints]:
        """Both lengths int64[N] after truncation."""
        return (
            np.minimum(self.source, parameters.source_max_length),
            np.minimum(self.target, parameters.target_max_length),
        )


def write(
    parameters: Parameters, context: Context, batches: dict[str, Path], output: artifacts.Examples
) -> None:
    """Pads and writes every split; says and records counts.

    Args:
      parameters: Transform's.
      context: where to say what was done.
      batches: by split, the folder of Arrow files whose names sort in the order of the input.
      output: the artifact to fill.

    Raises:
      DataError: all pairs of a split are over-long.
    """
    source_bounds = buckets.bounds(parameters.source_max_length, parameters.bucket_growth)
    target_bounds = buckets.bounds(parameters.target_max_length, parameters.bucket_growth)
    lengths = {split: _lengths(parameters, split, folder) for split, folder in batches.items()}

    def bucket(split: str) -> tuple[Ints, Ints]:
        source, target = lengths[split].cut(parameters)
        return np.searchsorted(source_bounds, source), np.searchsorted(target_bounds, target)

    counts = np.zeros((len(source_bounds), len(target_bounds)), np.int64)
    source, target = bucket("train")
    kept = lengths["train"].kept
    np.add.at(counts, (source[kept], target[kept]), 1)
    destination = buckets.merge_rare(counts, source_bounds, target_bounds)
    for split, of_split in lengths.items():
        merged = destination[bucket(split)]
        shapes = np.stack(
            [source_bounds[merged // len(target_bounds)], target_bounds[merged % len(target_bounds)]], axis=1
        )
        written = _write_split(parameters, of_split, shapes, output.split(split))
        _report(parameters, context, split, of_split, shapes, written, output)


def _lengths(parameters: Parameters, split: str, folder: Path) -> Lengths:
    """Reads the lengths of a split's examples."""
    files = sorted(folder.glob("*.arrow"))
    # Tables are mapped, and go one by one: all of them would be the whole corpus.
    each = [[ragged.column(table, f"{side}_ids")[2] for side in SIDES] for table in map(ragged.read, files)]
    source, target = (np.concatenate(of_side) for of_side in zip(*each, strict=True))
    kept = np.ones(len(source), bool)
    if parameters.over_long == "reject":
        kept = (source <= parameters.source_max_length) & (target <= parameters.target_max_length)
    if not kept.any():
        raise DataError(
            f"every pair of the {split} split is longer than source_max_length "
            f"{parameters.source_max_length} or target_max_length {parameters.target_max_length} tokens",
            "Raise these two, or set over_long: truncate, in the transform section.",
        )
    rows = np.array([len(of_source) for of_source, _ in each])
    return Lengths(files, rows, source, target, kept)


def _chunks(rows: Ints) -> Iterator[tuple[int, int]]:
    """Half-open ranges of files that together hold about CHUNK examples."""
    first, held = 0, 0
    for index, count in enumerate(rows.tolist()):
        if held and held + count > CHUNK:
            yield first, index
            first, held = index, 0
        held += count
    yield first, len(rows)


def _write_split(
    parameters: Parameters, lengths: Lengths, shapes: Ints, folder: Path
) -> list[dict[str, object]]:
    """Writes the split's TFRecords and `buckets.json`, and returns what is in the latter."""
    folder.mkdir(parents=True)
    starts = np.concatenate([[0], np.cumsum(lengths.rows)])
    source_length, target_length = lengths.cut(parameters)
    written: dict[tuple[int, int], list[Path]] = {}
    examples: Counter[tuple[int, int]] = Counter()
    tokens: Counter[tuple[int, int]] = Counter()
    for number, (first, last) in enumerate(_chunks(lengths.rows)):
        table = pa.concat_tables([ragged.read(file) for file in lengths.files[first:last]])
        part = slice(starts[first], starts[last])
        columns = _Columns(table, source_length[part], target_length[part])
        kept = lengths.kept[part]
        for shape in np.unique(shapes[part][kept], axis=0).tolist():
            rows = np.flatnonzero(kept & (shapes[part] == shape).all(axis=1))
            key = (shape[0], shape[1])
            path = folder / f"s{key[0]:03d}-t{key[1]:03d}-{number:05d}"
            columns.write(path, rows, key)
            written.setdefault(key, []).append(path)
            examples[key] += len(rows)
            tokens[key] += int((target_length[part][rows] - 1).sum())
    result: list[dict[str, object]] = []
    for key in sorted(written):
        names = _name_files(folder, key, written[key])
        counts = {"examples": examples[key], "target_tokens": tokens[key]}
        result.append({"source": key[0], "target": key[1], **counts, "files": names})
    (folder / "buckets.json").write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    return result


def _name_files(folder: Path, shape: tuple[int, int], paths: list[Path]) -> list[str]:
    """Gives a bucket's files their final names, now that their number is known."""
    names = []
    for index, path in enumerate(paths):
        name = f"transformed_examples-s{shape[0]:03d}-t{shape[1]:03d}-{index:05d}-of-{len(paths):05d}.gz"
        path.rename(folder / name)
        names.append(name)
    return names


class _Columns:
    """A chunk of transformed examples, to be padded and written by rows."""

    def __init__(self, table: pa.Table, source_length: Ints, target_length: Ints):
        self._ids = pa.concat_arrays(table.column("id").chunks).flatten()
        self._source = (*ragged.column(table, "source_ids")[:2], source_length)
        self._target = (*ragged.column(table, "target_ids")[:2], target_length)

    def write(self, path: Path, rows: Ints, shape: tuple[int, int]) -> None:
        """Writes the rows, padded to the shape, as a gzipped TFRecord file without a time of writing."""
        with (
            path.open("wb") as raw,
            gzip.GzipFile("", "wb", tfrecord.COMPRESSION_LEVEL, raw, mtime=0) as file,
        ):
            for start in range(0, len(rows), tfrecord.ROWS_AT_ONCE):
                block = self._padded(rows[start : start + tfrecord.ROWS_AT_ONCE], shape)
                file.write(tfrecord.frame(serialise.examples(block)))

    def _padded(self, rows: Ints, shape: tuple[int, int]) -> dict[str, pa.Array | Ints]:
        """The rows' features: binary[N], or int64[N, width]."""
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
    written: list[dict[str, object]],
    output: artifacts.Examples,
) -> None:
    """Says and records how many examples were written, left out or cut, and the share of padding."""
    each = parameters.segmentations if split == "train" else 1
    kept = lengths.kept
    source, target = lengths.cut(parameters)
    padding = 1 - (source[kept].sum() + target[kept].sum()) / shapes[kept].sum()
    over = (lengths.source > parameters.source_max_length) | (lengths.target > parameters.target_max_length)
    examples, over_long = int(kept.sum()) // each, int(over.sum()) // each
    output.properties.update(
        {
            f"{split}_examples": examples,
            f"{split}_over_long": over_long,
            f"{split}_padding": round(float(padding), 4),
        }
    )
    fate = "left out" if parameters.over_long == "reject" else "truncated"
    times = f", each in {each} segmentations," if each > 1 else ""
    context.say(
        f"{split}: {examples:,} pairs{times} in {len(written)} shapes, {padding:.1%} padding; "
        f"{over_long:,} over-long {fate}"
    )
