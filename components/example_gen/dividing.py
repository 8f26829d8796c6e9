"""Divides large files into parts that several workers read. The rows are those of the whole file.

In a compressed file, the members are found first (`members`), then the lines are counted, in ranges that
workers share. A file for which this fails is read by one worker, which reports what is wrong with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import apache_beam as beam

from bitext.components.example_gen import Parameters
from bitext.components.example_gen.formats import FORMATS, base, parts
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.formats.parts import Counted
from bitext.components.example_gen.sources import with_remote_stamps
from bitext.components.shared import archives, members, reading
from bitext.components.shared.chunk_ranges import Chunks, LineTooLongError
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError
from bitext.components.shared.members import Members

RANGE_CHUNKS = 16
"""Number of chunks of `base.BLOCK_BYTES` in a part."""
COMPRESSED_BYTES = 1 << 24
"""Compressed bytes of a range that is searched for members."""
_SHOWN_FILES = 3


@dataclasses.dataclass(frozen=True)
class Search:
    """A range of the stored bytes of a file in which members are searched.

    Attributes:
      file: the file.
      side: 0; of the target of aligned files, 1.
      start: where the range begins.
      size: bytes of the whole file.
    """

    file: SourceFile
    side: int
    start: int
    size: int

    @property
    def path(self) -> str:
        """The path of the side."""
        return paths_of(self.file)[self.side]


@dataclasses.dataclass(frozen=True)
class Count:
    """A range of chunks of a file in which lines are counted. For `file` and `side`, see `Search`."""

    file: SourceFile
    side: int
    chunks: Chunks


Found: TypeAlias = tuple[Search, Members | None]
CountedRange: TypeAlias = tuple[Count, Counted | None]


def paths_of(file: SourceFile) -> list[str]:
    """The path of a file, and that of the file aligned with it."""
    return [path for path in (file.path, file.target_path) if path is not None]


def large_files(files: Sequence[SourceFile]) -> list[SourceFile]:
    """The files that are large enough to be divided."""
    sizes = parts.sizes([path for file in files for path in paths_of(file)])
    return [file for file in files if any(sizes[path] > parts.LARGE_BYTES for path in paths_of(file))]


def is_divisible(file: SourceFile, parameters: Parameters) -> bool:
    """Whether a large file may be divided: its format and compression allow it."""
    paths = paths_of(file)
    if any(map(archives.split_path, paths)) or not FORMATS[parameters.format].is_divisible(file, parameters):
        return False
    return all(members.may_have_members(path) for path in paths if path.endswith(reading.ENDINGS))


def divisible_files(
    files: Sequence[SourceFile], parameters: Parameters, say: Callable[[str], None]
) -> list[SourceFile]:
    """The large files that may be divided. Prints which others one worker has to read."""
    large = large_files(files)
    divisible = [file for file in large if is_divisible(file, parameters)]
    for line in _note([file for file in large if file not in divisible]):
        say(line)
    return [with_remote_stamps(file) for file in divisible]


def files_and_parts(
    pipeline: beam.Pipeline,
    files: Sequence[SourceFile],
    divisible: Sequence[SourceFile],
    parameters: Parameters,
) -> beam.PCollection:
    """The files, and the parts of divisible ones in their place."""
    indices = {file.index for file in divisible}
    whole = pipeline | "Files" >> beam.Create([file for file in files if file.index not in indices])
    if not divisible:
        return whole
    divided = pipeline | "LargeFiles" >> Divide(divisible, parameters)
    return (whole, divided) | "FilesAndParts" >> beam.Flatten()


def _note(files: Sequence[SourceFile]) -> Iterator[str]:
    if not files:
        return
    names = ", ".join(path_text(path) for file in files[:_SHOWN_FILES] for path in paths_of(file))
    more = f" and {len(files) - _SHOWN_FILES:,} more" if len(files) > _SHOWN_FILES else ""
    yield (
        f"one worker reads each of {names}{more}: workers share TSV, JSON Lines and aligned text in UTF-8,"
        " uncompressed or block-compressed (bgzip, or many streams of bzip2, xz or zstd)"
    )


def searches(file: SourceFile) -> list[Search]:
    """The ranges of a file to search for members; one of an uncompressed file."""
    found = []
    for side, path in enumerate(paths_of(file)):
        size = parts.size_of(path)
        step = COMPRESSED_BYTES if path.endswith(reading.ENDINGS) else max(1, size)
        found += [Search(file, side, start, size) for start in range(0, max(1, size), step)]
    return found


def search(task: Search) -> Found:
    """Finds the members in a range. An uncompressed file is one member."""
    if not task.path.endswith(reading.ENDINGS):
        return task, Members(0, task.size, task.size, ())
    stop = min(task.start + COMPRESSED_BYTES, task.size)
    return task, members.find(task.path, task.start, stop, base.BLOCK_BYTES)


def ranges(found: Iterable[Found]) -> list[Count]:
    """The ranges of chunks of a file to count the lines in; none: its members are not found.

    Args:
      found: what was found in all ranges of the file, in any order.
    """
    ordered = sorted(found, key=lambda each: (each[0].side, each[0].start))
    counts: list[Count] = []
    file = ordered[0][0].file
    for side in range(len(paths_of(file))):
        of_side = [(task, result) for task, result in ordered if task.side == side]
        joined = members.join([result for _, result in of_side], of_side[0][0].size)
        if joined is None:
            return []
        chunks = max(1, -(-joined.size // base.BLOCK_BYTES))
        for first in range(0, chunks, RANGE_CHUNKS):
            stop = min(first + RANGE_CHUNKS, chunks)
            near = _near(joined.checkpoints, first * base.BLOCK_BYTES, stop * base.BLOCK_BYTES)
            counts.append(Count(file, side, Chunks(first, stop, stop == chunks, near)))
    return counts


def _near(checkpoints: Sequence[tuple[int, int]], start: int, stop: int) -> tuple[tuple[int, int], ...]:
    """The checkpoints within a range of decompressed bytes, and those for two chunks before it."""
    first = start - 2 * base.BLOCK_BYTES
    before = [each for each in checkpoints if each[0] <= first][-1:]
    return (*before, *(each for each in checkpoints if first < each[0] < stop))


def count(task: Count, parameters: Parameters) -> CountedRange:
    """Counts the lines of a range; None: they cannot be counted."""
    try:
        path = paths_of(task.file)[task.side]
        return task, FORMATS[parameters.format].counter(task.file, parameters).count(path, task.chunks)
    except (DataError, LineTooLongError):
        return task, None


def divide(counted: Iterable[CountedRange], parameters: Parameters) -> list[SourceFile]:
    """The parts of a file; the file itself if it cannot be divided.

    Args:
      counted: what was counted in all its ranges, in any order.
      parameters: the parameters of ExampleGen.
    """
    ordered = sorted(counted, key=lambda each: (each[0].side, each[0].chunks.first))
    file = ordered[0][0].file
    sides: list[list[Counted]] = [[] for _ in paths_of(file)]
    for task, result in ordered:
        if result is None:
            return [file]
        sides[task.side].append(result)
    divided = FORMATS[parameters.format].counter(file, parameters).divide(sides)
    return [dataclasses.replace(file, part=part) for part in divided] or [file]


class Divide(beam.PTransform):  # type: ignore[misc]  # Beam is untyped
    """Pipeline -> the parts of files, and the files that cannot be divided.

    Args:
      files: large files that may be divisible.
      parameters: the parameters of ExampleGen.
    """

    def __init__(self, files: Sequence[SourceFile], parameters: Parameters) -> None:
        super().__init__()
        self._files, self._parameters = files, parameters

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Searches, counts and divides."""
        tasks = [task for file in self._files for task in searches(file)]
        planned = (
            pipeline
            | "Searches" >> beam.Create(tasks)
            | "Search" >> beam.Map(search)
            | "ByFile" >> beam.Map(lambda found: (found[0].file.index, found))
            | "GatherFound" >> beam.GroupByKey()
            | "Ranges" >> beam.ParDo(_Ranges()).with_outputs("whole", main="ranges")
        )
        divided = (
            planned.ranges
            | "SpreadRanges" >> beam.Reshuffle()
            | "Count" >> beam.Map(count, self._parameters)
            | "CountsByFile" >> beam.Map(lambda counted: (counted[0].file.index, counted))
            | "GatherCounts" >> beam.GroupByKey()
            | "Divide" >> beam.FlatMap(lambda group, given: divide(group[1], given), self._parameters)
        )
        return (divided, planned.whole) | "Parts" >> beam.Flatten() | "SpreadParts" >> beam.Reshuffle()


class _Ranges(beam.DoFn):  # type: ignore[misc]  # Beam is untyped
    """(index of a file, what was found) -> `Count` tasks, or the file in the side output `whole`."""

    def process(self, group: tuple[int, Iterable[Found]]) -> Iterator[Any]:
        found = list(group[1])
        if tasks := ranges(found):
            yield from tasks
        else:
            yield beam.pvalue.TaggedOutput("whole", found[0][0].file)
