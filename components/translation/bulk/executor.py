"""Divides an input into shards, translates the missing shards with Beam, and joins their translations."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference

from bitext.components.shared import errors, reading
from bitext.components.shared.faults import reporting_faults
from bitext.components.shared.files import atomic_writer, encode_json, folder_digest, open_locked
from bitext.components.text.normalization import is_blank
from bitext.components.translation.lines import check_blocks, lines_of, open_input
from bitext.components.translation.output import FILE_REMEDY, check_output_file, is_special, open_output
from bitext.components.translation.search import Search
from bitext.components.translation.sentences import (
    LongSentence,
    LongSentenceReport,
    TranslatedBlock,
    translate_blocks,
    warn_if_unmeasured,
)
from bitext.components.translation.translator import (
    LineTranslator,
    find_saved_model,
    format_lines,
)

METRICS = "bulk_inferrer"
"""Namespace of Beam's counters: `lines`, `blank_lines`, and those of RunInference, which count shards."""

log = logging.getLogger("bitext.bulk_inferrer")


@dataclasses.dataclass(frozen=True)
class Shard:
    """Consecutive whole lines of the input.

    Attributes:
      index: index of the shard.
      offset: offset of its first byte in the decompressed input.
      size: size in bytes.
      first_line: number of its first line, from 1.
      lines: number of lines.
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
        """Name of the file with its translations."""
        return f"{self.index:06d}"


SourceLines = tuple[Shard, list[bytes]]
ShardTranslations = tuple[Shard, TranslatedBlock]


def translate_file(
    model: Path,
    input: Path,
    output: Path,
    search: Search,
    beam_pipeline: Callable[[], beam.Pipeline],
    *,
    batch_size: int = 64,
    language: str | None = None,
    whole_lines: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Translates a file of any size with Beam: each line exactly once and in order, completely or not at all.

    Shards that an interrupted attempt has translated are reused. The peak memory does not depend on the size.

    Args:
      model: as for `find_saved_model`.
      input: a file with one sentence a line, plain, .gz, .bz2, .xz or .zst.
      output: the file to write, with the bytes that `bitext translate` writes.
      search: options of the beam search.
      beam_pipeline: creates the Beam pipeline to run in.
      batch_size: maximum number of lines in one call of the model.
      language: the language of the input, ISO 639-1; None: as `translate_blocks` has it.
      whole_lines: whether only lines that are longer than the model reads are split into sentences.
      say: prints one line about the progress, or about text that is too long.

    Raises:
      errors.ConfigError: the output is no regular file, or is the input.
      errors.DataError: the model or the input cannot be read, or the input changes during the translation.
      errors.LockedError: another command is translating into the same output.
      errors.EnvironmentFault: the output, or the folder of the shards beside it, cannot be written.
    """
    model, input, output = find_saved_model(model).absolute(), input.absolute(), output.absolute()
    check_output_file(output, input)
    if is_special(output):
        raise errors.ConfigError(
            f"{output} is no regular file: finished shards cannot be saved beside it",
            "name a file with --output, or translate without --beam-runner",
        )
    with open_input(input) as chunks, _locked_folder(output) as folder:
        shards = list(divide(chunks, input, say))
        shard_folder = folder / _key(shards, model, search, language, whole_lines)
        with reporting_faults(output, FILE_REMEDY):
            _clear(folder, shard_folder)
        missing = [shard for shard in shards if not (shard_folder / shard.name).exists()]
        lines = sum(shard.lines for shard in shards)
        say(f"{lines:,} lines in {len(shards):,} shards, {len(missing):,} of them to translate")
        if missing:
            source = _decompressed(input, shard_folder)
            with beam_pipeline() as pipeline:
                _ = (
                    pipeline
                    | "Shards" >> beam.Create(missing)
                    | "Read" >> beam.Map(read, source)
                    | "Translate"
                    >> RunInference(ShardTranslator(model, search, batch_size, language, whole_lines))
                    | "Write" >> beam.Map(write, shard_folder, search.nbest)
                )
        report = LongSentenceReport(say)
        with open_output(output) as write_out:
            for shard in shards:
                write_out(_read_translations(shard, shard_folder, search.nbest))
                report.add(shard.first_line, _read_long_sentences(shard, shard_folder))
        report.finish()
        shutil.rmtree(shard_folder, ignore_errors=True)


