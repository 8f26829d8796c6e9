"""BulkInferrer's work: cut, translate what is missing through Beam, join."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference

from bitext.components.shared import errors, reading
from bitext.components.shared.files import flush, folder_digest, hold
from bitext.components.translation.translate import (
    LineTranslator,
    Search,
    Translation,
    faults_named,
    find_saved_model,
    format_lines,
    lines_of,
    open_input,
    open_output,
    refuse_folder,
    translate_lines,
)

METRICS = "bulk_inferrer"
"""The namespace of Beam's counters: `lines`, `blank_lines`, and those of RunInference, which count shards."""

log = logging.getLogger("bitext.bulk_inferrer")


@dataclasses.dataclass(frozen=True)
class Shard:
    """A stretch of whole lines of the input.

    Attributes:
      index: its place among the shards.
      offset, size: where it lies in the decompressed input, in bytes.
      first_line: the number of its first line, from 1.
      lines: how many it has.
      digest: SHA-256 of its bytes.
    """

    index: int
    offset: int
    size: int
    first_line: int
    lines: int
    digest: str

    @property
    def name(self) -> str:
        """Of the file that holds its translations."""
        return f"{self.index:06d}"


Asked = tuple[Shard, list[bytes]]
Answered = tuple[Shard, list[list[Translation]]]


def translate_file(
    model: Path,
    input: Path,
    output: Path,
    search: Search,
    beam_pipeline: Callable[[], beam.Pipeline],
    *,
    batch_size: int = 64,
    say: Callable[[str], None] = print,
) -> None:
    """Translates a file of any size through Beam: every line exactly once, in order, complete or not at all.

    What an attempt that was killed has translated is taken over. Memory does not grow with the input.

    Args:
      model: as for `find_saved_model`.
      input: a file with a sentence on each line, plain, .gz, .bz2 or .zst.
      output: the file to write: byte for byte what `bitext translate` writes.
      search: how to search.
      beam_pipeline: makes the Beam pipeline to run in.
      batch_size: most lines in one call of the model.
      say: prints one line for the person watching.

    Raises:
      errors.ConfigError: the output is a folder.
      errors.DataError: the model or the input cannot be read, or the input changes meanwhile.
      errors.LockedError: another command is translating into the same output.
      errors.EnvironmentFault: the output, or what lies beside it, cannot be written.
    """
    model, input, output = find_saved_model(model).absolute(), input.absolute(), output.absolute()
    refuse_folder(output)
    with open_input(input) as pieces, _sole_writer(output) as home:
        shards = list(cut(pieces))
        work = home / _key(shards, model, search)
        with faults_named(output):
            _clear(home, work)
        missing = [shard for shard in shards if not (work / shard.name).exists()]
        lines = sum(shard.lines for shard in shards)
        say(f"{lines:,} lines in {len(shards):,} shards, {len(missing):,} of them to translate")
        if missing:
            source = _plain(input, work)
            with beam_pipeline() as pipeline:
                _ = (
                    pipeline
                    | "Shards" >> beam.Create(missing)
                    | "Read" >> beam.Map(read, source)
                    | "Translate" >> RunInference(Translator(model, search, batch_size))
                    | "Write" >> beam.Map(write, work, search.nbest)
                )
        with open_output(output) as write_out:
            for shard in shards:
                write_out(_checked(shard, work, search.nbest))
        shutil.rmtree(work, ignore_errors=True)


class Translator(ModelHandler[Asked, Answered, LineTranslator]):
    """Has Beam load the model once a process, and show it a shard at a time.

    What Beam calls an example is a shard, and not a line: lines that a GroupByKey brings together again would
    all be in memory, and none of them on the disk before the last is translated. Within the shard
    `LineTranslator` makes batches of similar length.

    Args:
      model: a SavedModel.
      search: how to search.
      batch_size: most lines in one call of the model.
    """

    def __init__(self, model: Path, search: Search, batch_size: int):
        super().__init__()
        self._model, self._search, self._batch_size = model, search, batch_size

    def load_model(self) -> LineTranslator:
        return LineTranslator(self._model, self._search, self._batch_size)

    def run_inference(
        self, batch: Sequence[Asked], model: LineTranslator, inference_args: dict[str, Any] | None = None
    ) -> Iterator[Answered]:
        for (shard, _), results in zip(batch, translate_lines(model, (lines for _, lines in batch))):
            yield shard, results

    def batch_elements_kwargs(self) -> Mapping[str, int]:
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_num_bytes(self, batch: Sequence[Asked]) -> int:
        return sum(shard.size for shard, _ in batch)

    def get_metrics_namespace(self) -> str:
        return METRICS


