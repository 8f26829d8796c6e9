"""Runs GoldenGen: writes the golden test set as examples.

ExampleGen removes rows with these sources from train and eval.
"""

from __future__ import annotations

from collections import Counter

from bitext.components import artifacts
from bitext.components.artifacts.rejects import Summary
from bitext.components.component import Context
from bitext.components.example_gen import GOLDEN_SPLIT, Parameters, alignment, out_of_step
from bitext.components.example_gen.filters import filter_rows
from bitext.components.example_gen.rejecting import PackedRejects, in_order, pack_rejects, rejected_rows
from bitext.components.example_gen.sources import find_source_files, read_rows
from bitext.components.example_gen.writing import LINE, examples_of, take
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
    rejected: list[PackedRejects] = []
    reasons: Counter[str] = Counter()
    rows = examples_written = 0
    suspicious: Counter[str] = Counter()
    files = find_source_files(parameters, {GOLDEN_SPLIT: parameters.golden})
    examples.split(GOLDEN_SPLIT).mkdir()
    with tfrecord.example_writer(examples.shard(GOLDEN_SPLIT)) as write:
        for file in files:
            measures = []
            for block in read_rows(file, parameters):
                filtered = filter_rows(block, parameters)
                rows += len(block.line)
                if block_rejects := rejected_rows(file, block, filtered):
                    rejected.append(pack_rejects(file.index, block_rejects))
                    reasons.update(row.reason for row in block_rejects)
                accepted = filtered.accepted()
                groups = alignment.measure(block.line, filtered.source, filtered.target, filtered.reason == 0)
                measures.append(out_of_step.pack_groups(groups))
                columns = {LINE: block.line, "source": filtered.source, "target": filtered.target}
                write(examples_of(file, {name: take(column, accepted) for name, column in columns.items()}))
                examples_written += len(accepted)
            if measures:
                suspicious += out_of_step.count((file.index, measures), files)
    if not examples_written:
        names = ", ".join(map(path_text, parameters.golden.patterns()))
        raise DataError(
            f"no row of the golden set can be used: {names}",
            "name a file with sentence pairs, of the same format as the corpus, in example_gen.golden",
        )
    out_of_step.check(suspicious, rows, parameters.max_out_of_step_share, context)
    rejects.write_rows(in_order(rejected, files))
    number = sum(reasons.values())
    rejects.write_summary(
        Summary(rows=rows, accepted=examples_written, rejected=number, reasons=dict(reasons))
    )
    examples.properties[GOLDEN_SPLIT] = examples_written
    context.say(f"{examples_written:,} pairs" + (f", {number:,} rows rejected" if number else ""))
