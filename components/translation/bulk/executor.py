"""Divides an input into shards, translates the missing shards with Beam, and joins their translations."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference

from bitext.components.shared import errors, path_lengths, reading, storage
from bitext.components.shared.faults import reporting_faults
from bitext.components.shared.files import folder_digest, open_locked
from bitext.components.shared.folder_bytes import unzipped, zipped
from bitext.components.translation.bulk.shards import (
    METRICS,
    Shard,
    ShardTranslations,
    SourceLines,
    divide,
    read,
    read_long_sentences,
    read_translations,
    write,
    write_durably,
)
from bitext.components.translation.graph_check import check_graph
from bitext.components.translation.lines import open_input
from bitext.components.translation.output import FILE_REMEDY, check_output_file, is_special, open_output
from bitext.components.translation.search import Search
from bitext.components.translation.sentences import (
    DEFAULT_SPLITTING,
    LongSentenceReport,
    Splitting,
    translate_blocks,
    warn_if_unmeasured,
)
from bitext.components.translation.translator import LineTranslator, find_saved_model

log = logging.getLogger("bitext.bulk_inferrer")
_COPIED_BYTES = 1 << 22
MAX_NAME_BYTES, SHORT_NAME = 240, 40
"""Bytes of the longest output name that the folder of the shards repeats, and characters of a longer one."""


def translate_file(
    model: Path,
    input: Path,
    output: Path,
    search: Search,
    beam_pipeline: Callable[[], beam.Pipeline],
    *,
    batch_size: int = 64,
    splitting: Splitting = DEFAULT_SPLITTING,
    trusted: bool = False,
    shared_folder: Path | None = None,
    say: Callable[[str], None] = print,
    long_lines: list[int] | None = None,
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
      splitting: how lines are split into sentences.
      trusted: as for `LineTranslator`.
      shared_folder: a folder, usually remote, that all workers see. The model and the input are copied to it,
        and the workers write their translations there. None: they see the disk of this process.
      say: prints one line about the progress, or about text that is too long.
      long_lines: receives the lines, from 1, with a sentence that is too long; None: they are printed.

    Raises:
      errors.ConfigError: the output is no regular file, or is the input.
      errors.DataError: the model or the input cannot be read, or the input changes during the translation.
      errors.LockedError: another command is translating into the same output.
      errors.EnvironmentFault: the output, or the folder of the shards beside it, cannot be written.
    """
    model, input, output = _checked(model, input, output, trusted)
    with open_input(input) as chunks, _locked_folder(output) as folder:
        shards = list(divide(chunks, input, say))
        key = _key(shards, model, search, splitting)
        shard_folder = folder / key
        with reporting_faults(output, FILE_REMEDY):
            _clear(folder, shard_folder)
        if shared_folder is not None:
            shard_folder = shared_folder.absolute() / key
        shard_folder.mkdir(parents=True, exist_ok=True)
        missing = _missing(shards, shard_folder, say)
        if missing:
            source = _decompressed(input, folder / key)
            if shared_folder is not None:
                model, source = _shared(model, source, shard_folder)
            settings = model, search, batch_size, splitting, trusted
            translator = ShardTranslator(*settings, is_zipped=shared_folder is not None)
            _translate(missing, source, shard_folder, translator, beam_pipeline)
        _join(shards, shard_folder, output, search.nbest, say, long_lines)
        _remove(shard_folder, folder / key)


def _checked(model: Path, input: Path, output: Path, trusted: bool) -> tuple[Path, Path, Path]:
    """Returns the absolute paths of the SavedModel, the input and the output, after they are checked."""
    model, input, output = find_saved_model(model).absolute(), input.absolute(), output.absolute()
    _check_output(output, input)
    if not trusted:
        check_graph(model)
    return model, input, output


def _missing(shards: Sequence[Shard], shard_folder: Path, say: Callable[[str], None]) -> list[Shard]:
    """Returns the shards that are not translated yet, and prints how many they are."""
    translated = {file.name for file in storage.files_below(shard_folder)}
    missing = [shard for shard in shards if shard.name not in translated]
    lines = sum(shard.lines for shard in shards)
    say(f"{lines:,} lines in {len(shards):,} shards, {len(missing):,} of them to translate")
    return missing


def _check_output(output: Path, input: Path) -> None:
    """Raises ConfigError if the output is no regular file, or is the input."""
    check_output_file(output, input)
    if is_special(output):
        raise errors.ConfigError(
            f"{output} is no regular file: finished shards cannot be saved beside it",
            "name a file with --output, or translate without --beam-runner",
        )


def _remove(*folders: Path) -> None:
    for folder in folders:
        if storage.is_remote(folder):
            storage.remove(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _translate(
    shards: Sequence[Shard],
    source: Path,
    shard_folder: Path,
    translator: ShardTranslator,
    beam_pipeline: Callable[[], beam.Pipeline],
) -> None:
    """Translates shards of the decompressed input, and writes each to its file."""
    with beam_pipeline() as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(shards)
            | "Read" >> beam.Map(read, source)
            | "Translate" >> RunInference(translator)
            | "Write" >> beam.Map(write, shard_folder, translator.search.nbest)
        )