def cut(pieces: Iterable[bytes]) -> Iterator[Shard]:
    """The shards of an input, in order: equal bytes are cut equally. Every line is in exactly one."""
    offset, line = 0, 1
    for index, block in enumerate(reading.whole_lines(pieces)):
        lines = len(reading.split_lines(block))
        yield Shard(index, offset, len(block), line, lines, hashlib.sha256(block).hexdigest())
        offset, line = offset + len(block), line + lines


def read(shard: Shard, source: Path) -> Asked:
    """The lines of a shard.

    Raises:
      errors.DataError: the file cannot be read, or is not what it was when it was cut.
    """
    try:
        with source.open("rb") as file:
            file.seek(shard.offset)
            block = file.read(shard.size)
    except OSError as error:
        raise errors.DataError(
            f"cannot read {source}: {error.strerror}", "put it where every worker sees it by this name"
        ) from error
    if hashlib.sha256(block).hexdigest() != shard.digest:
        raise errors.DataError(
            f"{source} has changed since the translation began: at line {shard.first_line} or later",
            "run the same command again: it translates the file as it is then",
        )
    lines = lines_of(block)
    Metrics.counter(METRICS, "lines").inc(len(lines))
    Metrics.counter(METRICS, "blank_lines").inc(sum(not line.strip() for line in lines))
    return shard, lines


def write(answered: Answered, work: Path, nbest: int) -> None:
    """Writes the translations of a shard; its file has its name when all of it is on the disk.

    Two workers may do so at once, as Beam may try a shard twice: each has a file of its own until then.

    Raises:
      errors.EnvironmentFault: it cannot be written.
    """
    shard, results = answered
    _write_whole(work / shard.name, [format_lines(results, shard.first_line, nbest).encode()])
    log.info("lines %s to %s", f"{shard.first_line:,}", f"{shard.first_line + shard.lines - 1:,}")


def _write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """Writes a file that is there whole or not at all, whatever happens to the machine."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with faults_named(path):
            with partial.open("wb") as file:
                file.writelines(pieces)
            flush(partial)
            partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _checked(shard: Shard, work: Path, nbest: int) -> bytes:
    """The translations of a shard.

    Raises:
      errors.DataError: they are missing, or those of more or of fewer lines.
    """
    path = work / shard.name
    data = path.read_bytes() if path.exists() else b""
    answered = (
        data.count(b"\n") if nbest == 1 else len({row.partition(b"\t")[0] for row in data.splitlines()})
    )
    if answered != shard.lines:
        raise errors.DataError(
            f"{path} has the translations of {answered:,} lines, and not of {shard.lines:,}",
            "delete it and run the same command again",
        )
    return data


def _plain(input: Path, work: Path) -> Path:
    """A file that holds the input as it is cut: the input itself, or a copy that is not compressed."""
    if not input.name.endswith(reading.ENDINGS):
        return input
    copy = work / "input"
    if not copy.exists():
        with open_input(input) as pieces:
            _write_whole(copy, pieces)
    return copy


def _key(shards: Sequence[Shard], model: Path, search: Search) -> str:
    """What the translations depend on, as a name. Not the batch size, which may have been too large."""
    parts = [[shard.digest for shard in shards], folder_digest(model), dataclasses.astuple(search)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _clear(home: Path, work: Path) -> None:
    """Makes the work folder, if it is not there; clears those of another input, model or search."""
    work.mkdir(exist_ok=True)
    for other in home.iterdir():
        if other != work:
            shutil.rmtree(other)


@contextlib.contextmanager
def _sole_writer(output: Path) -> Iterator[Path]:
    """The folder beside the output, made if need be; held until the process ends, however that is.

    Raises:
      errors.LockedError: another process holds it.
      errors.EnvironmentFault: it cannot be made.
    """
    home = output.with_name(f".{output.name}.bulk")
    with faults_named(output):
        home.mkdir(exist_ok=True)
        try:
            descriptor = hold(home)
        except (BlockingIOError, FileNotFoundError):  # another's, or just cleared by another
            raise errors.LockedError(
                f"another command is translating into {output}",
                "wait for it, or name another file with --output",
            ) from None
    try:
        yield home
    finally:
        with contextlib.suppress(OSError):  # not empty: the next attempt goes on with it
            home.rmdir()
        os.close(descriptor)
