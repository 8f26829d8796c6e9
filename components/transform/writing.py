"""Turns text into training files in Beam. A worker holds a block of rows, or the rows of one file.

The padded shapes depend on the lengths of all examples, so the rows wait, packed, until these are counted::

    files -> Apply -> packed rows by bucket -> Assign -> packed rows by file -> WriteFile
                   -> lengths -> Plan ---------^
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_metadata.proto.v0 import schema_pb2

from bitext.components.artifacts import TransformedExamples
from bitext.components.shared import spilling, tfrecord
from bitext.components.shared.files import gzip_writer
from bitext.components.shared.spilling import Storage, Stored
from bitext.components.shared.tf_example import serialize
from bitext.components.transform import Parameters, plan
from bitext.components.transform.applying import LENGTHS, Apply, TransformFunction
from bitext.components.transform.batches import File
from bitext.components.transform.lengths import LengthCounts, SumLengths, Totals, to_json
from bitext.components.transform.plan import FileKey, FileLimits, Plan
from bitext.components.transform.rows import Rows

_PADDED_VALUES = 1 << 22
"""Padded ids that are serialized at a time."""
_WRITTEN = "written/"


def build(
    pipeline: beam.Pipeline,
    files: Mapping[str, Sequence[File]],
    function: TransformFunction,
    parameters: Parameters,
    schema: schema_pb2.Schema,
    output: TransformedExamples,
    spill_dir: Path | None,
) -> None:
    """Adds the steps that write the files of all splits, and the result that `result` reads.

    Args:
      pipeline: the pipeline.
      files: the files of each split.
      function: the transform graph.
      parameters: Transform's parameters.
      schema: the schema of the features.
      output: the artifact to write.
      spill_dir: see `Context`.
    """
    applied = (
        pipeline
        | "List" >> beam.Create([(split, file) for split, of_split in files.items() for file in of_split])
        | "Spread" >> beam.Reshuffle()
        | "Apply"
        >> beam.ParDo(Apply(function, parameters, schema, spill_dir)).with_outputs(LENGTHS, main="rows")
    )
    # Every split has counts, even if it has no example.
    nothing = LengthCounts.sum([])
    no_rows = pipeline | "ListSplits" >> beam.Create([(split, nothing) for split in files])
    lengths = (applied[LENGTHS], no_rows) | "WithoutRows" >> beam.Flatten()
    plans = (
        lengths
        | "SumLengths" >> beam.CombineGlobally(SumLengths())
        | "Plan" >> beam.Map(_plan, parameters, plan.LIMITS)
    )
    by_file = applied.rows | "Assign" >> beam.ParDo(Assign(spill_dir), beam.pvalue.AsSingleton(plans))
    # Every file of the plan is written, even if no row gets into it.
    every_file = plans | "ListFiles" >> beam.FlatMap(lambda plan: [(key, None) for key in plan.files()])
    written = (
        (by_file, every_file)
        | "WithEmpty" >> beam.Flatten()
        | "ByFile" >> beam.GroupByKey()
        | "WriteFiles" >> beam.ParDo(WriteFile(output), beam.pvalue.AsSingleton(plans))
    )
    _ = (
        (lengths, written)
        | "Counts" >> beam.Flatten()
        | "SumCounts" >> beam.CombineGlobally(SumLengths())
        | "WriteResult" >> beam.Map(lambda totals, output: output.write_result(to_json(totals)), output)
    )


def result(output: TransformedExamples) -> tuple[Totals, Totals]:
    """Returns what a pipeline of `build` has counted.

    Returns:
      By split, the lengths of all examples before truncation; and the padded shapes of all that were written.
    """
    totals = {
        name: LengthCounts.from_lists(columns)
        for name, columns in output.take_result(dict[str, list[list[int]]]).items()
    }
    written = {name.removeprefix(_WRITTEN): c for name, c in totals.items() if name.startswith(_WRITTEN)}
    return {name: c for name, c in totals.items() if not name.startswith(_WRITTEN)}, written


def _plan(totals: Totals, parameters: Parameters, limits: FileLimits) -> Plan:
    return Plan.of(parameters, totals, limits)


class Assign(beam.DoFn):
    """((split, bucket), where rows are) -> (file, where rows are)."""

    def __init__(self, spill_dir: Path | None):
        self._storage = Storage(spill_dir)

    def process(
        self, element: tuple[tuple[str, int], Stored], plans: Plan
    ) -> Iterator[tuple[FileKey, Stored]]:
        (split, bucket), stored = element
        shape = plans.shapes[bucket]
        files = plans.splits[split][shape].files
        if files == 1:
            yield (split, *shape, 0), stored
            return
        rows = Rows.unpacked(spilling.read(stored))
        of_row = plan.file_numbers(rows.number, files)
        for number in np.unique(of_row).tolist():
            packed = rows.take(np.flatnonzero(of_row == number)).packed()
            yield (split, *shape, number), self._storage.write(packed)


class WriteFile(beam.DoFn):
    """(file, where its rows are) -> (name of a total, the padded shape of all rows that were written)."""

    def __init__(self, output: TransformedExamples):
        self._output = output

    def process(
        self, group: tuple[FileKey, Iterable[Stored | None]], plans: Plan
    ) -> Iterator[tuple[str, LengthCounts]]:
        (split, source, target, number), stored = group
        blocks = [Rows.unpacked(spilling.read(block)) for block in stored if block is not None]
        shape = (source, target)
        path = self._output.bucket_file(split, shape, number, plans.splits[split][shape].files)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = Rows.concatenated(blocks) if blocks else None
        with gzip_writer(path, tfrecord.COMPRESSION_LEVEL) as file:
            if rows is not None:
                order = plan.order(split, rows.number)
                size = max(1, min(tfrecord.BLOCK_ROWS, _PADDED_VALUES // sum(shape)))
                for start in range(0, len(order), size):
                    columns = _padded(rows.take(order[start : start + size]), shape)
                    file.write(tfrecord.frame(serialize(columns)))
        count = np.array([0 if rows is None else len(rows)])
        yield f"{_WRITTEN}{split}", LengthCounts.of(np.array([source]), np.array([target]), count)


def _padded(rows: Rows, shape: tuple[int, int]) -> dict[str, Any]:
    """Returns the features of rows: binary[N], or int64[N, width]."""
    return {
        "id": rows.id,
        "source_ids": rows.source.padded(shape[0]),
        "source_length": rows.source.lengths[:, None],
        "target_ids": rows.target.padded(shape[1]),
        "target_length": rows.target.lengths[:, None],
    }
