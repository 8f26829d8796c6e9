"""Lines of text to translate: reads them from files, pipes and terminals, and divides them into batches.

A line ends with LF, CRLF or CR (`reading`). Each line gives one line of output.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from bitext.components.shared import encodings, errors, file_kinds, reading, storage

MAX_BATCH_BYTES = 64 * 1024
"""Maximum of a batch's number of lines times its longest line in bytes. It limits the memory."""

SHOWN_LINES = 10
"""Number of lines that are not UTF-8, or too long, of which each has a warning. The others are counted."""
LEAST_FOREIGN_LINES = 5
"""Text with fewer lines that are not UTF-8 is translated, unless none of its first lines is UTF-8."""

READ_BYTES = 128 * 1024
"""Maximum number of bytes of one read. A terminal returns one line, a pipe up to 64 KiB. The whole lines
of one read are a block. The blocks of a file are the same each time: the shards of `translation.bulk`."""


@contextlib.contextmanager
def open_input(path: Path | None) -> Iterator[Iterator[bytes]]:
    """Opens an input as an iterator over byte strings of at most `READ_BYTES`, decompressed by its file name.

    Args:
      path: a file, plain, .gz, .bz2, .xz or .zst; None: standard input, whose bytes are yielded as they
        arrive.

    Raises:
      errors.DataError: the file cannot be read, or is no text (`file_kinds.check_text`).
    """
    if path is None:
        yield _standard_input()
        return
    try:
        stream = storage.open_file(str(path))
    except OSError as error:
        raise errors.DataError(
            f"cannot read {path}: {error.strerror or 'there is no such file'}",
            "name a text file with one sentence a line",
        ) from error
    with stream, storage.reporting_faults(str(path)):
        yield reading.stream_chunks(stream, str(path), READ_BYTES)


def _standard_input() -> Iterator[bytes]:
    read = getattr(sys.stdin.buffer, "read1", sys.stdin.buffer.read)
    is_first = True
    for chunk in iter(lambda: read(READ_BYTES), b""):
        if is_first:
            file_kinds.check_text(chunk, None)
        is_first = False
        yield chunk


def read_blocks(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yields blocks of whole lines, without their line ends: one for each chunk that contains a line end.

    Lines over `reading.MAX_LINE_BYTES` are cut.

    A person at a terminal thus gets an answer to each line, and a file is read in large blocks.
    """
    return map(lines_of, reading.whole_lines(chunks))


def check_blocks(
    blocks: Iterable[list[bytes]], path: Path | None, warn: Callable[[str], None]
) -> Iterator[list[bytes]]:
    """Yields the blocks, and warns of lines that are not UTF-8 or too long.

    The model reads bytes that are not UTF-8 as U+FFFD. A line over `reading.MAX_LINE_BYTES` becomes empty.

    Args:
      blocks: blocks of lines.
      path: the file they are from; None: standard input.
      warn: prints one line.

    Raises:
      errors.DataError: the text as a whole has another encoding than UTF-8.
    """
    counts, first_line, too_long = encodings.LineCounts(), 1, 0
    for block in blocks:
        for index in [index for index, line in enumerate(block) if reading.is_cut(line)]:
            too_long += 1
            if too_long <= SHOWN_LINES:
                warn(
                    f"warning: line {first_line + index} is longer than {reading.MAX_LINE_BYTES:,} bytes; its"
                    " translation is an empty line"
                )
        block = without_cut_lines(block)
        invalid = counts.add(block)
        is_whole = first_line == 1 and 1 < counts.invalid == counts.lines
        if is_whole or counts.is_foreign(LEAST_FOREIGN_LINES):
            encoding = encodings.likely_encoding(counts.sample)
            raise errors.DataError(
                f"{path or 'standard input'} is not UTF-8 text: {counts.invalid:,} of its first"
                f" {counts.lines:,} lines are not" + (f"; it looks like {encoding}" if encoding else ""),
                encodings.remedy(encoding, None if path is None else str(path)),
            )
        shown = max(0, SHOWN_LINES - counts.invalid + len(invalid))
        for index in invalid[:shown]:
            fault = encodings.fault(block[index])
            warn(f"warning: line {first_line + index} is not UTF-8: {fault}, read as U+FFFD")
        first_line += len(block)
        yield block
    if too_long > SHOWN_LINES:
        warn(f"warning: {too_long:,} lines are too long")
    if counts.invalid:
        encoding = encodings.likely_encoding(counts.sample)
        warn(
            f"warning: {counts.invalid:,} of {first_line - 1:,} lines are not UTF-8"
            + (f" and look like {encoding}" if encoding else "")
        )


def lines_of(block: bytes) -> list[bytes]:
    """Returns the lines of a block, without their line ends."""
    return reading.split_lines(block)


def without_cut_lines(block: list[bytes]) -> list[bytes]:
    """Returns the lines of a block, those that were cut as empty lines."""
    return [b"" if reading.is_cut(line) else line for line in block]


def one_line(text: bytes) -> str:
    """Returns a translation without line breaks, because a line break would shift all lines after it."""
    return " ".join(text.decode("utf-8", errors="replace").splitlines())


def prompted(blocks: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """Yields the blocks, each after a prompt on standard error. Ctrl-C ends the input, like Ctrl-D."""
    print("One sentence a line; Ctrl-D ends.", file=sys.stderr)
    while True:
        print("> ", end="", file=sys.stderr, flush=True)
        try:
            block = next(blocks, None)
        except KeyboardInterrupt as error:
            if type(error) is not KeyboardInterrupt:  # SIGTERM
                raise
            block = None
        if block is None:
            print(file=sys.stderr)
            return
        yield block


def length_sorted_batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yields indices into `lengths`, longest first, in batches of at most `batch_size`.

    A batch that is too large for the memory thus fails at the start and not at the end.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        rows = max(1, min(batch_size, MAX_BATCH_BYTES // max(1, lengths[order[start]])))
        yield order[start : start + rows]
        start += rows
