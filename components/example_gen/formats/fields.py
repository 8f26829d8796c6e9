"""Field paths of records: `translation.en` names a field of a field, `0` an item of an array."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MISSING = object()
_MOST_SHOWN = 20


def value_at(value: Any, path: str) -> Any:
    """The value at a path; `MISSING` if there is none. A field with dots in its name is found, too."""
    if isinstance(value, dict):
        if path in value:
            return value[path]
        head, _, rest = path.partition(".")
        return value_at(value[head], rest) if rest and head in value else MISSING
    if isinstance(value, list):
        head, _, rest = path.partition(".")
        if not head.isdecimal() or int(head) >= len(value):
            return MISSING
        return value_at(value[int(head)], rest) if rest else value[int(head)]
    return MISSING


def text_paths(value: Any, prefix: str = "") -> Iterator[str]:
    """The paths of all texts of a record, in order."""
    if isinstance(value, str):
        yield prefix
        return
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for name, item in items:
        yield from text_paths(item, f"{prefix}.{name}" if prefix else str(name))


def shown(paths: list[str]) -> str:
    """Paths, for a message."""
    more = f" and {len(paths) - _MOST_SHOWN:,} more" if len(paths) > _MOST_SHOWN else ""
    return ", ".join(map(repr, paths[:_MOST_SHOWN])) + more if paths else "none"
