"""Translation units: pairs that a format has with reasons why some are not used."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bitext.components.example_gen.formats.base import in_blocks

if TYPE_CHECKING:
    from bitext.components.example_gen.rows import Rows


@dataclasses.dataclass(frozen=True)
class Unit:
    """A pair of a file, or a unit that gives none.

    Attributes:
      line: number of the unit or of its line, from 1.
      source: text of the source; None: it has none.
      target: text of the target.
      rejected: reason and detail if it is not used.
    """

    line: int
    source: str | None
    target: str | None
    rejected: tuple[str, str] | None = None


def rows_of(units: Iterable[Unit]) -> Iterator[Rows]:
    """The units as blocks of rows."""
    import numpy as np
    import pyarrow as pa

    from bitext.components.example_gen.rows import Rows

    for block in in_blocks(units, lambda unit: len(unit.source or "") + len(unit.target or "")):
        source, target = (
            [None if text is None else text.encode("utf-8", "surrogatepass") for text in side]
            for side in ([unit.source for unit in block], [unit.target for unit in block])
        )
        raw = tuple(pa.array([text or b"" for text in side], pa.binary()) for side in (source, target))
        yield Rows(
            np.array([unit.line for unit in block], np.int64),
            (pa.array(source, pa.binary()), pa.array(target, pa.binary())),
            raw,
            np.full(len(block), 2, np.int64),
            {row: unit.rejected for row, unit in enumerate(block) if unit.rejected is not None},
        )
