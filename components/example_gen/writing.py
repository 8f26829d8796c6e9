"""The stage of ExampleGen that writes a shard: it checks length ratios and drops duplicates.

Blocks of rows are read in the order of the corpus and written one by one: a shard may have any size.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components import artifacts
from bitext.components.artifacts.rejects import Reject
from bitext.components.example_gen import Parameters
from bitext.components.example_gen.cleaning import corpus_rules
from bitext.components.example_gen.cleaning.pair_counts import PairCounts
from bitext.components.example_gen.cleaning.row_rules import Violations
from bitext.components.example_gen.filters import LENGTH_RATIO
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.rejecting import Place, pack_rejects
from bitext.components.example_gen.rows import shorten
from bitext.components.example_gen.splitting import SeenPairs
from bitext.components.example_gen.summary import Counts
from bitext.components.shared import tfrecord
from bitext.components.shared.display import path_text
from bitext.components.shared.packing import Columns, unpack
from bitext.components.shared.spilling import Storage, Stored, read
from bitext.components.text import length_ratios

SIDES = ("source", "target")
LINE = "line"
"""The column of line numbers. With the file's label they are the ids of the examples."""
HASH = "hash"
"""The column of source hashes, which rows have if the splits are given."""
OCTAVES = "octaves"
"""The column of `length_ratios.log_ratios`, which rows have if their length ratio is checked."""
SplitShard: TypeAlias = tuple[str, int]


class WriteSplit(beam.DoFn):
    """((split, shard), where the packed rows are) -> counts. Writes the shard in the order of the corpus.

    Rows whose length ratio is too far from the corpus's, and rows that cleaning compares with the corpus or
    with each other, are rejected. Duplicates are dropped if the parameters say so. Side outputs: `rejects`;
    `given`, by shard, the source hashes of a split whose files are given.
    """

    def __init__(
        self,
        files: list[SourceFile],
        parameters: Parameters,
        examples: artifacts.Examples,
        folder: Path | None,
    ):
        self._files, self._parameters, self._examples = files, parameters, examples
        self._storage = Storage(folder)

    def process(
        self, group: tuple[SplitShard, Iterable[tuple[Place, Stored] | None]], row_counts: Counts
    ) -> Iterator[Any]:
        p, ((split, shard), blocks) = self._parameters, group
        seen = SeenPairs() if p.drop_duplicates == "all" or split == "train" else None
        pair_counts = PairCounts(p.cleaning) if split == "train" else None
        ratio = length_ratios.corpus_ratio(row_counts)
        counts: Counts = Counter()
        with tfrecord.example_writer(self._examples.shard(split, shard, int(p.shards))) as write:
            for (file, _), stored in sorted(block for block in blocks if block is not None):
                block, rejected = _Block(self._files[file], unpack(read(stored))), []
                if OCTAVES in block.columns:  # the rows are not of a given eval or test split
                    rejected += block.reject(self._too_far(block.columns, ratio))
                    octaves = block.columns.pop(OCTAVES) - np.float32(np.log2(ratio))
                    rejected += block.reject(
                        corpus_rules.check(block.columns, p.cleaning, row_counts, octaves)
                    )
                if HASH in block.columns:
                    hashes = np.unique(block.columns.pop(HASH))
                    yield beam.pvalue.TaggedOutput("given", (shard, (split, hashes)))
                rows = block.rows
                if seen is not None:
                    block.keep(seen.first_rows(*block.sides))
                counts["duplicates"] += rows - block.rows
                if pair_counts is not None:
                    rejected += block.reject(pair_counts.check(*block.sides))
                if rejected:
                    rejected.sort(key=lambda row: row.line)
                    place, packed = pack_rejects(file, rejected)
                    yield beam.pvalue.TaggedOutput("rejects", (None, (place, self._storage.write(packed))))
                counts[f"split/{split}"] += block.rows
                write(examples_of(self._files[file], block.columns))
        yield counts

    def _too_far(self, columns: Columns, ratio: float) -> Iterator[tuple[str, Violations]]:
        """The rows whose length ratio is too far from the corpus's."""
        p, octaves = self._parameters, columns[OCTAVES]
        source, target = (columns[side] for side in SIDES)

        def detail(row: int, limit: float) -> str:
            return length_ratios.detail(source[row].as_py(), target[row].as_py(), ratio, limit)

        limits = {LENGTH_RATIO: p.max_length_ratio, "uneven_lengths": p.cleaning.limit("max_length_ratio")}
        for reason, limit in limits.items():
            if limit:
                mask = np.zeros(len(octaves), bool)
                mask[length_ratios.too_far(octaves, ratio, limit)] = True
                yield reason, Violations(mask, functools.partial(detail, limit=limit))


class _Block:
    """A block of rows of one file, from which rows are taken away.

    Attributes:
      columns: the columns of the rows that are left.
    """

    def __init__(self, file: SourceFile, columns: Columns):
        self._file, self.columns = file, columns

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.columns[LINE])

    @property
    def sides(self) -> tuple[pa.Array, pa.Array]:
        """The source and the target."""
        return self.columns["source"], self.columns["target"]

    def keep(self, rows: npt.NDArray[np.int64]) -> None:
        """Takes away all rows but some, in ascending order."""
        if len(rows) < self.rows:
            self.columns = {name: take(values, rows) for name, values in self.columns.items()}

    def reject(self, checks: Iterable[tuple[str, Violations]]) -> list[Reject]:
        """Takes away the rows that checks find. Returns them, in order; the first reason of each counts."""
        reasons: dict[int, tuple[str, str]] = {}
        for reason, violations in checks:
            for row in np.flatnonzero(violations.mask).tolist():
                if row not in reasons:
                    reasons[row] = reason, violations.detail(row)
        source, target = self.sides
        rejected = [
            Reject(
                file=path_text(self._file.path),
                line=int(self.columns[LINE][row]),
                reason=reason,
                detail=detail,
                text=shorten(f"{source[row].as_py()}\t{target[row].as_py()}"),
                numbered=self._file.numbered,
            )
            for row, (reason, detail) in sorted(reasons.items())
        ]
        if reasons:
            self.keep(np.setdiff1d(np.arange(self.rows), list(reasons)))
        return rejected


def examples_of(file: SourceFile, columns: Columns) -> dict[str, pa.Array]:
    """The features of rows of a file: `id`, `source` and `target`."""
    lines = pa.array(columns[LINE]).cast(pa.string())
    ids = pc.binary_join_element_wise(pa.scalar(f"{file.label}:"), lines, pa.scalar(""))
    return {"id": ids, **{side: columns[side] for side in SIDES}}


def take(values: pa.Array | npt.NDArray[np.generic], rows: npt.NDArray[np.int64]) -> Any:
    """The values of some rows."""
    return values[rows] if isinstance(values, np.ndarray) else values.take(pa.array(rows))
