"""Says in words what the parts of the work are, by their names: `span 7`, `news span 7 version 2`, `law`."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SPAN = re.compile(r"(?:(?P<corpus>\S+) )?(?P<span>span \S+.*|no span)|")
"""The name of a part that is a span. Others have the name of their corpus."""


def _spans_by_corpus(names: Sequence[str]) -> dict[str, list[str]]:
    """The spans of each corpus; those of the only corpus, which has no name, are under ""."""
    spans: dict[str, list[str]] = {}
    for name in names:
        match = _SPAN.fullmatch(name)
        spans.setdefault((match["corpus"] or "") if match else name, []).append(
            match["span"] if match else ""
        )
    return spans


def count_parts(names: Sequence[str]) -> str:
    """Counts parts: `2 corpora`, `7 spans`, `9 spans of 2 corpora`."""
    spans = _spans_by_corpus(names)
    corpora = "1 corpus" if len(spans) == 1 else f"{len(spans):,} corpora"
    counted = f"{len(names):,} span{'s' * (len(names) != 1)}"
    if [*spans] == [""]:
        return counted
    return (
        corpora
        if len(names) == len(spans) and not any(map(any, spans.values()))
        else f"{counted} of {corpora}"
    )


def list_parts(names: Sequence[str]) -> str:
    """Lists parts: `news (span 1 to span 7, 7 in all), law`."""
    in_words = []
    for corpus, spans in _spans_by_corpus(names).items():
        own = f"{spans[0]} to {spans[-1]}, {len(spans)} in all" if spans[1:] else spans[0]
        in_words.append(f"{corpus} ({own})" if corpus and own else corpus or own)
    return ", ".join(in_words)
