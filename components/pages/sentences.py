"""What the page's script needs of a list of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bitext.components.artifacts.page import Alignment, Candidate, SentenceRow, Sentences
from bitext.components.pages.text import finite

WEIGHTS = "".join(
    [*(chr(code) for code in range(0x20, 0x7F) if chr(code) not in "\"'\\<>&"), *map(chr, range(0xC0, 0xCC))]
)
"""The character of each weight from 0 to 100. A row of a heat map takes a byte a cell this way."""


def payload(block: Sentences) -> dict[str, Any]:
    """Returns a list of sentences with names replaced by their positions in lists."""
    metrics = _distinct(metric for row in block.rows for one in row.candidates for metric in one.scores)
    facts = _distinct(name for row in block.rows for name in row.facts)
    candidates = _distinct(one.name for row in block.rows for one in row.candidates)
    labels = _distinct([*block.labels, *(label for row in block.rows for label in row.labels)])
    return {
        "total": block.total,
        "weights": WEIGHTS,
        "metrics": metrics,
        "lower": [metric in block.lower_is_better for metric in metrics],
        "facts": facts,
        "candidates": candidates,
        "labels": [[label, block.labels.get(label, "")] for label in labels],
        "rows": [
            {
                "id": row.id,
                "source": row.source,
                "references": list(row.references),
                "labels": [labels.index(label) for label in row.labels],
                "facts": [_value(row.facts.get(name)) for name in facts],
                "candidates": _candidates(row, candidates, metrics),
            }
            for row in block.rows
        ],
    }


def segments(text: str, differing: Sequence[tuple[int, int]]) -> list[str]:
    """Returns the parts of a text: equal, differing, equal, ... The first and the last may be empty.

    Args:
      text: the text.
      differing: the differing parts as pairs of positions; parts that touch or overlap become one.
    """
    merged: list[list[int]] = []
    for start, end in sorted((max(0, a), min(len(text), b)) for a, b in differing):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    parts, position = [], 0
    for start, end in merged:
        parts += [text[position:start], text[start:end]]
        position = end
    return [*parts, text[position:]]


def _distinct(names: Any) -> list[str]:
    return list(dict.fromkeys(names))


def _value(value: Any) -> Any:
    return finite(value) if isinstance(value, float) else value


def _candidates(row: SentenceRow, names: list[str], metrics: list[str]) -> list[dict[str, Any]]:
    """Returns the candidates. Source tokens that are those of the first candidate are left out."""
    found: list[dict[str, Any]] = []
    first: tuple[str, ...] | None = None
    for candidate in row.candidates:
        one = _candidate(candidate, names, metrics)
        if candidate.alignment is not None:
            one["alignment"] = _alignment(candidate.alignment, first)
            first = candidate.alignment.source if first is None else first
        found.append(one)
    return found


def _candidate(candidate: Candidate, names: list[str], metrics: list[str]) -> dict[str, Any]:
    scores = [finite(candidate.scores.get(metric)) for metric in metrics]
    return {
        "name": names.index(candidate.name),
        "text": segments(candidate.text, candidate.differing),
        "scores": [None if score is None else round(score, 3) for score in scores],
    }


def _alignment(alignment: Alignment, first: tuple[str, ...] | None) -> dict[str, Any]:
    rows = ["".join(WEIGHTS[max(0, min(100, weight))] for weight in row) for row in alignment.weights]
    known = {} if alignment.source == first else {"source": list(alignment.source)}
    return known | {"target": list(alignment.target), "rows": rows}
