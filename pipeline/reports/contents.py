"""Reads the artifacts that reports are made from.

If an artifact is missing, damaged or unreadable, each function returns None or what the metadata store has of
it. `problem` says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from bitext.components.artifacts import (
    Blessing,
    InfraBlessing,
    Metrics,
    ModelBlessing,
    ModelEvaluation,
    Pushed,
    PushedModel,
    Translated,
)
from bitext.components.shared.errors import DataError
from bitext.components.shared.metrics import METRICS
from bitext.pipeline.records import Scalar, StoredArtifact

T = TypeVar("T")
COLLECTED = "the reasons are not on record: bitext gc removed the verdict"
BLESSINGS = {kind.TYPE_NAME: kind for kind in (ModelBlessing, InfraBlessing)}
"""The kinds that hold a verdict, by type name."""


def metrics(evaluation: StoredArtifact) -> Metrics | None:
    """Returns the scores of a ModelEvaluation."""
    return readable(ModelEvaluation(evaluation.path).metrics)


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The score of a model.

    Attributes:
      score: the score.
      interval: its 95 % interval; None: not on record.
      signature: the options that it depends on; empty: not on record.
    """

    score: float
    interval: tuple[float, float] | None = None
    signature: str = ""


def scores(evaluation: StoredArtifact) -> dict[str, Score]:
    """Returns the scores on the test split by metric, from the file or else from the record."""
    read = metrics(evaluation) if evaluation.exists else None
    if read is not None:
        return {
            name: Score(score=score.score, interval=score.interval, signature=score.signature)
            for name, score in read.scores.items()
        }
    properties = evaluation.properties
    return {
        metric.name: Score(
            score=float(properties[metric.name]),
            interval=_interval(properties, metric.name),
            signature=str(properties.get(f"{metric.name}_signature", "")),
        )
        for metric in METRICS
        if metric.name in properties
    }


def _interval(properties: dict[str, Scalar], name: str) -> tuple[float, float] | None:
    """The interval of a score; None: an older version has not recorded it."""
    low, high = properties.get(f"{name}_low"), properties.get(f"{name}_high")
    return None if low is None or high is None else (float(low), float(high))


def problem(evaluation: StoredArtifact) -> str:
    """Returns why the scores of an evaluation cannot be read; empty: they can, or its folder was removed."""
    if not evaluation.exists:
        return ""
    try:
        ModelEvaluation(evaluation.path).metrics()
    except (DataError, OSError) as error:
        return f"the scores cannot be read: {error}"
    return ""


def pushed(pushed_model: StoredArtifact) -> Pushed | None:
    """Returns the record of a PushedModel."""
    return readable(PushedModel(pushed_model.path).record)


def translations(evaluation: StoredArtifact) -> list[Translated]:
    """Returns the translations of a ModelEvaluation."""
    return readable(ModelEvaluation(evaluation.path).translations) or []


def reasons(blessing: StoredArtifact) -> list[str]:
    """Returns the reasons of a verdict, from its file, or else from the record; or where to look."""
    verdict = readable(BLESSINGS[blessing.type](blessing.path).verdict)
    if verdict is not None:
        return verdict.reasons
    if recorded := str(blessing.properties.get(Blessing.REASONS_PROPERTY, "")):
        return [recorded]
    return [f"see {blessing.uri}" if blessing.exists else COLLECTED]


def forced(blessings: Sequence[StoredArtifact]) -> str:
    """Returns a person's reason to bless the model whatever its scores; empty: nobody forced it."""
    return next((str(b.properties["forced"]) for b in blessings if "forced" in b.properties), "")


def checks(blessings: Sequence[StoredArtifact]) -> list[str]:
    """Returns the reasons of verdicts without that of a person who forced one."""
    force = f"forced: {forced(blessings)}"
    found = [reason.removesuffix(f"; {force}") for blessing in blessings for reason in reasons(blessing)]
    return [reason for reason in found if reason != force]


def readable(read: Callable[[], T]) -> T | None:
    """Returns what a function reads; None if the file is missing, damaged or unreadable."""
    try:
        return read()
    except (DataError, OSError):
        return None
