"""The pieces of a unigram model as a trie, of which every edge is a line `key<TAB>value` of the merges file.

* `key = node * 2**32 + code point`. The root is node 0. The node of a piece is its id; the nodes of prefixes
  that are no pieces begin at `FIRST_PREFIX`.
* `value = bits * 2**32 + node`: the float32 bits of the piece's score (no piece: minus infinity), and the
  node to which the code point leads.
* The value of `UNKNOWN_KEY` is the score of an unknown character and the id of `<unk>`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping

from bitext.components.text import KEY_FACTOR, UNK_ID

ROOT, FIRST_PREFIX = 0, 2**30
UNKNOWN_KEY = -KEY_FACTOR


def edges(pieces: Mapping[str, tuple[int, float]], unknown_score: float) -> Iterator[tuple[int, int, int]]:
    """Yields the edges of the trie of pieces as lines of the merges file: (left, right, value).

    Args:
      pieces: the id and the score of each piece.
      unknown_score: the score of a character that is no piece.
    """
    yield -1, 0, _value(unknown_score, UNK_ID)
    nodes: dict[str, int] = {"": ROOT}
    for piece in pieces:
        for end in range(1, len(piece) + 1):
            prefix = piece[:end]
            if prefix not in nodes:
                identifier, score = pieces.get(prefix, (FIRST_PREFIX + len(nodes), -math.inf))
                nodes[prefix] = identifier
                yield nodes[prefix[:-1]], ord(prefix[-1]), _value(score, identifier)


def _value(score: float, node: int) -> int:
    (bits,) = struct.unpack("<i", struct.pack("<f", score))
    return int(bits) * KEY_FACTOR + node
