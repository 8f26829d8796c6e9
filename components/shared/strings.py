"""Checks of Arrow arrays of strings, without a loop over them."""

from __future__ import annotations

import functools
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.text import characters, normalization

_CONTROLS = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x{84}\x{86}-\x{9F}]"
"""Unicode category Cc without tab, line feed, carriage return and next line, which are white space."""
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


def rows_with_controls(text: pa.Array) -> npt.NDArray[np.bool_]:
    """Which texts contain control characters other than white space: bool[N].

    Args:
      text: string[N] without nulls.
    """
    data, _ = bytes_of(text)
    # Most blocks have no byte that a control character begins with, and need no regular expression.
    after_c2 = data[np.flatnonzero(data == 0xC2) + 1]
    if not ((data < 0x20).any() or (data == 0x7F).any() or (after_c2 < 0xA0).any()):
        return np.zeros(len(text), bool)
    matches = pc.match_substring_regex(text, pattern=_CONTROLS)
    return cast(npt.NDArray[np.bool_], matches.to_numpy(zero_copy_only=False).astype(bool))


def blank_rows(text: pa.Array) -> npt.NDArray[np.bool_]:
    """Which texts are blank, by the rule of the text path (`normalization.is_blank`).

    Args:
      text: string[N] without nulls.

    Returns:
      bool[N].
    """
    data, offsets = bytes_of(text)
    is_empty = offsets[:-1] == offsets[1:]
    doubtful = np.flatnonzero(is_empty)
    if len(data):
        # The first two bytes show that most texts begin with a visible character. Of the others, a regular
        # expression selects the few that Python looks at.
        first, second = (data[np.minimum(offsets[:-1] + i, len(data) - 1)].astype(np.int64) for i in (0, 1))
        doubtful = np.flatnonzero(is_empty | _invisible_first_bytes()[first << 8 | second])
    invisible = pc.match_substring_regex(text.take(pa.array(doubtful)), pattern=_INVISIBLE)
    blank = np.zeros(len(text), bool)
    for row in doubtful[cast(np.ndarray, invisible.to_numpy(zero_copy_only=False)).astype(bool)].tolist():
        blank[row] = normalization.is_blank(text[row].as_py())
    return blank


@functools.cache
def _invisible_first_bytes() -> npt.NDArray[np.bool_]:
    """Whether an invisible character may begin with two bytes of UTF-8: bool[65536]."""
    table = np.zeros(1 << 16, bool)
    for code in characters.code_points((*characters.white_space(), *characters.IGNORABLE)):
        first, *others = chr(code).encode()
        table[first << 8 | others[0] if others else slice(first << 8, (first + 1) << 8)] = True
    return table


def with_tag(text: pa.Array, tag: str) -> pa.Array:
    """Texts with the tag of their corpus before them: string[N]. Empty tag: as they are."""
    return pc.binary_join_element_wise(tag, text, " ") if tag else text


def without_tag(text: pa.Array, tag: str) -> pa.Array:
    """The inverse of `with_tag`: string[N]."""
    return pc.utf8_replace_slice(text, 0, len(tag) + 1, "") if tag else text
