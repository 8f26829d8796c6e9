"""Reads examples as record batches and tensors for the transform graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf
import zstandard
from apache_beam.utils.shared import Shared
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import tensor_adapter, tf_example_record

from bitext.components.shared import progress, tfrecord
from bitext.components.transform import Augmentation, Parameters, WeightedParameters, selection
from bitext.components.transform.augmentation import augment
from bitext.components.transform.selection import Copies


def tensor_adapter_config(schema: schema_pb2.Schema) -> tensor_adapter.TensorAdapterConfig:
    """Returns how `read`'s record batches become tensors."""
    config: tensor_adapter.TensorAdapterConfig = tf_example_record.TFExampleBeamRecord(
        physical_format="inmem", telemetry_descriptors=["bitext"], schema=schema
    ).TensorAdapterConfig()
    return config


@dataclasses.dataclass(frozen=True)
class File:
    """A TFRecord file to read.

    Attributes:
      number: its number in its split.
      path: its path, which may be remote.
      packed_copies: how often each of its examples is read, compressed (`with_copies`); None: once.
      counted_side: the only side whose words are counted for the vocabulary; empty: both.
    """

    number: int
    path: Path
    packed_copies: bytes | None = None
    counted_side: str = ""

    @classmethod
    def with_copies(cls, number: int, path: Path, copies: Copies | None) -> File:
        """Returns a file whose examples are read as often as `copies` says, int16[N]; None: once.

        Most numbers are equal, so that they are small in the pipeline's graph, which goes to every worker.
        """
        packed = None if copies is None else zstandard.ZstdCompressor(level=1).compress(copies.tobytes())
        return cls(number, path, packed)

    @property
    def copies(self) -> Copies | None:
        """How often each of its examples is read: int16[N]; None: once."""
        if self.packed_copies is None:
            return None
        return np.frombuffer(zstandard.ZstdDecompressor().decompress(self.packed_copies), np.int16)


def release_graphs() -> None:
    """Releases the graph that Beam's `Shared` keeps in this process for the next bundle.

    TensorFlow complains on stderr if a graph still exists when the interpreter ends.
    """
    Shared().acquire(lambda: None)


class Reader:
    """Reads files in a worker.

    Args:
      schema: the schema of the features.
      parameters: Transform's parameters.
    """

    def __init__(self, schema: schema_pb2.Schema, parameters: Parameters):
        self._parameters = parameters
        uses = parameters.corpora if isinstance(parameters, WeightedParameters) else ()
        self._tags = tuple(use.tag for use in uses if use.tag)
        self._decoder = example_coder.ExamplesToRecordBatchDecoder(schema.SerializeToString())
        self._adapter = tensor_adapter.TensorAdapter(tensor_adapter_config(schema))

    def read(self, file: File, *, augmented: bool) -> Iterator[pa.RecordBatch]:
        """Yields the record batches of one TFRecord file, at least one row each.

        Args:
          file: the file.
          augmented: whether altered copies of rows are added (`augmentation`).
        """
        first, copies = 0, file.copies
        for records in tfrecord.read_records(file.path, self._parameters.batch_size):
            batch = self._decoder.DecodeBatch(records)
            size = batch.num_rows
            if copies is not None:
                batch = selection.repeat_rows(batch, copies[first : first + size])
            first += size
            progress.count(size)
            if not batch.num_rows:
                continue
            if augmented and self._parameters.augmentation != Augmentation():
                batch = augment(batch, self._parameters.augmentation, self._tags)
            yield batch

    def tensors(self, batch: pa.RecordBatch) -> dict[str, tf.Tensor]:
        """Returns the features of a record batch as tensors: string[N] each."""
        tensors: dict[str, tf.Tensor] = self._adapter.ToBatchTensors(batch, produce_eager_tensors=True)
        return tensors
