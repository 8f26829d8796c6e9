"""Runs ExampleGen: a Beam pipeline from the source files to TFRecords by split, with a file of rejects.

Its elements are blocks of thousands of rows as Arrow columns, which are packed while they are grouped. Rows
are grouped by split and shard, which depend on the normalized source alone: duplicates meet in one group, and
no source is in two splits.

The length ratio is checked when a split is written, because the corpus's ratio is known only after all rows
are read.

On an engine, workers share the reading of a large file if its format allows it (`dividing`). In this process,
and otherwise, a file is read from beginning to end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bitext.components import artifacts
from bitext.components.artifacts.rejects import Reject
from bitext.components.component import Context
from bitext.components.example_gen import (
    GOLDEN_SPLIT,
    SPLITS,
    Parameters,
    alignment,
    as_part,
    dividing,
    out_of_step,
    places,
    preview,
    sharding,
    summary,
)
from bitext.components.example_gen.cleaning import corpus_rules
from bitext.components.example_gen.filters import Filtered, filter_rows
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.rejecting import (
    Place,
    StoredRejects,
    in_order,
    pack_rejects,
    rejected_rows,
)
from bitext.components.example_gen.rows import Rows
from bitext.components.example_gen.sources import (
    doubtful_headers,
    find_source_files,
    read_rows,
    recognized_formats,
)
from bitext.components.example_gen.splitting import assign_splits
from bitext.components.example_gen.summary import Counts
from bitext.components.example_gen.writing import HASH, LINE, OCTAVES, WriteSplit, take
from bitext.components.shared import directions, progress, tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.shared.packing import Columns, pack
from bitext.components.shared.spilling import Storage
from bitext.components.shared.strings import with_tag
from bitext.components.text import length_ratios
from bitext.components.text.hashing import near_hashes, source_hashes

Hashes: TypeAlias = npt.NDArray[np.uint64]


def run(
    parameters: Parameters,
    context: Context,
    *,
    golden: artifacts.Examples | None = None,
    examples: artifacts.Examples,
    rejects: artifacts.Rejects,
) -> None:
    """Reads a corpus or one span of it, rejects unusable rows, drops duplicates, and writes the splits.

    Args:
      parameters: the parameters of ExampleGen.
      context: the folders, the Beam pipeline and the output of the run.
      golden: the golden test set. Rows whose source is in it are removed from train and eval.
      examples: receives the examples.
      rejects: receives the rejected rows and the counts.

    Raises:
      DataError: a file is missing or damaged, too many rows are rejected or look out of step, or a split of
        the only corpus, which has no spans, is empty.
    """
    with places.keys_of(as_part(parameters).corpus, places.CORPORA):
        _run(parameters, context, golden, examples, rejects)


def _run(
    parameters: Parameters,
    context: Context,
    golden: artifacts.Examples | None,
    examples: artifacts.Examples,
    rejects: artifacts.Rejects,
) -> None:
    files = find_source_files(parameters)
    parameters = sharding.with_number(parameters, files, context.say)
    for line in (*doubtful_headers(files, parameters), *recognized_formats(files, parameters)):
        context.say(line)
    is_shared = context.spill_dir is None
    divisible = dividing.divisible_files(files, parameters, context.say) if is_shared else []
    golden_hashes = np.zeros(0, np.uint64) if golden is None else _source_hashes_of(golden)
    with context.progress("rows"), context.beam_pipeline() as pipeline:
        _build(pipeline, files, divisible, parameters, golden_hashes, examples, rejects, context.spill_dir)
    counts = Counter(rejects.take_result(dict[str, int]))
    summary.check_files_were_read(counts)
    totals = summary.summarize(counts, parameters, files)
    rejects.write_summary(totals)
    summary.report(totals, context)
    summary.warn_of_uncorrected(counts, {split: split for split in SPLITS[1:]}, totals.fixed, context)
    summary.warn_of_files_without_rows(counts, files, context)
    out_of_step.check(counts, totals.rows, parameters.max_out_of_step_share, context)
    summary.check_rejects(totals, rejects, parameters, context)
    part = as_part(parameters)
    span = part.span
    seen = preview.look(examples, totals.splits, preview.SHOWN_PAIRS if span is None else 1)
    for line in (*seen.lines, *_other_directions(seen.direction, golden)):
        context.say(line)
    examples.properties.update(directions.properties_of(seen.direction))
    if span is None and not part.corpus:
        summary.check_splits(totals)
    elif totals.rows == 0:
        context.say("warning: no rows")
    if part.corpus:
        examples.properties["corpus"] = part.corpus
    if span is not None and span.number is not None:
        examples.properties["span"] = span.number
        if span.version is not None:
            examples.properties["version"] = span.version
    examples.properties.update(totals.splits)
    examples.properties.update(rejected=totals.rejected, duplicates=totals.duplicates)
    rejects.properties.update(rows=totals.rows, rejected=totals.rejected)
    rejects.properties.update(totals.reasons)


def _other_directions(own: directions.Direction, golden: artifacts.Examples | None) -> Iterator[str]:
    """Yields a warning for each test set with other languages than the corpus."""
    if golden is None or not all(own):
        return
    for name in golden.splits():
        label = "the golden set" if name == GOLDEN_SPLIT else f"test set {name}"
        if line := directions.warning(label, directions.of(golden.properties, f"{name}_"), own, "the corpus"):
            yield f"warning: {line}"


def _source_hashes_of(golden: artifacts.Examples) -> Hashes:
    """The distinct hashes of the sources of the golden set and the test sets: uint64[N]."""
    hashes = np.zeros(0, np.uint64)
    for path in (path for split in golden.splits() for path in golden.files(split)):
        for batch in tfrecord.read_record_batches(path):
            sources = tfrecord.string_column(batch, "source", path)
            hashes = np.union1d(hashes, source_hashes(sources))
    return hashes


def _build(
    pipeline: beam.Pipeline,
    files: list[SourceFile],
    divisible: list[SourceFile],
    parameters: Parameters,
    golden: Hashes,
    examples: artifacts.Examples,
    rejects: artifacts.Rejects,
    spill_dir: Path | None,
) -> None:
    """Adds all transforms: read, filter, group by split and shard, write, and sum all counts."""
    keys = [(split, shard) for split in SPLITS for shard in range(int(parameters.shards))]
    blocks = dividing.files_and_parts(pipeline, files, divisible, parameters) | "Read" >> beam.ParDo(
        _Read(parameters)
    ).with_outputs("faults", main="blocks")
    filtered = blocks.blocks | "Filter" >> beam.ParDo(_Filter(parameters, golden, spill_dir)).with_outputs(
        "rejects", "counts", "alignment", main="rows"
    )
    row_counts = filtered.counts | "SumRows" >> beam.CombineGlobally(_sum)
    # Every file is written, even if no row belongs in it.
    every_key = pipeline | "Keys" >> beam.Create([(key, None) for key in keys])
    written = (
        (filtered.rows, every_key)
        | "WithEmpty" >> beam.Flatten()
        | "BySplit" >> beam.GroupByKey()
        | "WriteExamples"
        >> beam.ParDo(
            WriteSplit(files, parameters, examples, spill_dir),
            row_counts=beam.pvalue.AsSingleton(row_counts),
        ).with_outputs("rejects", "given", main="counts")
    )
    shared_counts = written.given | "GatherGiven" >> beam.GroupByKey() | "Shared" >> beam.Map(_count_shared)
    alignment_counts = (
        filtered.alignment | "ByPart" >> beam.GroupByKey() | "Alignment" >> beam.Map(out_of_step.count, files)
    )
    no_rejects = pipeline | "RejectsKey" >> beam.Create([(None, None)])
    reason_counts = (
        (filtered.rejects, written.rejects, no_rejects)
        | "WithNoRejects" >> beam.Flatten()
        | "GatherRejects" >> beam.GroupByKey()
        | "WriteRejects" >> beam.Map(_write_rejects, files, rejects)
    )
    _ = (
        (blocks.faults, row_counts, written.counts, reason_counts, shared_counts, alignment_counts)
        | "AllCounts" >> beam.Flatten()
        | "Sum" >> beam.CombineGlobally(_sum)
        | "WriteCounts" >> beam.Map(rejects.write_result)
    )


def _sum(counts: Iterable[Counts]) -> Counts:
    total: Counts = Counter()
    for partial_counts in counts:
        total.update(partial_counts)
    return total


class _Read(beam.DoFn):
    """SourceFile -> (file, Rows). Counts files that cannot be read, and those without rows, in `faults`."""

    def __init__(self, parameters: Parameters):
        self._parameters = parameters

    def process(self, file: SourceFile) -> Iterator[Any]:
        has_rows = False
        try:
            for rows in read_rows(file, self._parameters):
                has_rows = True
                yield file, rows
        except DataError as error:
            yield beam.pvalue.TaggedOutput("faults", summary.fault(error, file))
            return
        if not has_rows:
            yield beam.pvalue.TaggedOutput("faults", summary.no_rows(file))


class _Filter(beam.DoFn):
    """(file, Rows) -> ((split, shard), (order, where the packed rows are)).

    Side outputs: `rejects`, where the packed rejected rows are; `counts`, of rows and of their length ratios;
    `alignment`, ((index of the file, number of its part), packed measures).
    """

    def __init__(self, parameters: Parameters, golden: Hashes, folder: Path | None):
        self._parameters, self._golden, self._storage = parameters, golden, Storage(folder)

    def process(self, element: tuple[SourceFile, Rows]) -> Iterator[Any]:
        file, rows = element
        # Eval and test splits that are given are published: only rows that cannot be used are rejected.
        cleaning = self._parameters.cleaning if file.split in (None, "train") else None
        filtered = filter_rows(rows, self._parameters, cleaning)
        order = (file.index, int(rows.line[0]))
        progress.count(len(rows.line))
        yield beam.pvalue.TaggedOutput("counts", Counter(rows=len(rows.line)))
        if rejected := rejected_rows(file, rows, filtered):
            place, packed = pack_rejects(file.index, rejected)
            yield beam.pvalue.TaggedOutput("rejects", (None, (place, self._storage.write(packed))))
        measures = alignment.measure(rows.line, filtered.source, filtered.target, filtered.usable())
        groups = out_of_step.pack_groups(measures)
        yield beam.pvalue.TaggedOutput("alignment", ((file.index, out_of_step.part_of(groups)), groups))
        accepted = filtered.accepted()
        yield beam.pvalue.TaggedOutput("counts", summary.fixed(filtered))
        if cleaning is None and file.split is not None:
            as_published = summary.uncorrected(file.split, filtered, self._parameters.cleaning)
            yield beam.pvalue.TaggedOutput("counts", as_published)
        if len(accepted):
            yield from self._by_split_and_shard(file, order, rows, filtered, accepted)

    def _by_split_and_shard(
        self, file: SourceFile, order: Place, rows: Rows, filtered: Filtered, accepted: np.ndarray
    ) -> Iterator[Any]:
        p = as_part(self._parameters)
        columns: Columns = {
            LINE: rows.line[accepted],
            "source": filtered.source.take(pa.array(accepted)),
            "target": filtered.target.take(pa.array(accepted)),
        }
        if file.split in (None, "train"):  # the length ratio is not checked in given eval and test splits
            octaves = length_ratios.log_ratios(columns["source"], columns["target"], p.ratio_from_characters)
            columns[OCTAVES] = octaves
            yield beam.pvalue.TaggedOutput("counts", length_ratios.histogram(octaves))
            codes = corpus_rules.code_rows(filtered.pair, p.cleaning)
            columns |= {name: values[accepted] for name, values in codes.items()}
            yield beam.pvalue.TaggedOutput("counts", corpus_rules.histogram(columns))
        hashes = source_hashes(columns["source"])
        shards = (self._shard_hashes(columns["source"], hashes) % np.uint64(int(p.shards))).astype(np.int64)
        if file.split is None:
            shares = (p.eval_share, p.test_share) if p.held_out else (0.0, 0.0)
            splits = assign_splits(hashes, *shares)
        else:
            splits = np.full(len(accepted), SPLITS.index(file.split), np.int8)
            columns[HASH] = hashes
        columns["source"] = with_tag(columns["source"], p.tag)
        # A source of the golden set is neither trained on nor used to choose a checkpoint.
        golden = np.isin(hashes, self._golden) & (splits != SPLITS.index("test"))
        yield beam.pvalue.TaggedOutput("counts", Counter(golden=int(golden.sum())))
        splits[golden] = -1
        for split, shard in sorted(set(zip(splits.tolist(), shards.tolist(), strict=True))):
            if split < 0:
                continue
            row_indices = np.flatnonzero((splits == split) & (shards == shard))
            part = {name: take(values, row_indices) for name, values in columns.items()}
            yield (SPLITS[split], shard), (order, self._storage.write(pack(part)))

    def _shard_hashes(self, sources: pa.Array, hashes: Hashes) -> Hashes:
        """What chooses the shard. Near-duplicates are compared within a shard, so they must meet in one."""
        p = self._parameters
        if int(p.shards) > 1 and p.cleaning.limit("near_duplicates"):
            return near_hashes(sources)
        return hashes


def _count_shared(group: tuple[int, Iterable[tuple[str, np.ndarray]]]) -> Counts:
    """Counts the distinct sources of the eval and test files that are also in the train files, of a shard."""
    by_split: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for split, hashes in group[1]:
        by_split[split].append(hashes)
    train = np.unique(np.concatenate([*by_split["train"], np.zeros(0, np.uint64)]))
    return Counter(
        {
            f"shared/{split}": int(np.isin(np.unique(np.concatenate(by_split[split])), train).sum())
            for split in SPLITS[1:]
            if by_split[split]
        }
    )


def _write_rejects(
    group: tuple[None, Iterable[StoredRejects | None]], files: list[SourceFile], rejects: artifacts.Rejects
) -> Counts:
    """Writes the rejected rows in the order of the corpus, and counts their reasons."""
    counts: Counts = Counter()

    def counted() -> Iterator[Reject]:
        for row in in_order([block for block in group[1] if block is not None], files):
            counts[f"reason/{row.reason}"] += 1
            yield row

    rejects.write_rows(counted())
    return counts
