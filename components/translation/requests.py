"""Requests that keep to the limits of a model; see `seq2seq.export.requests`."""

from __future__ import annotations

import re
from collections.abc import Sequence

NO_LIMIT = 2**31 - 1
"""The limit of a model that tells none."""
_REFUSAL = re.compile(r"assertion failed: \[(input \w+ .*)\]\n")


def refusal(error: Exception) -> str | None:
    """Returns what the check of a request says; None: the error is not that of a check."""
    match = _REFUSAL.search(str(error))
    return match[1] if match else None


def cut(lines: Sequence[bytes], most: int) -> list[bytes]:
    """Cuts lines of UTF-8 to at most `most` bytes, between two characters."""
    return [line if len(line) <= most else line[:most].decode("utf-8", "ignore").encode() for line in lines]
