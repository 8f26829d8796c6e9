"""Applies the transform graph in a worker: examples in, packed rows of token ids by length out.

The graph travels to the workers as bytes. `tft_beam.TransformDataset` would read it from a folder that all
workers must see. The ids are the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from apache_beam.utils.shared import Shared
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.saved import saved_transform_io_v2

from bitext.components.shared.folder_bytes import unzipped
from bitext.components.shared.spilling import Storage
from bitext.components.transform import Parameters, resegment
from bitext.components.transform.batches import File, Reader
from bitext.components.transform.lengths import LengthCounts
from bitext.components.transform.plan import TRAIN, Bounds
from bitext.components.transform.preprocessing import FEATURES
from bitext.components.transform.rows import Ids, Rows

BLOCK_ROWS = 65_536
BLOCK_TOKENS = 4_000_000
"""Rows are divided by length when there are so many of them, or of their tokens."""
_FILE_BITS, _SAMPLE_BITS = 43, 7
"""A row's number: `file * 2**43 + row of the file * 2**7 + tokenization`: room for 2**20 files."""
_OUTPUTS = {"source": "source_ids", "target": "target_ids"}
LENGTHS = "lengths"


@dataclasses.dataclass(frozen=True)
class TransformFunction:
    """What a worker needs to turn text into token ids.

    Attributes:
      zipped: the SavedModel that TensorFlow Transform wrote, as the bytes that `folder_bytes.zipped` returns.
      dtype: a type of NumPy that holds all ids.
      splits: by side, the pairs of subwords that each subword can be split into; None: one tokenization.
    """

    zipped: bytes
    dtype: str
    splits: Mapping[str, resegment.Splits] | None = None


class Graph:
    """The transform graph, loaded as `tft_beam.TransformDataset` loads it. It serves all threads.

    Args:
      zipped: see `TransformFunction`.
    """

    def __init__(self, zipped: bytes):
        with unzipped(zipped) as folder:
            # Its lookup tables are filled when it is loaded.
            self._loader = saved_transform_io_v2.SavedModelLoader(str(folder))
            self._loader.finalize(set(FEATURES), set(_OUTPUTS.values()))

    def ids(self, tensors: Mapping[str, tf.Tensor], dtype: str) -> tuple[Ids, Ids]:
        """Returns the token ids of source and target of a batch.

        Args:
          tensors: `id`, `source` and `target`, string[N] each.
          dtype: the type of the ids.
        """
        outputs = self._loader.apply_transform_model(tensors)
        source, target = (
            Ids(ragged.values.numpy().astype(dtype), np.diff(ragged.row_splits.numpy()))
            for ragged in (outputs[name] for name in _OUTPUTS.values())
        )
        return source, target


class Apply(beam.DoFn):
    """(split, File) -> ((split, bucket), where the packed rows are).

    The rows of a pair over a maximum length are left out or truncated. Side output `lengths`: (split, the
    lengths of all rows before that).

    Args:
      function: the transform graph.
      parameters: Transform's parameters.
      schema: the schema of the features.
      spill_dir: see `Context`.
    """

    def __init__(
        self,
        function: TransformFunction,
        parameters: Parameters,
        schema: schema_pb2.Schema,
        spill_dir: Path | None,
    ):
        self._function, self._parameters, self._storage = function, parameters, Storage(spill_dir)
        self._schema, self._shared = schema.SerializeToString(), Shared()

    def setup(self) -> None:
        self._graph = self._shared.acquire(lambda: Graph(self._function.zipped))
        self._reader = Reader(schema_pb2.Schema.FromString(self._schema), self._parameters)
        self._bounds = Bounds.of(self._parameters)

    def teardown(self) -> None:
        self.__dict__.pop("_graph", None)  # it is missing if `setup` has failed

    def process(self, element: tuple[str, File]) -> Iterator[Any]:
        split, file = element
        block: list[Rows] = []
        rows = tokens = 0
        for batch in self._tokenized(split, file):
            block.append(batch)
            rows += len(batch)
            tokens += len(batch.source.values) + len(batch.target.values)
            if rows >= BLOCK_ROWS or tokens >= BLOCK_TOKENS:
                yield from self._by_bucket(split, block)
                block, rows, tokens = [], 0, 0
        if block:
            yield from self._by_bucket(split, block)

    def _tokenized(self, split: str, file: File) -> Iterator[Rows]:
        """Yields the rows of each batch of a file in each tokenization."""
        first = 0
        p, max_lengths = self._parameters, _max_lengths(self._parameters)
        for batch in self._reader.read(file, augmented=split == TRAIN):
            places = np.arange(first, first + batch.num_rows)
            number = (file.number << _FILE_BITS) + (places << _SAMPLE_BITS)
            ids = self._graph.ids(self._reader.tensors(batch), self._function.dtype)
            name = batch.column(batch.schema.get_field_index("id")).flatten()
            rows = Rows(number, name.cast(pa.binary()), *ids)
            yield rows
            if self._function.splits is not None and split == TRAIN:
                for sample in range(1, p.subword_samples):
                    random = np.random.default_rng((resegment.SEED, file.number, first, sample))
                    other = resegment.further(
                        rows, self._function.splits, p.subword_dropout, max_lengths, random
                    )
                    yield dataclasses.replace(other, number=number + sample)
            first += batch.num_rows

    def _by_bucket(self, split: str, block: Sequence[Rows]) -> Iterator[Any]:
        """Yields the rows of each bucket, packed, and the lengths of all rows."""
        rows, p = Rows.concatenated(block), self._parameters
        yield beam.pvalue.TaggedOutput(
            LENGTHS, (split, LengthCounts.of(rows.source.lengths, rows.target.lengths))
        )
        if p.over_long == "truncate":
            source, target = (
                ids.truncated(limit)
                for ids, limit in zip((rows.source, rows.target), _max_lengths(p).values(), strict=True)
            )
            rows = dataclasses.replace(rows, source=source, target=target)
        bucket = self._bounds.bucket(rows.source.lengths, rows.target.lengths)
        fits = rows.source.lengths <= p.source_max_length
        bucket[~(fits & (rows.target.lengths <= p.target_max_length))] = -1
        order = np.argsort(bucket, kind="stable")
        order = order[np.count_nonzero(bucket < 0) :]
        for part in np.split(order, np.flatnonzero(np.diff(bucket[order])) + 1):
            if len(part):
                packed = rows.take(part).packed()
                yield (split, int(bucket[part[0]])), self._storage.write(packed)


def _max_lengths(parameters: Parameters) -> dict[str, int]:
    return {"source": parameters.source_max_length, "target": parameters.target_max_length}
