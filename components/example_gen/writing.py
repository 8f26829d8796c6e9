"""The stage of ExampleGen that writes a shard: it checks length ratios and drops duplicates.

Blocks of rows are read in the order of the corpus and written one by one: a shard may have any size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components import artifacts
from bitext.components.artifacts.rejects import Reject
from bitext.components.example_gen import Parameters, ratios
from bitext.components.example_gen.filters import LENGTH_RATIO
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.packing import Columns, unpack
from bitext.components.example_gen.rejecting import Place, pack_rejects
from bitext.components.example_gen.rows import shorten
from bitext.components.example_gen.splitting import SeenPairs
from bitext.components.example_gen.summary import Counts
from bitext.components.shared import tfrecord
from bitext.components.shared.display import path_text

SIDES = ("source", "target")
LINE = "line"
"""The column of line numbers. With the file's label they are the ids of the examples."""
HASH = "hash"
"""The column of source hashes, which rows have if the splits are given."""
OCTAVES = "octaves"
"""The column of `ratios.log_ratios`, which rows have if their length ratio is checked."""
SplitShard: TypeAlias = tuple[str, int]


class WriteSplit(beam.DoFn):
    """((split, shard), packed rows) -> counts. Writes the shard in the order of the corpus.

    Rows whose length ratio is too far from the corpus's are rejected, and duplicates are dropped if the
    parameters say so. Side outputs: `rejects`; `given`, the source hashes of a split whose files are given.
    """

    def __init__(self, files: list[SourceFile], parameters: Parameters, examples: artifacts.Examples):
        self._files, self._parameters, self._examples = files, parameters, examples

    def process(
        self, group: tuple[SplitShard, Iterable[tuple[Place, bytes] | None]], row_counts: Counts
    ) -> Iterator[Any]:
        p, ((split, shard), blocks) = self._parameters, group
        seen = SeenPairs() if p.drop_duplicates == "all" or split == "train" else None
        ratio = ratios.corpus_ratio(row_counts)
        counts: Counts = Counter()
        with tfrecord.example_writer(self._examples.shard(split, shard, p.shards)) as write:
            for (file, _), packed in sorted(block for block in blocks if block is not None):
                columns = unpack(packed)
                if OCTAVES in columns:
                    columns, rejected = self._reject_ratios(columns, ratio, self._files[file])
                    if rejected:
                        yield beam.pvalue.TaggedOutput("rejects", (None, pack_rejects(file, rejected)))
                if HASH in columns:
                    yield beam.pvalue.TaggedOutput("given", (None, (split, np.unique(columns.pop(HASH)))))
                rows = len(columns[LINE])
                if seen is not None:
                    columns = _take(columns, seen.first_rows(columns["source"], columns["target"]))
                written = len(columns[LINE])
                counts.update({f"split/{split}": written, "duplicates": rows - written})
                write(examples_of(self._files[file], columns))
        yield counts

    def _reject_ratios(
        self, columns: Columns, ratio: float, file: SourceFile
    ) -> tuple[Columns, list[Reject]]:
        """The rows whose length ratio is near the corpus's, and the others as rejected rows."""
        limit = self._parameters.max_length_ratio
        too_far = ratios.too_far(columns.pop(OCTAVES), ratio, limit)
        if not len(too_far):
            return columns, []
        rejected = []
        for row in too_far.tolist():
            source, target = (columns[side][row].as_py() for side in SIDES)
            reject = Reject(
                file=path_text(file.path),
                line=int(columns[LINE][row]),
                reason=LENGTH_RATIO,
                detail=ratios.detail(source, target, ratio, limit),
                text=shorten(f"{source}\t{target}"),
            )
            rejected.append(reject)
        return _take(columns, np.setdiff1d(np.arange(len(columns[LINE])), too_far)), rejected


def examples_of(file: SourceFile, columns: Columns) -> dict[str, pa.Array]:
    """The features of rows of a file: `id`, `source` and `target`."""
    lines = pa.array(columns[LINE]).cast(pa.string())
    ids = pc.binary_join_element_wise(pa.scalar(f"{file.label}:"), lines, pa.scalar(""))
    return {"id": ids, **{side: columns[side] for side in SIDES}}


def _take(columns: Columns, rows: npt.NDArray[np.int64]) -> Columns:
    """The columns of some rows, in ascending order."""
    if len(rows) == len(columns[LINE]):
        return columns
    return {name: take(values, rows) for name, values in columns.items()}


def take(values: pa.Array | npt.NDArray[np.generic], rows: npt.NDArray[np.int64]) -> Any:
    """The values of some rows."""
    return values[rows] if isinstance(values, np.ndarray) else values.take(pa.array(rows))
