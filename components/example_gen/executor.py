"""ExampleGen's work: one Beam pipeline from source files to TFRecords by split and the rejects beside them.

Its elements are blocks of thousands of rows as Arrow columns. Rows are grouped by (split, shard), which
depend on the normalized source alone, so that duplicates meet in one group and no source is in two splits.
A file is read and filtered by one worker: a very large corpus is best given as several files.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.example_gen import GOLDEN_SPLIT, SPLITS, Parameters
from bitext.components.example_gen.filters import REASONS, Filtered, filter_rows
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.rows import Rows
from bitext.components.example_gen.sources import find, read
from bitext.components.example_gen.splitting import assign_splits, first_of_duplicates, source_hashes
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError

COLUMNS = ("id", "source", "target")
SHOWN_REJECTS = 10
SHOWN_CHARACTERS = 120
REMEDIES = {
    "train": "give more rows, or lower eval_share and test_share",
    "eval": "give more rows, raise example_gen.eval_share, or name the files of each split under splits",
    "test": "give more rows, raise example_gen.test_share, or name the files of each split under splits",
}
Key = tuple[str, int]
Place = tuple[int, int]  # file index, first line: sorts blocks into corpus order
Counts = Counter[str]
Hashes = npt.NDArray[np.uint64]


def run(
    parameters: Parameters,
    context: Context,
    *,
    golden: artifacts.Examples | None = None,
    examples: artifacts.Examples,
    rejects: artifacts.Rejects,
) -> None:
    """Reads the corpus or a span of it, refuses bad rows, drops exact duplicates, and writes the splits.

    Raises:
      DataError: a file is missing or damaged, too many rows are refused, or a split of a corpus without
        spans is empty.
    """
    files = find(parameters)
    held_out = np.zeros(0, np.uint64) if golden is None else _golden_hashes(golden)
    for split in SPLITS:
        examples.split(split).mkdir()
    counts_file = context.temp_dir / "counts.json"
    with context.beam_pipeline() as pipeline:
        _build(pipeline, files, parameters, held_out, examples.path, rejects.path, counts_file)
    counts = Counter(json.loads(counts_file.read_text(encoding="utf-8")))
    _check_read(counts)
    summary = _summary(counts, parameters, files)
    (rejects.path / "summary.json").write_text(
        json.dumps(summary, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )
    _report(summary, context)
    _check_rejects(summary, rejects.path, parameters, context)
    span = parameters.span
    if span is None:
        _check_splits(summary)
    elif summary["rows"] == 0:
        context.say("warning: no rows")
    if span is not None and span.number is not None:
        examples.properties["span"] = span.number
        if span.version is not None:
            examples.properties["version"] = span.version
    examples.properties.update({split: summary["splits"][split] for split in SPLITS})
    examples.properties.update(rejected=summary["rejected"], duplicates=summary["duplicates"])
    rejects.properties.update(rows=summary["rows"], rejected=summary["rejected"])
    rejects.properties.update(summary["reasons"])


def _golden_hashes(golden: artifacts.Examples) -> Hashes:
    """Of the normalized sources of the golden set."""
    sources = [
        batch.column(batch.schema.names.index("source")).flatten().cast(pa.large_string()).cast(pa.string())
        for path in sorted(golden.split(GOLDEN_SPLIT).glob("*.gz"))
        for batch in tfrecord.read_record_batches(path)
    ]
    return np.unique(source_hashes(pa.concat_arrays(sources)))


def _build(
    pipeline: beam.Pipeline,
    files: list[SourceFile],
    parameters: Parameters,
    golden: Hashes,
    examples: Path,
    rejects: Path,
    counts_file: Path,
) -> None:
    """Files -> blocks -> filtered rows by (split, shard) -> TFRecords; rejects and counts on the side."""
    keys = [(split, shard) for split in SPLITS for shard in range(parameters.shards)]
    blocks = (
        pipeline
        | "Files" >> beam.Create(files)
        | "Read" >> beam.ParDo(_Read(parameters)).with_outputs("faults", main="blocks")
    )
    filtered = blocks.blocks | "Filter" >> beam.ParDo(_Filter(parameters, golden)).with_outputs(
        "rejects", "counts", "given", main="rows"
    )
    # Every file of every split is written, even for a key no row has.
    every_key = pipeline | "Keys" >> beam.Create([(key, None) for key in keys])
    written = (
        (filtered.rows, every_key)
        | "WithEmpty" >> beam.Flatten()
        | "BySplit" >> beam.GroupByKey()
        | "WriteExamples" >> beam.Map(_write_split, str(examples), parameters)
    )
    shared = filtered.given | "GatherGiven" >> beam.GroupByKey() | "Shared" >> beam.Map(_count_shared)
    start = pipeline | "RejectsKey" >> beam.Create([(None, None)])
    rejected = (
        (filtered.rejects, start)
        | "WithNoRejects" >> beam.Flatten()
        | "GatherRejects" >> beam.GroupByKey()
        | "WriteRejects" >> beam.Map(_write_rejects, folder=str(rejects))
    )
    _ = (
        (blocks.faults, filtered.counts, written, rejected, shared)
        | "AllCounts" >> beam.Flatten()
        | "Sum" >> beam.CombineGlobally(_sum)
        | "WriteCounts"
        >> beam.Map(lambda counts, path: Path(path).write_text(json.dumps(counts)), str(counts_file))
    )


def _sum(counts: Iterable[Counts]) -> Counts:
    total: Counts = Counter()
    for one in counts:
        total.update(one)
    return total


class _Read(beam.DoFn):
    """SourceFile -> (file, Rows); a file that cannot be read goes to `faults` as a count of its message."""

    def __init__(self, parameters: Parameters):
        self._parameters = parameters

    def process(self, file: SourceFile) -> Iterator[Any]:
        try:
            for rows in read(file, self._parameters):
                yield file, rows
        except DataError as error:
            yield beam.pvalue.TaggedOutput("faults", Counter({f"fault/{error}\n{error.remedy}": 1}))


class _Filter(beam.DoFn):
    """(file, Rows) -> ((split, shard), (place, packed rows)); the refused to `rejects`, sums to `counts`."""

    def __init__(self, parameters: Parameters, golden: Hashes):
        self._parameters, self._golden = parameters, golden

    def process(self, element: tuple[SourceFile, Rows]) -> Iterator[Any]:
        file, rows = element
        filtered = filter_rows(rows, self._parameters, file.split)
        place = (file.index, int(rows.line[0]))
        yield beam.pvalue.TaggedOutput("counts", Counter(rows=len(rows.line)))
        if filtered.details:
            yield beam.pvalue.TaggedOutput("rejects", (None, (place, rejected_rows(file, rows, filtered))))
        accepted = filtered.accepted()
        if len(accepted):
            yield from self._by_key(file, place, rows, filtered, accepted)

    def _by_key(
        self, file: SourceFile, place: Place, rows: Rows, filtered: Filtered, accepted: np.ndarray
    ) -> Iterator[Any]:
        p = self._parameters
        table = pa.RecordBatch.from_arrays(
            [
                pa.array([f"{file.label}:{line}" for line in rows.line[accepted].tolist()], pa.string()),
                filtered.source.take(pa.array(accepted)),
                filtered.target.take(pa.array(accepted)),
            ],
            list(COLUMNS),
        )
        hashes = source_hashes(table.column(1))
        shards = (hashes % np.uint64(p.shards)).astype(np.int64)
        if file.split is None:
            splits = assign_splits(hashes, p.eval_share, p.test_share)
        else:
            splits = np.full(len(accepted), SPLITS.index(file.split), np.int8)
            yield beam.pvalue.TaggedOutput("given", (None, (file.split, np.unique(hashes))))
        # Nothing is learnt from a golden source, nor is a checkpoint chosen by it.
        golden = np.isin(hashes, self._golden) & (splits != SPLITS.index("test"))
        yield beam.pvalue.TaggedOutput("counts", Counter(golden=int(golden.sum())))
        splits[golden] = -1
        for split, shard in sorted(set(zip(splits.tolist(), shards.tolist(), strict=True))):
            if split < 0:
                continue
            chosen = np.flatnonzero((splits == split) & (shards == shard))
            yield (SPLITS[split], shard), (place, _packed(table.take(pa.array(chosen))))


def rejected_rows(file: SourceFile, rows: Rows, filtered: Filtered) -> list[dict[str, Any]]:
    """What is written of every refused row of a block."""
    return [
        {
            "file": file.path,
            "line": int(rows.line[row]),
            "reason": REASONS[filtered.reason[row] - 1],
            "detail": filtered.details[row],
            "text": rows.text(row),
        }
        for row in sorted(filtered.details)
    ]


def _count_shared(group: tuple[None, Iterable[tuple[str, np.ndarray]]]) -> Counts:
    """How many sources of the given eval and test splits are in the given training split too."""
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


def _write_split(
    group: tuple[Key, Iterable[tuple[Place, bytes] | None]], folder: str, parameters: Parameters
) -> Counts:
    """Writes one file of one split in corpus order, each exact duplicate once where they are dropped."""
    (split, shard), blocks = group
    name = f"data_tfrecord-{shard:05d}-of-{parameters.shards:05d}.gz"
    path = Path(folder) / f"Split-{split}" / name
    columns = _in_order(block for block in blocks if block is not None)
    read = len(columns["id"])
    if parameters.drop_duplicates == "all" or split == "train":
        kept = first_of_duplicates(columns["source"], columns["target"])
        if len(kept) < read:
            columns = {name: array.take(pa.array(kept)) for name, array in columns.items()}
    tfrecord.write_examples(path, columns)
    written = len(columns["id"])
    if not read:
        return Counter()
    return Counter({f"split/{split}": written, "duplicates": read - written})


def _in_order(blocks: Iterable[tuple[Place, bytes]]) -> dict[str, pa.Array]:
    """The columns of packed rows in corpus order. A split may be large: no copy of it outlives this."""
    batches = [_unpacked(rows) for _, rows in sorted(blocks)]
    if not batches:
        return {name: pa.array([], pa.string()) for name in COLUMNS}
    return {name: pa.concat_arrays([batch.column(i) for batch in batches]) for i, name in enumerate(COLUMNS)}


def _packed(batch: pa.RecordBatch) -> bytes:
    """Rows on their way into a split: a runner may hold all of them at once, some several times."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_batch(batch)
    return cast(bytes, sink.getvalue().to_pybytes())


