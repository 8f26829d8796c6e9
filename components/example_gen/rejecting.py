"""The rejected rows: blocks of them are packed, and merged in the order of the corpus."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias, cast

import numpy as np
import pyarrow as pa

from bitext.components.artifacts.rejects import Reject
from bitext.components.example_gen.filters import REASONS, Filtered
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.rows import Rows
from bitext.components.shared.display import path_text
from bitext.components.shared.packing import pack, unpack
from bitext.components.shared.spilling import Stored, read

Place: TypeAlias = tuple[int, int]
"""Index of the file and number of the line: sorts rows, and blocks by their first rows."""
PackedRejects: TypeAlias = tuple[Place, bytes]
"""The place of the first row of a block, and the packed rows, which are in order and of one file."""
StoredRejects: TypeAlias = tuple[Place, Stored]
"""The same, or where the packed rows are."""


def pack_rejects(file: int, rejects: Sequence[Reject]) -> PackedRejects:
    """Packs rows, at least one, of the file with an index."""
    columns = {
        "line": np.array([row.line for row in rejects], np.int64),
        "reason": np.array([REASONS.index(row.reason) for row in rejects], np.int8),
        "detail": pa.array([row.detail for row in rejects], pa.string()),
        "text": pa.array([row.text for row in rejects], pa.string()),
    }
    return (file, rejects[0].line), pack(columns)


def rejected_rows(file: SourceFile, rows: Rows, filtered: Filtered) -> list[Reject]:
    """The rejected rows of a block, in order."""
    return [
        Reject(
            file=path_text(file.path),
            line=int(rows.line[row]),
            reason=REASONS[filtered.reason[row] - 1],
            detail=filtered.details[row],
            text=rows.text(row),
            numbered=file.numbered,
        )
        for row in sorted(filtered.details)
    ]


def in_order(blocks: Iterable[StoredRejects], files: Sequence[SourceFile]) -> Iterator[Reject]:
    """Yields the rows of all blocks in the order of the corpus. Only overlapping blocks are unpacked at once.

    Args:
      blocks: the blocks.
      files: all files.
    """
    unpacked: list[tuple[Place, int, Reject, Iterator[Reject]]] = []

    def next_rows(stop: Place | None) -> Iterator[Reject]:
        while unpacked and (stop is None or unpacked[0][0] < stop):
            (file, _), number, row, others = unpacked[0]
            yield row
            if following := next(others, None):
                heapq.heapreplace(unpacked, ((file, following.line), number, following, others))
            else:
                heapq.heappop(unpacked)

    for number, (place, data) in enumerate(sorted(blocks)):
        yield from next_rows(place)
        rows = _rows(files[place[0]], read(data))
        heapq.heappush(unpacked, (place, number, next(rows), rows))
    yield from next_rows(None)


def _rows(file: SourceFile, data: bytes) -> Iterator[Reject]:
    columns, name = unpack(data), path_text(file.path)
    reasons = [REASONS[code] for code in cast(np.ndarray, columns["reason"]).tolist()]
    texts = (np.asarray(columns[side]).tolist() for side in ("detail", "text"))
    for line, reason, detail, text in zip(
        cast(np.ndarray, columns["line"]).tolist(), reasons, *texts, strict=True
    ):
        yield Reject(name, line, reason, detail, text, file.numbered)
