"""Requests that keep to the limits of a model; see `seq2seq.export.requests`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Outputs = Mapping[str, np.ndarray[Any, Any]]
"""The outputs of a signature by name."""

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


def joined(parts: Sequence[Outputs]) -> dict[str, np.ndarray[Any, Any]]:
    """Joins the outputs of several calls of a signature, padded with zeros to one shape."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: _padded_rows([part[name] for part in parts]) for name in parts[0]}


def _padded_rows(parts: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    shape = np.max([part.shape[1:] for part in parts], axis=0) if parts[0].ndim > 1 else ()
    padded = [
        np.pad(
            part, [(0, 0), *((0, int(size) - own) for size, own in zip(shape, part.shape[1:], strict=True))]
        )
        for part in parts
    ]
    return np.concatenate(padded)
