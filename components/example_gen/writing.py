"""The stage of ExampleGen that writes a shard: it checks length ratios and drops duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, cast

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc

from bitext.components import artifacts
from bitext.components.artifacts.rejects import Reject
from bitext.components.example_gen import Parameters, ratios
from bitext.components.example_gen.filters import LENGTH_RATIO
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.rows import shorten
from bitext.components.example_gen.splitting import first_of_duplicates
from bitext.components.example_gen.summary import Counts
from bitext.components.shared import tfrecord
from bitext.components.shared.display import path_text

COLUMNS = ("id", "source", "target")
HASH = "hash"
"""The column of source hashes, which rows have if the splits are given."""
OCTAVES = "octaves"
"""The column of `ratios.log_ratios`, which rows have if their length ratio is checked."""
SplitShard: TypeAlias = tuple[str, int]
BlockOrder: TypeAlias = tuple[int, int]
"""Index of the file and number of the first line: sorts blocks into the order of the corpus."""
NumberedReject: TypeAlias = tuple[int, Reject]
"""Index of the file and a rejected row of it."""
Columns: TypeAlias = dict[str, pa.Array]
"""The columns of rows by name: COLUMNS, and perhaps OCTAVES and HASH."""


class WriteSplit(beam.DoFn):
    """((split, shard), packed rows) -> counts. Writes the shard in the order of the corpus.

    Rows whose length ratio is too far from the corpus's are rejected, and duplicates are dropped if the
    parameters say so. Side outputs: `rejects`; `given`, the source hashes of a split whose files are given.
    """

    def __init__(self, files: list[SourceFile], parameters: Parameters, examples: artifacts.Examples):
        self._files, self._parameters, self._examples = files, parameters, examples

    def process(
        self, group: tuple[SplitShard, Iterable[tuple[BlockOrder, bytes] | None]], row_counts: Counts
    ) -> Iterator[Any]:
        p, ((split, shard), blocks) = self._parameters, group
        columns = _in_order(block for block in blocks if block is not None)
        if OCTAVES in columns:
            columns, rejected = self._reject_ratios(columns, ratios.corpus_ratio(row_counts))
            yield beam.pvalue.TaggedOutput("rejects", (None, rejected))
        rows = len(columns["id"])
        if HASH in columns:
            hashes = columns.pop(HASH).to_numpy()
            yield beam.pvalue.TaggedOutput("given", (None, (split, np.unique(hashes))))
        if p.drop_duplicates == "all" or split == "train":
            first = first_of_duplicates(columns["source"], columns["target"])
            if len(first) < rows:
                columns = _take(columns, first)
        tfrecord.write_examples(self._examples.shard(split, shard, p.shards), columns)
        written = len(columns["id"])
        yield Counter({f"split/{split}": written, "duplicates": rows - written}) if rows else Counter()

    def _reject_ratios(self, columns: Columns, ratio: float) -> tuple[Columns, list[NumberedReject]]:
        """The rows whose length ratio is near the corpus's, and the others as rejected rows."""
        limit = self._parameters.max_length_ratio
        too_far = ratios.too_far(columns.pop(OCTAVES).to_numpy(), ratio, limit)
        if not len(too_far):
            return columns, []
        files = {file.label: file for file in self._files}
        rejected = []
        for row in too_far.tolist():
            id_, source, target = (columns[name][row].as_py() for name in COLUMNS)
            label, _, line = id_.rpartition(":")
            reject = Reject(
                file=path_text(files[label].path),
                line=int(line),
                reason=LENGTH_RATIO,
                detail=ratios.detail(source, target, ratio, limit),
                text=shorten(f"{source}\t{target}"),
            )
            rejected.append((files[label].index, reject))
        return _take(columns, np.setdiff1d(np.arange(len(columns["id"])), too_far)), rejected


def _take(columns: Columns, rows: npt.NDArray[np.int64]) -> Columns:
    return {name: array.take(pa.array(rows)) for name, array in columns.items()}


def _in_order(blocks: Iterable[tuple[BlockOrder, bytes]]) -> Columns:
    """The columns of packed blocks, in the order of the corpus."""
    # In its own function, so that the batches of a large split are freed when it returns.
    batches = [_unpack(rows) for _, rows in sorted(blocks)]
    if not batches:
        return {name: pa.array([], pa.string()) for name in COLUMNS}
    return {
        name: pa.concat_arrays([batch.column(i) for batch in batches])
        for i, name in enumerate(batches[0].schema.names)
    }


def pack(batch: pa.RecordBatch) -> bytes:
    """Compresses rows before they are grouped: a runner may hold several copies of all of them."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    return cast(bytes, sink.getvalue().to_pybytes())


def _unpack(rows: bytes) -> pa.RecordBatch:
    """Reads the rows that `pack` compressed."""
    with pa.ipc.open_stream(rows) as stream:
        return stream.read_next_batch()
