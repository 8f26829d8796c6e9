"""Shards: divides an input into consecutive whole lines, and writes and reads the translations of each."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from apache_beam.metrics import Metrics

from bitext.components.shared import errors, reading, storage
from bitext.components.shared.faults import reporting_faults
from bitext.components.shared.files import atomic_writer, encode_json
from bitext.components.text.normalization import is_blank
from bitext.components.translation.lines import READ_BYTES, check_blocks, lines_of, without_cut_lines
from bitext.components.translation.output import FILE_REMEDY, format_lines
from bitext.components.translation.sentences import LongSentence, TranslatedBlock

METRICS = "bulk_inferrer"
"""Namespace of Beam's counters: `lines`, `blank_lines`, and those of RunInference, which count shards."""

log = logging.getLogger("bitext.bulk_inferrer")


@dataclasses.dataclass(frozen=True)
class Shard:
    """Consecutive whole lines of the input.

    Attributes:
      index: index of the shard.
      offset: offset of its first byte in the decompressed input.
      size: its bytes in the decompressed input.
      first_line: number of its first line, from 1.
      lines: number of lines.
      digest: SHA-256 of its lines, of which those over `reading.MAX_LINE_BYTES` are cut.
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


def divide(chunks: Iterable[bytes], path: Path, warn: Callable[[str], None]) -> Iterator[Shard]:
    """Yields the shards of an input, in order. Each line is in one shard. Equal inputs give equal shards.

    Args:
      chunks: the bytes of the input.
      path: the input, for `check_blocks`.
      warn: prints one line.

    Raises:
      errors.DataError: the input has another encoding than UTF-8.
    """
    blocks, blocks_again = itertools.tee(reading.line_blocks(chunks))
    texts = (lines_of(block.text) for block in blocks_again)
    offset, line = 0, 1
    for index, (block, lines) in enumerate(zip(blocks, check_blocks(texts, path, warn), strict=True)):
        digest = hashlib.sha256(block.text).hexdigest()
        yield Shard(index, offset, block.size, line, len(lines), digest)
        offset, line = offset + block.size, line + len(lines)


def read(shard: Shard, source: Path) -> SourceLines:
    """Reads the lines of a shard.

    Raises:
      errors.DataError: the file cannot be read, or has changed since it was divided.
    """
    try:
        with source.open("rb") as file:
            file.seek(shard.offset)
            block = b"".join(reading.whole_lines(_chunks(file, shard.size)))
    except OSError as error:
        raise errors.DataError(
            f"cannot read {source}: {error.strerror or error}",
            "put it where every worker sees it under this name",
        ) from error
    if hashlib.sha256(block).hexdigest() != shard.digest:
        raise errors.DataError(
            f"{source} has changed since the translation began: at line {shard.first_line} or later",
            "run the same command again: it translates the changed file",
        )
    lines = without_cut_lines(lines_of(block))
    Metrics.counter(METRICS, "lines").inc(len(lines))
    Metrics.counter(METRICS, "blank_lines").inc(
        sum(is_blank(line.decode("utf-8", "replace")) for line in lines)
    )
    return shard, lines


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yields the next bytes of a file, at most `size`."""
    while size and (chunk := file.read(min(size, READ_BYTES))):
        size -= len(chunk)
        yield chunk


def write(translated: ShardTranslations, shard_folder: Path, nbest: int) -> None:
    """Writes the translations of a shard to a file, which appears only when it is completely on the disk.

    Beam may run a shard twice at the same time: each worker writes its own temporary file.

    Raises:
      errors.EnvironmentFault: the file cannot be written.
    """
    shard, block = translated
    # First the long sentences: a shard with a file of translations is complete.
    if block.too_long:
        write_durably(_long_sentences_file(shard, shard_folder), [encode_json(block.too_long)])
    lines = format_lines(block.translations, shard.first_line, nbest)
    write_durably(shard_folder / shard.name, [lines.encode()])
    log.info("translated lines %s to %s", f"{shard.first_line:,}", f"{shard.first_line + shard.lines - 1:,}")


def write_durably(path: Path, chunks: Iterable[bytes]) -> None:
    """Writes a local file that appears only when it is completely on the disk, or a remote one at once.

    Raises:
      errors.EnvironmentFault: the file cannot be written.
    """
    if storage.is_remote(path):
        with storage.reporting_faults(str(path)):
            path.write_bytes(b"".join(chunks))
        return
    with reporting_faults(path, FILE_REMEDY), atomic_writer(path, durable=True) as file:
        file.writelines(chunks)


def read_translations(shard: Shard, shard_folder: Path, nbest: int) -> bytes:
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


def read_long_sentences(shard: Shard, shard_folder: Path) -> list[LongSentence]:
    """Reads the sentences of a shard that are too long."""
    path = _long_sentences_file(shard, shard_folder)
    return msgspec.json.decode(path.read_bytes(), type=list[LongSentence]) if path.exists() else []
