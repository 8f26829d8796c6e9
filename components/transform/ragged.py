"""Reads and writes Arrow files of transformed batches, whose columns are lists of ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from bitext.components.transform.buckets import Ints


def read(file: Path) -> pa.Table:
    """Returns the batch in an Arrow file, memory-mapped."""
    with pa.memory_map(str(file)) as mapped:
        return pa.ipc.open_file(mapped).read_all()


def write(file: Path, table: pa.Table | pa.RecordBatch) -> None:
    """Writes an Arrow file."""
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write(table)


def column(table: pa.Table, name: str) -> tuple[Ints, Ints, Ints]:
    """Returns a list column as arrays.

    Returns:
      All values int64[V], the start of each row in the values int64[N], and the length of each row int64[N].
    """
    lists = pa.concat_arrays(table.column(name).chunks)
    offsets = lists.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    return lists.values.to_numpy(zero_copy_only=False), offsets[:-1], np.diff(offsets)
