"""The section about scores over time."""

from __future__ import annotations

from collections.abc import Sequence

from bitext.components.artifacts.page import Axis, Block, Section, Series, Text
from bitext.components.shared.metrics import METRICS, Metric
from bitext.pipeline.reports.contents import Score
from bitext.pipeline.reports.history import charts
from bitext.pipeline.reports.history.entries import Entry
from bitext.pipeline.reports.history.table import when

_NEUTRAL = ("nrefs", "bs", "seed")
"""Parts of a signature that do not make scores incomparable: number of references and resamples."""
TEST_SPLIT_CHANGES = (
    "The test split follows the data: with new spans, scores of different runs are of different sentences."
    " bitext compare scores two runs on the sentences that both translated."
)


def comparable(signature: str) -> str:
    """Returns the part of a signature that two scores must share to be compared."""
    parts = signature.split("|")
    return "|".join(part for part in parts if part.partition(":")[0] not in _NEUTRAL)


def section(entries: Sequence[Entry]) -> Section | None:
    """Returns the section; None: no model was evaluated."""
    blocks: list[Block] = []
    for metric in METRICS:
        evaluated = [e for e in entries if e.is_evaluated and metric.name in e.scores]
        if not evaluated:
            continue
        blocks += _changes(metric, evaluated)
        axis = Axis(title=f"{metric.label} ({_direction(metric)})", zero=False)
        every = [*_models(metric, evaluated), _served(metric, entries)]
        blocks += charts.over_time(f"{metric.label} on the test split", axis, every)
    if not blocks:
        return None
    summary = (
        "Each trained model with its 95 % interval, marked if it was not pushed, and the model served then."
    )
    note = Text(text=TEST_SPLIT_CHANGES)
    return Section(id="scores", title="Scores", blocks=(note, *blocks), summary=summary)


def _direction(metric: type[Metric]) -> str:
    return "higher is better" if metric.higher_is_better else "lower is better"


def _models(metric: type[Metric], evaluated: Sequence[Entry]) -> list[Series | None]:
    """The scores of the trained models: one series for each signature, because lines suggest a comparison."""
    signatures = dict.fromkeys(comparable(e.scores[metric.name].signature) for e in evaluated)
    return [
        charts.series(
            "trained model" if len(signatures) == 1 else f"trained model, {_short(signature)}",
            [e for e in evaluated if comparable(e.scores[metric.name].signature) == signature],
            lambda entry: entry.scores[metric.name].score,
            lambda entry: entry.scores[metric.name].interval,
            marked=lambda entry: entry.outcome != "pushed",
        )
        for signature in signatures
    ]


def _served(metric: type[Metric], entries: Sequence[Entry]) -> Series | None:
    """The score, when it was pushed, of the model that is served after each pass."""
    by_version: dict[int, Score] = {}
    served: dict[str, float] = {}
    current: int | None = None
    for entry in entries:
        if entry.version is not None:
            current = entry.version
            source = entry.scores.get(metric.name)
            if entry.rolled_back_to is not None:
                source = by_version.get(entry.rolled_back_to)
            if source is not None:
                by_version[current] = source
        if current in by_version:
            served[entry.id] = by_version[current].score
    return charts.series("served model", entries, lambda entry: served.get(entry.id), role="other")


def _changes(metric: type[Metric], evaluated: Sequence[Entry]) -> list[Text]:
    """Names the runs from which on the signature is another one."""
    texts = []
    before = evaluated[0].scores[metric.name].signature
    for entry in evaluated[1:]:
        signature = entry.scores[metric.name].signature
        if comparable(signature) != comparable(before):
            texts.append(
                f"From {when(entry.started)} UTC on, {metric.label} has another signature: {signature}"
                f" instead of {before}. Do not compare scores across this change."
            )
        before = signature
    return [Text(text=text, tone="warning") for text in texts]


def _short(signature: str) -> str:
    """The parts of a signature that are usually changed."""
    parts = dict(part.partition(":")[::2] for part in signature.split("|"))
    return " ".join(f"{key}:{parts[key]}" for key in ("tok", "case", "version") if key in parts) or "unknown"