def _unpacked(rows: bytes) -> pa.RecordBatch:
    """What `_packed` was given."""
    with pa.ipc.open_stream(rows) as stream:
        return stream.read_next_batch()


def _write_rejects(
    group: tuple[None, Iterable[tuple[Place, list[dict[str, Any]]] | None]], folder: str
) -> Counts:
    """Writes `rejects.jsonl.gz` in corpus order and counts the reasons."""
    _, blocks = group
    placed = sorted((block for block in blocks if block is not None), key=lambda block: block[0])
    counts: Counts = Counter()
    with (
        (Path(folder) / "rejects.jsonl.gz").open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as out,
    ):
        for _place, rejected in placed:
            for reject in rejected:
                counts[f"reason/{reject['reason']}"] += 1
                out.write(json.dumps(reject, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    return counts


def _check_read(counts: Counts) -> None:
    """Raises the first (by message) of what kept a file from being read."""
    faults = sorted(name.removeprefix("fault/") for name in counts if name.startswith("fault/"))
    if faults:
        message, _, remedy = faults[0].partition("\n")
        raise DataError(message, remedy)


def _summary(counts: Counts, parameters: Parameters, files: list[SourceFile]) -> dict[str, Any]:
    """What `summary.json` holds. rows = accepted + duplicates + golden_removed + rejected."""
    reasons = {name: counts[f"reason/{name}"] for name in REASONS if counts[f"reason/{name}"]}
    splits = {split: counts[f"split/{split}"] for split in SPLITS}
    return {
        "rows": counts["rows"],
        "accepted": sum(splits.values()),
        "duplicates": counts["duplicates"],
        "golden_removed": counts["golden"],
        "rejected": sum(reasons.values()),
        "reasons": reasons,
        "splits": splits,
        "sources_also_in_train": {split: counts[f"shared/{split}"] for split in SPLITS[1:]},
        "max_reject_share": parameters.max_reject_share,
        "files": [path for file in files for path in (file.path, file.target_path) if path is not None],
    }


def _report(summary: dict[str, Any], context: Context) -> None:
    splits = ", ".join(f"{split} {count:,}" for split, count in summary["splits"].items())
    context.say(f"{summary['rows']:,} rows: {splits}; {summary['duplicates']:,} exact duplicates dropped")
    for split, count in summary["sources_also_in_train"].items():
        if count:
            context.say(
                f"warning: {count:,} sources of {split} are in train too; {split} scores will flatter"
            )
    if summary["golden_removed"]:
        context.say(f"{summary['golden_removed']:,} rows removed, whose sources are in the golden set")
    if summary["reasons"]:
        reasons = ", ".join(f"{name} {count:,}" for name, count in summary["reasons"].items())
        context.say(f"{summary['rejected']:,} rows rejected: {reasons}")


def _check_rejects(summary: dict[str, Any], folder: Path, parameters: Parameters, context: Context) -> None:
    if summary["rejected"] <= parameters.max_reject_share * summary["rows"]:
        return
    shown = []
    with gzip.open(folder / "rejects.jsonl.gz", "rt", encoding="utf-8") as lines:
        for _, line in zip(range(SHOWN_REJECTS), lines, strict=False):
            reject = json.loads(line)
            text = reject["text"][:SHOWN_CHARACTERS]
            shown.append(
                f"  {reject['file']}:{reject['line']}: {reject['reason']} ({reject['detail']}): {text!r}"
            )
    share = summary["rejected"] / summary["rows"]
    # The output folder goes with the failed attempt; the working folder stays.
    kept = shutil.copy(folder / "rejects.jsonl.gz", context.working_dir)
    raise DataError(
        f"{summary['rejected']:,} of {summary['rows']:,} rows ({share:.1%}) cannot be used, over "
        f"max_reject_share {parameters.max_reject_share:.1%}. All are in {kept}, the first:\n"
        + "\n".join(shown),
        "correct the file, its format or its columns in the configuration, or raise"
        " example_gen.max_reject_share",
    )


def _check_splits(summary: dict[str, Any]) -> None:
    if summary["rows"] == 0:
        raise DataError(f"no rows in {', '.join(summary['files'])}", "name files that hold bitext")
    for split, count in summary["splits"].items():
        if count == 0:
            accepted = summary["accepted"]
            raise DataError(
                f"the {split} split is empty: the corpus has {accepted} "
                f"usable example{'s' * (accepted != 1)}, "
                f"of which train {summary['splits']['train']}, eval {summary['splits']['eval']}, "
                f"test {summary['splits']['test']}",
                REMEDIES[split],
            )
