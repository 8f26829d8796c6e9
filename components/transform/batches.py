"""Reads examples as record batches for TensorFlow Transform."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import tensor_adapter, tf_example_record

from bitext.components.shared import progress, tfrecord
from bitext.components.transform import Augmentation, Parameters, selection
from bitext.components.transform.augmentation import augment
from bitext.components.transform.selection import Copies

POSITION = "position"
"""The column with each row's position in its split. The graph passes it through; it sorts the batches."""
_MAX_ROWS_PER_FILE = 2**40
"""The positions of file k begin at `k * 2**40`. int64 has room for 2**23 files of so many rows."""


def tensor_adapter_config(schema: schema_pb2.Schema) -> tensor_adapter.TensorAdapterConfig:
    """Returns how `read`'s record batches become tensors: the schema's features and the position."""
    config = tf_example_record.TFExampleBeamRecord(
        physical_format="inmem", telemetry_descriptors=["bitext"], schema=schema
    ).TensorAdapterConfig()
    position = pa.field(POSITION, pa.large_list(pa.int64()))
    return tensor_adapter.TensorAdapterConfig(
        config.arrow_schema.append(position), config.tensor_representations
    )


@dataclasses.dataclass(frozen=True)
class File:
    """A TFRecord file to read.

    Attributes:
      number: its number in its split.
      path: its path.
      copies: int16[N], how often each of its examples is read; None: once.
    """

    number: int
    path: str
    copies: Copies | None = None


def read(
    file: File,
    *,
    schema: schema_pb2.Schema,
    parameters: Parameters,
    augmented: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yields the record batches of one TFRecord file, with a column of positions.

    Args:
      file: the file. The copies of an example have its position.
      schema: the schema of the features.
      parameters: Transform's parameters.
      augmented: whether altered copies of rows are added (`augmentation`). They have the positions of their
        rows.
    """
    decoder = example_coder.ExamplesToRecordBatchDecoder(schema.SerializeToString())
    start = first = file.number * _MAX_ROWS_PER_FILE
    for records in tfrecord.read_records(Path(file.path), parameters.batch_size):
        batch = decoder.DecodeBatch(records)
        size = batch.num_rows
        position = pa.LargeListArray.from_arrays(
            pa.array(np.arange(size + 1)), pa.array(np.arange(first, first + size))
        )
        names = [*batch.schema.names, POSITION]
        batch = pa.RecordBatch.from_arrays([*batch.columns, position], names)
        if file.copies is not None:
            batch = selection.repeat_rows(batch, file.copies[first - start : first - start + size])
        first += size
        progress.count(size)
        if not batch.num_rows:
            continue
        if augmented and parameters.augmentation != Augmentation():
            batch = augment(batch, parameters.augmentation)
        yield batch
