"""Reads the artifacts that reports are made from.

If an artifact is missing, damaged or unreadable, each function returns None or an empty list, and the report
leaves that content out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bitext.components.artifacts import (
    InfraBlessing,
    Metrics,
    ModelBlessing,
    ModelEvaluation,
    Pushed,
    PushedModel,
    Translated,
)
from bitext.components.shared.errors import DataError
from bitext.pipeline.records import StoredArtifact

T = TypeVar("T")
BLESSINGS = {kind.TYPE_NAME: kind for kind in (ModelBlessing, InfraBlessing)}
"""The kinds that hold a verdict, by type name."""


def metrics(evaluation: StoredArtifact) -> Metrics | None:
    """Returns the scores of a ModelEvaluation."""
    return _readable(ModelEvaluation(Path(evaluation.uri)).metrics)


def pushed(pushed_model: StoredArtifact) -> Pushed | None:
    """Returns the record of a PushedModel."""
    return _readable(PushedModel(Path(pushed_model.uri)).record)


def translations(evaluation: StoredArtifact) -> list[Translated]:
    """Returns the translations of a ModelEvaluation."""
    return _readable(ModelEvaluation(Path(evaluation.uri)).translations) or []


def reasons(blessing: StoredArtifact) -> list[str]:
    """Returns the reasons of a verdict; its folder if it cannot be read."""
    verdict = _readable(BLESSINGS[blessing.type](Path(blessing.uri)).verdict)
    return verdict.reasons if verdict is not None else [f"see {blessing.uri}"]


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Returns at most `count` of the items, spread evenly, the first among them."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def _readable(read: Callable[[], T]) -> T | None:
    """Returns what a function reads; None if the file is missing, damaged or unreadable."""
    try:
        return read()
    except (DataError, OSError):
        return None
