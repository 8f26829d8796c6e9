"""Runs RequestStatistics: TFDV statistics of the requests to a served model, from its log.

The output holds lengths and shares of derived features, and no text of a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import msgspec
import pyarrow as pa

from bitext.components import artifacts
from bitext.components.artifacts.statistics import SERVING_SPLIT
from bitext.components.component import Context
from bitext.components.shared import reading
from bitext.components.shared.errors import DataError
from bitext.components.shared.strings import blank_rows
from bitext.components.statistics_gen import RequestParameters
from bitext.components.statistics_gen.combining import CombineInOrder, Summarizer
from bitext.components.statistics_gen.executor import as_lists
from bitext.schemas import features

BLOCK_BYTES = 1 << 20
MAX_DAMAGED_SHARE = 0.5
"""A file with a larger share of damaged lines is not accepted as a log of requests."""


class Request(msgspec.Struct):
    """A line of a `.jsonl` file. Other fields are ignored."""

    text: str


class LineCounts(msgspec.Struct):
    """The lines of one file.

    Attributes:
      path: the file.
      lines: lines that are not empty.
      damaged: lines that cannot be read.
      first_damaged: number of the first damaged line, from 1.
      reason: why this line cannot be read.
    """

    path: str
    lines: int = 0
    damaged: int = 0
    first_damaged: int = 0
    reason: str = ""


def run(parameters: RequestParameters, context: Context, *, statistics: artifacts.ExampleStatistics) -> None:
    """Writes the statistics of the split `serving`: the derived features of the source text of each request.

    Raises:
      DataError: a pattern matches no file, a file cannot be read, or most lines of a file are damaged.
    """
    files = [
        path
        for pattern in parameters.files
        for path in reading.find_files(pattern, "correct the path in request_log.files")
    ]
    summarizer = Summarizer()
    with context.beam_pipeline() as pipeline:
        read = (
            pipeline
            | "Files" >> beam.Create(list(enumerate(dict.fromkeys(files))))
            | "Read" >> beam.ParDo(_Read(summarizer)).with_outputs("counts", main="partial")
        )
        _ = (
            read.partial
            | "Combine" >> CombineInOrder(summarizer)
            | "Write" >> beam.Map(statistics.write, SERVING_SPLIT)
        )
        _ = (
            read.counts
            | "Gather" >> beam.CombineGlobally(_gather)
            | "WriteCounts" >> beam.Map(statistics.write_result)
        )
    for counts in sorted(statistics.take_result(list[LineCounts]), key=lambda counts: counts.path):
        _check(counts, context)
    [dataset] = statistics.load(SERVING_SPLIT).datasets
    statistics.properties[SERVING_SPLIT] = int(dataset.num_examples)
    context.say(f"{len(dataset.features)} features of {dataset.num_examples:,} requests")


def _check(counts: LineCounts, context: Context) -> None:
    """Prints how many lines of a file are damaged.

    Raises:
      DataError: most lines of the file are damaged.
    """
    if not counts.damaged:
        return
    message = (
        f"{counts.path}: {counts.damaged:,} of {counts.lines:,} lines are damaged,"
        f" the first of them line {counts.first_damaged}: {counts.reason}"
    )
    if counts.damaged > MAX_DAMAGED_SHARE * counts.lines:
        raise DataError(
            message,
            "name a log of requests in request_log.files: one text a line or, if its name ends in .jsonl, one"
            ' JSON object a line: {"text": "Where is the station?"}',
        )
    context.say(message)


class _Read(beam.DoFn):
    """(index of a file, path) -> (index, partial statistics of derived features).

    The file's LineCounts go to the side output `counts`.
    """

    def __init__(self, summarizer: Summarizer):
        self._summarizer = summarizer

    def process(self, file: tuple[int, str]) -> Iterator[Any]:
        index, path = file
        counts = LineCounts(path)
        yield index, self._summarizer.of_rows(map(_derived, read_texts(path, counts)))
        yield beam.pvalue.TaggedOutput("counts", msgspec.to_builtins(counts))


def _derived(texts: list[str]) -> pa.RecordBatch:
    derived = features.of_side("source", pa.array(texts, pa.string()))
    return pa.RecordBatch.from_arrays([as_lists(a) for a in derived.values()], list(derived))


class _LineTooLongError(Exception):
    """A line is longer than any request."""


def read_texts(path: str, counts: LineCounts) -> Iterator[list[str]]:
    """The texts of the requests in one file, in blocks that are not empty.

    Blank texts are left out: the model is not asked about them.

    Args:
      path: the file.
      counts: counts every line that is read.

    Raises:
      DataError: the file cannot be read.
    """
    is_json = _without_compression_ending(path).endswith(".jsonl")
    number = 0
    for block in reading.whole_lines(reading.read_chunks(path, BLOCK_BYTES)):
        texts = []
        for line in reading.split_lines(block):
            number += 1
            is_cut = reading.is_cut(line)
            line = line.removeprefix(reading.BYTE_ORDER_MARK if number == 1 else b"").strip()
            if not line:
                continue
            counts.lines += 1
            try:
                if is_cut:
                    raise _LineTooLongError(f"the line is longer than {reading.MAX_LINE_BYTES:,} bytes")
                texts.append(msgspec.json.decode(line, type=Request).text if is_json else line.decode())
            except (_LineTooLongError, msgspec.DecodeError, UnicodeDecodeError) as error:
                counts.damaged += 1
                if counts.damaged == 1:
                    counts.first_damaged, counts.reason = number, str(error)
        blank = blank_rows(pa.array(texts, pa.string())).tolist()
        if visible := [text for text, is_blank in zip(texts, blank, strict=True) if not is_blank]:
            yield visible


def _without_compression_ending(path: str) -> str:
    for ending in reading.ENDINGS:
        path = path.removesuffix(ending)
    return path


def _gather(counts: Iterable[Any]) -> list[Any]:
    """All counts in one list. Beam's combiner calls this with single counts and with lists of them."""
    gathered = []
    for count in counts:
        gathered += count if isinstance(count, list) else [count]
    return gathered
