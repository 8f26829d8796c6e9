"""Runs GoldenGen: writes the golden test set as examples.

ExampleGen removes rows with these sources from train and eval.
"""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from bitext.components import artifacts
from bitext.components.artifacts.rejects import Summary
from bitext.components.component import Context
from bitext.components.example_gen import GOLDEN_SPLIT, Parameters, alignment, out_of_step
from bitext.components.example_gen.executor import rejected_rows
from bitext.components.example_gen.filters import filter_rows
from bitext.components.example_gen.sources import find_source_files, read_rows
from bitext.components.example_gen.writing import COLUMNS
from bitext.components.shared import tfrecord
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError


def run(
    parameters: Parameters, context: Context, *, examples: artifacts.Examples, rejects: artifacts.Rejects
) -> None:
    """Writes `Split-golden`: every usable row in the order of the files, duplicates included.

    Raises:
      DataError: a file is missing or damaged, no row is usable, or too many rows look out of step.
    """
    blocks: list[pa.Table] = []
    rejected = []
    rows = 0
    suspicious: Counter[str] = Counter()
    files = find_source_files(parameters, {GOLDEN_SPLIT: parameters.golden})
    for file in files:
        measures = []
        for block in read_rows(file, parameters):
            filtered = filter_rows(block, parameters)
            rows += len(block.line)
            rejected += rejected_rows(file, block, filtered)
            measures.append(
                alignment.measure(block.line, filtered.source, filtered.target, filtered.reason == 0)
            )
            accepted = filtered.accepted()
            ids = [f"{file.label}:{line}" for line in block.line[accepted].tolist()]
            sides = [side.take(pa.array(accepted)) for side in (filtered.source, filtered.target)]
            blocks.append(pa.table([pa.array(ids, pa.string()), *sides], list(COLUMNS)))
        if measures:
            suspicious += out_of_step.count((file.index, measures), files)
    examples_written = sum(block.num_rows for block in blocks)
    if not examples_written:
        names = ", ".join(map(path_text, parameters.golden.patterns()))
        raise DataError(
            f"no row of the golden set can be used: {names}",
            "name a file with sentence pairs, of the same format as the corpus, in example_gen.golden",
        )
    out_of_step.check(suspicious, rows, parameters.max_out_of_step_share, context)
    table = pa.concat_tables(blocks).combine_chunks()
    examples.split(GOLDEN_SPLIT).mkdir()
    columns = {name: pa.concat_arrays(table.column(name).chunks) for name in table.column_names}
    tfrecord.write_examples(examples.shard(GOLDEN_SPLIT), columns)
    rejects.write_rows(rejected)
    reasons = dict(Counter(row.reason for row in rejected))
    rejects.write_summary(
        Summary(rows=rows, accepted=examples_written, rejected=len(rejected), reasons=reasons)
    )
    examples.properties[GOLDEN_SPLIT] = examples_written
    context.say(f"{examples_written:,} pairs" + (f", {len(rejected):,} rows rejected" if rejected else ""))
