"""Examples as columns of token ids: what Beam's elements are between the transform graph and the files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bitext.components.shared.packing import pack, unpack
from bitext.components.text import EOS_ID
from bitext.components.transform.buckets import Ints


@dataclasses.dataclass(frozen=True)
class Ids:
    """Lists of token ids.

    Attributes:
      values: integers[V], the ids of all rows one after another.
      lengths: int64[N], the ids of each row.
    """

    values: npt.NDArray[Any]
    lengths: Ints

    def take(self, rows: Ints) -> Ids:
        """Returns the rows with these numbers, int64[M]."""
        return self._gathered(self._starts()[rows], self.lengths[rows])

    def truncated(self, limit: int) -> Ids:
        """Cuts longer rows to `limit` ids. Each row ends with `</s>` before and after."""
        if not (self.lengths > limit).any():
            return self
        cut = self._gathered(self._starts(), np.minimum(self.lengths, limit))
        cut.values[np.cumsum(cut.lengths) - 1] = EOS_ID
        return cut

    def padded(self, width: int) -> Ints:
        """Returns int64[N, width] with 0 on the right. No row is longer than `width`."""
        padded = np.zeros((len(self.lengths), width), np.int64)
        padded[np.arange(width) < self.lengths[:, None]] = self.values
        return padded

    def _starts(self) -> Ints:
        return np.cumsum(self.lengths) - self.lengths

    def _gathered(self, starts: Ints, lengths: Ints) -> Ids:
        """Returns `lengths` values from each of the `starts`."""
        new_starts = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(starts - new_starts, lengths)
        return Ids(self.values[places], lengths)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Examples.

    Attributes:
      number: int64[N], the example's number, which no other example of its split has. Numbers are in the
        order of the corpus; see `applying.Apply`.
      id: string[N] or binary[N], the example's `id`.
      source: the source, N rows.
      target: the target, N rows.
    """

    number: Ints
    id: pa.Array
    source: Ids
    target: Ids

    def __len__(self) -> int:
        return len(self.number)

    def take(self, rows: Ints) -> Rows:
        """Returns the rows with these indices, int64[M]."""
        ids = self.id.take(pa.array(rows))
        return Rows(self.number[rows], ids, self.source.take(rows), self.target.take(rows))

    def packed(self) -> bytes:
        """Returns the rows as compressed bytes. Each row has fewer than 2**16 ids a side."""
        columns: dict[str, Any] = {"number": self.number, "id": self.id}
        for side, ids in (("source", self.source), ("target", self.target)):
            columns[side] = ids.values
            columns[f"{side}_length"] = ids.lengths.astype(np.uint16)
        return pack(columns)

    @classmethod
    def unpacked(cls, data: bytes) -> Rows:
        """Returns the rows that `packed` compressed."""
        columns = unpack(data)
        source, target = (
            Ids(columns[side], columns[f"{side}_length"].astype(np.int64)) for side in ("source", "target")
        )
        return cls(columns["number"], columns["id"], source, target)

    @classmethod
    def concatenated(cls, blocks: Sequence[Rows]) -> Rows:
        """Joins blocks of rows; at least one."""
        if len(blocks) == 1:
            return blocks[0]
        source, target = (
            Ids(np.concatenate([ids.values for ids in side]), np.concatenate([ids.lengths for ids in side]))
            for side in ([block.source for block in blocks], [block.target for block in blocks])
        )
        number = np.concatenate([block.number for block in blocks])
        return cls(number, pa.concat_arrays([block.id for block in blocks]), source, target)