class ShardTranslator(ModelHandler[SourceLines, ShardTranslations, LineTranslator]):
    """Model handler for RunInference: Beam loads the model once per process and passes single shards.

    RunInference's example is a shard, not a line. If Beam batched lines with a GroupByKey, all lines would be
    in memory, and no translation on disk before the last line is translated. `LineTranslator` batches the
    lines of a shard.

    Args:
      model: a SavedModel.
      search: options of the beam search.
      batch_size: maximum number of lines in one call of the model.
      language, whole_lines: as `translate_blocks` has them.
    """

    def __init__(self, model: Path, search: Search, batch_size: int, language: str | None, whole_lines: bool):
        super().__init__()
        self._model, self._search, self._batch_size = model, search, batch_size
        self._language, self._whole_lines = language, whole_lines

    def load_model(self) -> LineTranslator:
        translator = LineTranslator(self._model, self._search, self._batch_size)
        warn_if_unmeasured(translator, log.warning)
        return translator

    def run_inference(
        self,
        batch: Sequence[SourceLines],
        model: LineTranslator,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterator[ShardTranslations]:
        blocks = translate_blocks(
            model, (lines for _, lines in batch), self._language, whole_lines=self._whole_lines
        )
        for (shard, _), block in zip(batch, blocks, strict=True):
            yield shard, block

    def batch_elements_kwargs(self) -> Mapping[str, int]:
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_num_bytes(self, batch: Sequence[SourceLines]) -> int:
        return sum(shard.size for shard, _ in batch)

    def get_metrics_namespace(self) -> str:
        return METRICS


def divide(chunks: Iterable[bytes], path: Path, warn: Callable[[str], None]) -> Iterator[Shard]:
    """Yields the shards of an input, in order. Each line is in one shard. Equal inputs give equal shards.

    Args:
      chunks: the bytes of the input.
      path: the input, for `check_blocks`.
      warn: prints one line.

    Raises:
      errors.DataError: the input has another encoding than UTF-8.
    """
    blocks, blocks_again = itertools.tee(reading.whole_lines(chunks))
    offset, line = 0, 1
    for index, (block, lines) in enumerate(
        zip(blocks, check_blocks(map(lines_of, blocks_again), path, warn), strict=True)
    ):
        yield Shard(index, offset, len(block), line, len(lines), hashlib.sha256(block).hexdigest())
        offset, line = offset + len(block), line + len(lines)


def read(shard: Shard, source: Path) -> SourceLines:
    """Reads the lines of a shard.

    Raises:
      errors.DataError: the file cannot be read, or has changed since it was divided.
    """
    try:
        with source.open("rb") as file:
            file.seek(shard.offset)
            block = file.read(shard.size)
    except OSError as error:
        raise errors.DataError(
            f"cannot read {source}: {error.strerror}", "put it where every worker sees it under this name"
        ) from error
    if hashlib.sha256(block).hexdigest() != shard.digest:
        raise errors.DataError(
            f"{source} has changed since the translation began: at line {shard.first_line} or later",
            "run the same command again: it translates the changed file",
        )
    lines = lines_of(block)
    Metrics.counter(METRICS, "lines").inc(len(lines))
    Metrics.counter(METRICS, "blank_lines").inc(
        sum(is_blank(line.decode("utf-8", "replace")) for line in lines)
    )
    return shard, lines


def write(translated: ShardTranslations, shard_folder: Path, nbest: int) -> None:
    """Writes the translations of a shard to a file, which appears only when it is completely on the disk.

    Beam may run a shard twice at the same time: each worker writes its own temporary file.

    Raises:
      errors.EnvironmentFault: the file cannot be written.
    """
    shard, block = translated
    # First the long sentences: a shard with a file of translations is complete.
    if block.too_long:
        _write_durably(_long_sentences_file(shard, shard_folder), [encode_json(block.too_long)])
    lines = format_lines(block.translations, shard.first_line, nbest)
    _write_durably(shard_folder / shard.name, [lines.encode()])
    log.info("translated lines %s to %s", f"{shard.first_line:,}", f"{shard.first_line + shard.lines - 1:,}")


def _write_durably(path: Path, chunks: Iterable[bytes]) -> None:
    with reporting_faults(path, FILE_REMEDY), atomic_writer(path, durable=True) as file:
        file.writelines(chunks)


def _read_translations(shard: Shard, shard_folder: Path, nbest: int) -> bytes:
    """Reads the translations of a shard.

    Raises:
      errors.DataError: the file is missing, or has another number of lines than the shard.
    """
    path = shard_folder / shard.name
    data = path.read_bytes() if path.exists() else b""
    if nbest == 1:
        lines = data.count(b"\n")
    else:
        lines = len({row.partition(b"\t")[0] for row in data.splitlines()})
    if lines != shard.lines:
        raise errors.DataError(
            f"{path} has the translations of {lines:,} lines instead of {shard.lines:,}",
            "delete it and run the same command again",
        )
    return data


def _long_sentences_file(shard: Shard, shard_folder: Path) -> Path:
    """The file with the sentences of a shard that are too long; there is none if no sentence is."""
    return shard_folder / f"{shard.name}.long"


def _read_long_sentences(shard: Shard, shard_folder: Path) -> list[LongSentence]:
    path = _long_sentences_file(shard, shard_folder)
    return msgspec.json.decode(path.read_bytes(), type=list[LongSentence]) if path.exists() else []


def _decompressed(input: Path, shard_folder: Path) -> Path:
    """Returns a file that holds the decompressed input: the input itself or a copy."""
    if not input.name.endswith(reading.ENDINGS):
        return input
    copy = shard_folder / "input"
    if not copy.exists():
        with open_input(input) as chunks:
            _write_durably(copy, chunks)
    return copy


def _key(
    shards: Sequence[Shard], model: Path, search: Search, language: str | None, whole_lines: bool
) -> str:
    """Returns a digest of the input, the model, the search and how lines are split, without the batch size.

    A command that ran out of memory can thus resume with a smaller batch size.
    """
    inputs = [
        [shard.digest for shard in shards],
        folder_digest(model),
        dataclasses.astuple(search),
        language,
        whole_lines,
    ]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]


def _clear(folder: Path, shard_folder: Path) -> None:
    """Creates the folder of the shards, and deletes those of other inputs, models and searches."""
    shard_folder.mkdir(exist_ok=True)
    for other in folder.iterdir():
        if other != shard_folder:
            shutil.rmtree(other)


@contextlib.contextmanager
def _locked_folder(output: Path) -> Iterator[Path]:
    """Context manager: creates the folder beside the output and locks it. A killed process loses the lock.

    Raises:
      errors.LockedError: another process has locked the folder.
      errors.EnvironmentFault: the folder cannot be created.
    """
    target = Path(os.path.realpath(output))
    folder = target.with_name(f".{target.name}.bulk")
    with reporting_faults(output, FILE_REMEDY):
        folder.mkdir(exist_ok=True)
        try:
            descriptor = open_locked(folder)
        except (BlockingIOError, FileNotFoundError):  # locked, or just deleted, by another process
            raise errors.LockedError(
                f"another command is translating into {output}",
                "wait for it, or name another file with --output",
            ) from None
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # not empty: the next attempt resumes with it
            folder.rmdir()
        os.close(descriptor)
