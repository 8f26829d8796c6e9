"""Runs GoldenGen: writes the golden set and the named test sets as examples.

ExampleGen removes rows with these sources from train and eval.
"""

from __future__ import annotations

from collections import Counter

from bitext.components import artifacts
from bitext.components.artifacts.rejects import Reject, Summary
from bitext.components.component import Context
from bitext.components.example_gen import (
    GOLDEN_SPLIT,
    GoldenParameters,
    PartParameters,
    alignment,
    out_of_step,
    places,
    preview,
)
from bitext.components.example_gen.cleaning import Cleaning
from bitext.components.example_gen.cleaning.fixes import FIXES
from bitext.components.example_gen.files import Files
from bitext.components.example_gen.filters import filter_rows
from bitext.components.example_gen.rejecting import PackedRejects, in_order, pack_rejects, rejected_rows
from bitext.components.example_gen.sources import find_source_files, read_rows
from bitext.components.example_gen.summary import uncorrected, warn_of_uncorrected
from bitext.components.example_gen.writing import LINE, examples_of, take
from bitext.components.shared import directions, tfrecord
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError


def run(
    parameters: GoldenParameters,
    context: Context,
    *,
    examples: artifacts.Examples,
    rejects: artifacts.Rejects,
) -> None:
    """Writes `Split-golden` and a split for each test set: every usable row in order, duplicates included.

    Raises:
      DataError: a file is missing or damaged, no row of a set is usable, or too many rows look out of step.
    """
    summaries: list[Summary] = []
    rejected: list[Reject] = []
    for name, (options, files) in parameters.sets().items():
        with places.keys_of(options.corpus, places.TEST_SETS):
            summary, rejects_of_set = _read_set(name, options, files, parameters.cleaning, context, examples)
        summaries.append(summary)
        rejected += rejects_of_set
    rejects.write_rows(iter(rejected))
    rejects.write_summary(Summary.total(summaries))


def _read_set(
    name: str,
    parameters: PartParameters,
    given: Files,
    cleaning: Cleaning,
    context: Context,
    examples: artifacts.Examples,
) -> tuple[Summary, list[Reject]]:
    """Writes the split of a set. Returns the counts and the rejected rows in order.

    The set stays as it is; it is compared with `cleaning`, that of the training rows.
    """
    rejected: list[PackedRejects] = []
    reasons: Counter[str] = Counter()
    rows = examples_written = 0
    suspicious: Counter[str] = Counter()
    as_published: Counter[str] = Counter()
    files = find_source_files(parameters, {name: given})
    examples.split(name).mkdir()
    with tfrecord.example_writer(examples.shard(name)) as write:
        for file in files:
            measures = []
            for block in read_rows(file, parameters):
                filtered = filter_rows(block, parameters)
                rows += len(block.line)
                as_published += uncorrected(name, filtered, cleaning)
                if block_rejects := rejected_rows(file, block, filtered):
                    rejected.append(pack_rejects(file.index, block_rejects))
                    reasons.update(row.reason for row in block_rejects)
                accepted = filtered.accepted()
                groups = alignment.measure(block.line, filtered.source, filtered.target, filtered.usable())
                measures.append(out_of_step.pack_groups(groups))
                columns = {LINE: block.line, "source": filtered.source, "target": filtered.target}
                write(examples_of(file, {name: take(column, accepted) for name, column in columns.items()}))
                examples_written += len(accepted)
            if measures:
                suspicious += out_of_step.count(((file.index, 0), measures), files)
    if not examples_written:
        names = ", ".join(map(path_text, given.patterns()))
        key = "example_gen.golden" if name == GOLDEN_SPLIT else "evaluator.test_sets"
        raise DataError(
            f"no row of the {_label(name)} can be used: {names}",
            f"name a file with sentence pairs, of the format that is set, in {key}",
        )
    out_of_step.check(suspicious, rows, parameters.max_out_of_step_share, context)
    warn_of_uncorrected(as_published, {name: f"the {_label(name)}"}, FIXES, context)
    number = sum(reasons.values())
    examples.properties[name] = examples_written
    direction = preview.look(examples, {name: examples_written}).direction
    examples.properties.update(directions.properties_of(direction, f"{name}_"))
    prefix = "" if name == GOLDEN_SPLIT else f"{name}: "
    context.say(f"{prefix}{examples_written:,} pairs" + (f", {number:,} rows rejected" if number else ""))
    summary = Summary(rows=rows, accepted=examples_written, rejected=number, reasons=dict(reasons))
    return summary, list(in_order(rejected, files))


def _label(name: str) -> str:
    return "golden set" if name == GOLDEN_SPLIT else f"test set {name}"
