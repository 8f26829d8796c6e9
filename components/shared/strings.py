"""Checks of Arrow arrays of strings, without a loop over them."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.text import normalization

_INVISIBLE = (
    r"^[\p{Z}\p{C}\p{M}\x{115F}\x{1160}\x{2065}\x{3164}\x{FFA0}\x{FFF0}-\x{FFFB}\x{E0000}-\x{E0FFF}]*$"
)
"""Texts that may be blank: separators, controls, marks, and characters without a glyph."""


def bytes_of(text: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The UTF-8 bytes of an Arrow array of strings without nulls, not copied.

    Args:
      text: string[N].

    Returns:
      uint8[M], the bytes of all texts; and int64[N + 1], where each text begins and the last one ends.
    """
    _, offsets_buffer, data_buffer = text.buffers()
    if offsets_buffer is None or not len(text):
        return np.zeros(0, np.uint8), np.zeros(len(text) + 1, np.int64)
    offsets = np.frombuffer(offsets_buffer, np.int32)[text.offset : text.offset + len(text) + 1]
    data = np.zeros(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    return data[offsets[0] : offsets[-1]], offsets.astype(np.int64) - int(offsets[0])


def blank_rows(text: pa.Array) -> npt.NDArray[np.bool_]:
    """Which texts are blank, by the rule of the text path (`normalization.is_blank`).

    Args:
      text: string[N] without nulls.

    Returns:
      bool[N].
    """
    data, offsets = bytes_of(text)
    first_byte = np.append(data, np.uint8(0))[offsets[:-1]]
    # A text that begins with a visible ASCII character is not blank. Of the others, a regular expression
    # selects the few that Python looks at.
    doubtful = np.flatnonzero((first_byte <= 0x20) | (first_byte >= 0x7F) | (offsets[:-1] == offsets[1:]))
    invisible = pc.match_substring_regex(text.take(pa.array(doubtful)), pattern=_INVISIBLE)
    blank = np.zeros(len(text), bool)
    for row in doubtful[cast(np.ndarray, invisible.to_numpy(zero_copy_only=False)).astype(bool)].tolist():
        blank[row] = normalization.is_blank(text[row].as_py())
    return blank
