"""Reads the files in which components report: scores, translations, refusals, what was pushed.

A damaged file is as good as none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def metrics(evaluation: Path) -> dict[str, Any] | None:
    """A ModelEvaluation's `metrics.json`; None if it is not there."""
    return _json_object(evaluation / "metrics.json")


def pushed(pushed_model: Path) -> dict[str, Any] | None:
    """A PushedModel's `pushed.json`; None if it is not there."""
    return _json_object(pushed_model / "pushed.json")


def translations(evaluation: Path) -> list[dict[str, Any]]:
    """A ModelEvaluation's `translations.jsonl`."""
    try:
        with (evaluation / "translations.jsonl").open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    except (FileNotFoundError, ValueError):
        return []


def refusal(blessing: Path) -> list[str]:
    """The reasons in a blessing's `NOT_BLESSED` or `INFRA_NOT_BLESSED`; where to look if it holds none."""
    for path in blessing.glob("*NOT_BLESSED"):
        reasons = (_json_object(path) or {}).get("reasons")
        return [str(reason) for reason in reasons] if isinstance(reasons, list) else [f"see {path}"]
    return [f"see {blessing}"]


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, spread evenly, the first among them."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def _json_object(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None
