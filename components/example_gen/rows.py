"""A block of rows as Arrow columns. Formats make it, `filters` checks it."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bitext.components.shared import reading

Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

REJECT_TEXT_CHARACTERS = 2000


@dataclasses.dataclass(frozen=True)
class Rows:
    """A block of rows of one file, before they are checked.

    Attributes:
      line: int64[N], number of each row's first line, from 1.
      sides: source and target, each binary[N], null where the row has no such column.
      raw: binary[N] arrays that, joined by tabs, are the text of the row. A row is rejected if one of them is
        longer than `reading.MAX_LINE_BYTES`: the text may have been cut.
      column_counts: int64[N], number of columns of each row, for messages.
      rejected: rows that could not be read: index of the row to (reason, detail).
    """

    line: Ints
    sides: tuple[pa.Array, pa.Array]
    raw: tuple[pa.Array, ...]
    column_counts: Ints
    rejected: dict[int, tuple[str, str]] = dataclasses.field(default_factory=dict)

    def text(self, row: int) -> str:
        """The text of a row for the file of rejects, at most `REJECT_TEXT_CHARACTERS` characters of it."""
        texts = [array[row].as_py() or b"" for array in self.raw]
        text = "\t".join(text.decode("utf-8", "backslashreplace") for text in texts).rstrip("\r\n")
        if any(map(reading.is_cut, texts)):  # its length is unknown
            return f"{text[:REJECT_TEXT_CHARACTERS]}..."
        return shorten(text)


def shorten(text: str) -> str:
    """At most `REJECT_TEXT_CHARACTERS` characters of a text, and how many it has."""
    if len(text) <= REJECT_TEXT_CHARACTERS:
        return text
    return f"{text[:REJECT_TEXT_CHARACTERS]}... ({len(text)} characters)"


def slices(data: bytes, begin: Ints, end: Ints, present: Mask) -> pa.Array:
    """Slices of a byte string as an Arrow array, without a loop over them.

    Args:
      data: the byte string.
      begin: int64[N], where each slice begins: ascending, and not before the end of the slice before.
      end: int64[N], where each slice ends.
      present: bool[N]; False makes the slice null.

    Returns:
      binary[N].
    """
    offsets = np.stack([begin, end], axis=1).reshape(-1).astype(np.int32)
    # An array of the slices and of the gaps between them needs no copy; the slices are its even elements.
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    slices_and_gaps = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)
    return slices_and_gaps.take(pa.array(np.arange(0, len(offsets), 2), mask=~present))


def to_ints(array: pa.Array) -> Ints:
    """An Arrow array of integers as int64[N]."""
    return cast(Ints, array.to_numpy(zero_copy_only=False).astype(np.int64))


def to_mask(array: pa.Array) -> Mask:
    """An Arrow array of booleans as bool[N]."""
    return cast(Mask, array.to_numpy(zero_copy_only=False).astype(bool))
