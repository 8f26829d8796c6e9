"""Reads the normalization rule of a SentencePiece model (`precompiled_charsmap`)."""

from __future__ import annotations

import struct
import unicodedata

import numpy as np
import numpy.typing as npt

from bitext.components.text import WORD_BOUNDARY

Units = npt.NDArray[np.uint32]

_LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8."""


def replacements(charsmap: bytes, *, characters_only: bool) -> tuple[dict[str, str], str]:
    """Returns what a rule replaces in text that is in bitext's normal form.

    The graph replaces single characters and composes marks with the new ones (NFC). A key of several
    characters needs nothing else if that gives its replacement, or if it never occurs in composed text.

    Args:
      charsmap: the size of a trie of UTF-8 strings, the trie (a double array of Darts-clone), and the strings
        that replace the keys, each with a zero byte after it.
      characters_only: whether keys of several characters are known to need nothing else.

    Returns:
      The replacements of single characters, and a key that the graph cannot replace, or "".

    Raises:
      ValueError: the bytes are damaged.
      IndexError: the trie is damaged.
      struct.error: the bytes are cut short.
    """
    rule = _read(charsmap, _LONGEST_CHARACTER if characters_only else len(charsmap))
    occurring = {old: new for old, new in rule.items() if _can_occur(old)}
    result = {old: new for old, new in occurring.items() if len(old) == 1}
    others = {} if characters_only else occurring

    def replaced(text: str) -> str:
        return unicodedata.normalize("NFC", "".join(result.get(character, character) for character in text))

    return result, next((old for old, new in others.items() if replaced(old) != new), "")


def _can_occur(key: str) -> bool:
    """Whether normalized text can have a key. The composed form of unassigned characters is unknown."""
    excluded = ("Cc", "Cn", "Zl", "Zp") if len(key) > 1 else ("Cc", "Zl", "Zp")
    return unicodedata.is_normalized("NFC", key) and not any(
        c == WORD_BOUNDARY or unicodedata.category(c) in excluded for c in key
    )


def _read(charsmap: bytes, longest: int) -> dict[str, str]:
    """Returns the keys of at most `longest` bytes and their replacements, if they differ."""
    if not charsmap:
        return {}
    (size,) = struct.unpack_from("<I", charsmap)
    units, strings = np.frombuffer(charsmap, "<u4", size // 4, 4), charsmap[4 + size :]
    result = {}
    for key, start in _keys(units, longest):
        new = strings[start : strings.index(b"\0", start)].decode()
        if new != (old := key.decode()):
            result[old] = new
    return result


def _keys(units: Units, longest: int) -> list[tuple[bytes, int]]:
    """The keys of a trie with their values. All nodes of one depth are visited at once.

    A unit has the offset to its children, whether it has a value (its child 0), and the byte that leads to
    it.
    """
    result: list[tuple[bytes, int]] = []
    nodes, prefixes = np.zeros(1, np.int64), [b""]
    offsets = ((units >> 10) << ((units & 0x200) >> 6)).astype(np.int64)
    label, visited = np.arange(1, 256), 0
    for _ in range(longest + 1):
        if not len(nodes):
            break
        if (visited := visited + len(nodes)) > len(units):
            raise ValueError("its trie has a cycle")
        bases = nodes ^ offsets[nodes]
        for row in np.flatnonzero(units[nodes] >> 8 & 1):
            result.append((prefixes[row], int(units[bases[row]] & 0x7FFFFFFF)))
        children = bases[:, None] ^ label
        inside = children < len(units)
        matches = inside & ((units[np.where(inside, children, 0)] & 0x800000FF) == label)
        rows, columns = np.nonzero(matches)
        nodes = children[rows, columns]
        prefixes = [prefixes[row] + bytes([label[column]]) for row, column in zip(rows, columns, strict=True)]
    return result
