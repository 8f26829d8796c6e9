"""Rows of tables that carriage returns within a field have cut into pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitext.components.example_gen.rows import Ints, Mask

_CUT = "a carriage return within the row cuts it into pieces"


def cut_by_carriage_returns(after_return: Mask, column_counts: Ints) -> dict[int, tuple[str, str]]:
    """The rows that a carriage return within a field has cut into pieces, for `Rows.rejected`.

    A carriage return alone ends a row. But if line feeds end most rows of a block, and a row beside a
    carriage return has fewer columns than the other rows, then the carriage return stood within a field: the
    pieces on both sides of it, and blank lines between them, are no pairs.

    Args:
      after_return: bool[N], whether the line end before each row is a carriage return alone.
      column_counts: int64[N], number of columns of each row; 0: it is a blank line.
    """
    import numpy as np

    if not after_return.any() or 2 * after_return.sum() > len(column_counts):
        return {}
    written = np.flatnonzero(column_counts > 0)
    others = column_counts[~(after_return | np.append(after_return[1:], False)) & (column_counts > 0)]
    usual = np.bincount(others).argmax() if len(others) else column_counts.max()
    is_piece = column_counts[written] < usual
    # Only carriage returns are between these and the next written row.
    returns = np.diff(np.cumsum(after_return)[written]) == np.diff(written)
    cut = np.flatnonzero(returns & (is_piece[1:] | is_piece[:-1]))
    rows = sorted({row for k in cut.tolist() for row in range(int(written[k]), int(written[k + 1]) + 1)})
    return dict.fromkeys(rows, ("carriage_return", _CUT))