def _join(
    shards: Sequence[Shard],
    shard_folder: Path,
    output: Path,
    nbest: int,
    say: Callable[[str], None],
    long_lines: list[int] | None,
) -> None:
    """Writes the translations of all shards to the output, and reports sentences that are too long."""
    report = LongSentenceReport(say)
    with open_output(output) as write_out:
        for shard in shards:
            write_out(read_translations(shard, shard_folder, nbest))
            too_long = read_long_sentences(shard, shard_folder)
            if long_lines is None:
                report.add(shard.first_line, too_long)
            else:
                long_lines += sorted({shard.first_line + sentence.line for sentence in too_long})
    report.finish()


class ShardTranslator(ModelHandler[SourceLines, ShardTranslations, LineTranslator]):
    """Model handler for RunInference: Beam loads the model once per process and passes single shards.

    RunInference's example is a shard, not a line. If Beam batched lines with a GroupByKey, all lines would be
    in memory, and no translation on disk before the last line is translated. `LineTranslator` batches the
    lines of a shard.

    Args:
      model: a SavedModel, or a file with the bytes of one.
      search: options of the beam search.
      batch_size: maximum number of lines in one call of the model.
      splitting: how lines are split into sentences.
      trusted: as for `LineTranslator`.
      is_zipped: whether the model is a file with the bytes that `folder_bytes.zipped` returns.
    """

    def __init__(
        self,
        model: Path,
        search: Search,
        batch_size: int,
        splitting: Splitting,
        trusted: bool,
        *,
        is_zipped: bool = False,
    ):
        super().__init__()
        self._model, self.search, self._batch_size = model, search, batch_size
        self._splitting, self._trusted, self._is_zipped = splitting, trusted, is_zipped

    def load_model(self) -> LineTranslator:
        with self._local_model() as model:
            translator = LineTranslator(model, self.search, self._batch_size, trusted=self._trusted)
        warn_if_unmeasured(translator, log.warning)
        return translator

    def _local_model(self) -> contextlib.AbstractContextManager[Path]:
        if self._is_zipped:
            return unzipped(self._model.read_bytes())
        return contextlib.nullcontext(self._model)

    def run_inference(
        self,
        batch: Sequence[SourceLines],
        model: LineTranslator,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterator[ShardTranslations]:
        blocks = translate_blocks(model, (lines for _, lines in batch), self._splitting)
        for (shard, _), block in zip(batch, blocks, strict=True):
            yield shard, block

    def batch_elements_kwargs(self) -> Mapping[str, int]:
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_num_bytes(self, batch: Sequence[SourceLines]) -> int:
        return sum(shard.size for shard, _ in batch)

    def get_metrics_namespace(self) -> str:
        return METRICS


def _decompressed(input: Path, shard_folder: Path) -> Path:
    """Returns a file that holds the decompressed input: the input itself or a copy."""
    if not input.name.endswith(reading.ENDINGS):
        return input
    copy = shard_folder / "input"
    if not copy.exists():
        with open_input(input) as chunks:
            write_durably(copy, chunks)
    return copy


def _shared(model: Path, source: Path, folder: Path) -> tuple[Path, Path]:
    """Copies a SavedModel and the decompressed input to a folder that workers see. Returns the copies."""
    shared_model, shared_source = folder / "model.zip", folder / "input"
    with storage.reporting_faults(str(folder)):
        shared_model.write_bytes(zipped(model))
        with source.open("rb") as file, shared_source.open("wb") as copy:
            shutil.copyfileobj(file, copy, _COPIED_BYTES)
    return shared_model, shared_source


def _key(shards: Sequence[Shard], model: Path, search: Search, splitting: Splitting) -> str:
    """Returns a digest of the input, the model, the search and how lines are split, without the batch size.

    A command that ran out of memory can thus resume with a smaller batch size.
    """
    inputs = [
        [shard.digest for shard in shards],
        folder_digest(model),
        dataclasses.astuple(search),
        dataclasses.astuple(splitting),
    ]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]


def _short(name: str) -> str:
    """Returns a name to which an ending can be added, even if it is as long as the system allows."""
    if path_lengths.bytes_of(name) <= MAX_NAME_BYTES:
        return name
    return f"{name[:SHORT_NAME]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def _clear(folder: Path, shard_folder: Path) -> None:
    """Creates the folder of the shards, and deletes those of other inputs, models and searches."""
    shard_folder.mkdir(exist_ok=True)
    for other in folder.iterdir():
        if other != shard_folder:
            shutil.rmtree(other)


def _folder_of(output: Path) -> Path:
    """The folder of the finished shards: beside the output, or in the user's cache if that is remote."""
    if storage.is_remote(output):
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return caches / "bitext" / f"{hashlib.sha256(str(output).encode()).hexdigest()[:16]}.bulk"
    target = Path(os.path.realpath(output))
    return target.with_name(f".{_short(target.name)}.bulk")


@contextlib.contextmanager
def _locked_folder(output: Path) -> Iterator[Path]:
    """Context manager: creates the folder beside the output and locks it. A killed process loses the lock.

    Raises:
      errors.LockedError: another process has locked the folder.
      errors.EnvironmentFault: the folder cannot be created.
    """
    folder = _folder_of(output)
    with reporting_faults(output, FILE_REMEDY):
        folder.mkdir(exist_ok=True, parents=storage.is_remote(output))
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
