"""RequestStatistics's work: TFDV over the derived features of what a served model was asked.

Its output holds shares and lengths, and none of the texts: what people asked stays in the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import msgspec
import pyarrow as pa
import tensorflow_data_validation as tfdv

from bitext.components import artifacts
from bitext.components.artifacts.statistics import SERVING_SPLIT
from bitext.components.component import Context
from bitext.components.shared import reading
from bitext.components.shared.errors import DataError
from bitext.components.statistics_gen import RequestParameters
from bitext.components.statistics_gen.executor import as_lists
from bitext.schemas import features

BLOCK_BYTES = 1 << 20
MOST_DAMAGED = 0.5  # share of a file's lines; of more, the file is no log of requests


class Request(msgspec.Struct):
    """A line of a `.jsonl` file; other fields are passed over."""

    text: str


class Count(msgspec.Struct):
    """What was read of one file: lines that are not empty, those damaged, and the first of these."""

    path: str
    lines: int = 0
    damaged: int = 0
    first: int = 0
    reason: str = ""


def run(parameters: RequestParameters, context: Context, *, statistics: artifacts.ExampleStatistics) -> None:
    """Writes `Split-serving/FeatureStats.pb`: the source's derived features, a request an example.

    Raises:
      DataError: no file matches, one cannot be read, or most of one's lines are damaged.
    """
    files = [path for pattern in parameters.files for path in _match(pattern)]
    counts_file = context.temp_dir / "counts.json"
    with context.beam_pipeline() as pipeline:
        read = (
            pipeline
            | "Files" >> beam.Create(list(dict.fromkeys(files)), reshuffle=False)
            | "Read" >> beam.ParDo(_Read()).with_outputs("counts", main="batches")
        )
        _ = (
            read.batches
            | "Statistics" >> tfdv.GenerateStatistics(tfdv.StatsOptions())
            | "Write" >> beam.Map(statistics.write, SERVING_SPLIT)
        )
        _ = (
            read.counts
            | "Gather" >> beam.CombineGlobally(_gather)
            | "WriteCounts" >> beam.Map(_write, str(counts_file))
        )
    counts = msgspec.json.decode(counts_file.read_bytes(), type=list[Count])
    for count in sorted(counts, key=lambda count: count.path):
        _check(count, context)
    [dataset] = statistics.load(SERVING_SPLIT).datasets
    statistics.properties[SERVING_SPLIT] = int(dataset.num_examples)
    context.say(f"{len(dataset.features)} features of {dataset.num_examples:,} requests")


def _check(count: Count, context: Context) -> None:
    """Says how many lines are damaged; refuses a file that mostly is."""
    if not count.damaged:
        return
    told = f"{count.path}: {count.damaged:,} of {count.lines:,} lines are damaged"
    told += f", the first of them line {count.first}: {count.reason}"
    if count.damaged > MOST_DAMAGED * count.lines:
        raise DataError(
            told, "correct request_log.files: one text a line, or, in .jsonl files, one JSON object"
        )
    context.say(told)


def _match(pattern: str) -> list[str]:
    found = reading.find(pattern)
    if not found:
        raise DataError(f"no file matches {pattern}", "correct request_log.files")
    return found


class _Read(beam.DoFn):
    """A path -> record batches of derived features; the file's Count goes to `counts`."""

    def process(self, path: str) -> Iterator[Any]:
        count = Count(path)
        for texts in read_texts(path, count):
            derived = features.of_side("source", pa.array(texts, pa.string()))
            yield pa.RecordBatch.from_arrays([as_lists(a) for a in derived.values()], list(derived))
        yield beam.pvalue.TaggedOutput("counts", msgspec.to_builtins(count))


def read_texts(path: str, count: Count) -> Iterator[list[str]]:
    """The requests of one file, in blocks that are not empty; counts lines as it goes.

    Raises:
      DataError: the file cannot be read.
    """
    in_json = _without_ending(path).endswith(".jsonl")
    number = 0
    for block in reading.whole_lines(reading.chunks(path, BLOCK_BYTES)):
        texts = []
        for line in reading.split_lines(block):
            number += 1
            line = line.removeprefix(reading.BYTE_ORDER_MARK if number == 1 else b"").strip()
            if not line:
                continue
            count.lines += 1
            try:
                texts.append(msgspec.json.decode(line, type=Request).text if in_json else line.decode())
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                count.damaged += 1
                if count.damaged == 1:
                    count.first, count.reason = number, str(error)
        if texts:
            yield texts


def _without_ending(path: str) -> str:
    for ending in reading.ENDINGS:
        path = path.removesuffix(ending)
    return path


def _gather(counts: Iterable[Any]) -> list[Any]:
    """All counts in one list, however Beam's combining nests them."""
    gathered = []
    for count in counts:
        gathered += count if isinstance(count, list) else [count]
    return gathered


def _write(counts: list[Any], path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(counts, file)
