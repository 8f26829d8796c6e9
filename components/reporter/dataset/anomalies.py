"""What ExampleValidator found: differences from the schema and between splits, runs and requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bitext.components.artifacts import ExampleAnomalies
from bitext.components.artifacts.page import Block, Column, Details, Table, Text
from bitext.components.reporter import Inputs

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

_CHECKS = {
    "drift": "against the previous blessed run",
    "train-eval": "against split eval",
    "serving": "against the requests to the served model",
}
_AGAINST_SCHEMA = "against the schema"


def blocks(inputs: Inputs) -> Iterator[Block]:
    """Yields the anomalies and the distances that were measured.

    Raises:
      DataError: a file is damaged.
    """
    if inputs.anomalies is None:
        return
    comparisons = list(_comparisons(inputs.anomalies))
    found = [row for name, anomalies in comparisons for row in _findings(name, anomalies)]
    if found:
        yield Table(
            title="Anomalies",
            columns=(
                Column(title="comparison"),
                Column(title="feature"),
                Column(title="severity"),
                Column(title="what was found", content="corpus"),
            ),
            rows=tuple(found),
        )
    else:
        names = ", ".join(name for name, _ in comparisons)
        yield Text(text=f"No anomalies in {len(comparisons)} comparisons: {names}.", tone="good")
    measured = [row for name, anomalies in comparisons for row in _distances(name, anomalies)]
    distances = sorted(measured, key=lambda row: -row[3] / (row[4] or 1.0))
    if distances:
        table = Table(
            title="Drift and skew",
            columns=(
                Column(title="feature"),
                Column(title="comparison"),
                Column(title="measure"),
                Column(title="distance", content="number", digits=4),
                Column(title="threshold", content="number", digits=4),
            ),
            rows=tuple(distances),
            note="A distance above its threshold is an anomaly. The closest to its threshold is first.",
        )
        yield Details(summary=f"Drift and skew: {len(distances)} distances", blocks=(table,))


def _comparisons(artifact: ExampleAnomalies) -> Iterator[tuple[str, anomalies_pb2.Anomalies]]:
    """Yields the comparisons, each with its name."""
    for folder, split in artifact.comparisons():
        *parts, last = folder.split("/")
        check = _CHECKS.get(last)
        of_part = "/".join(parts if check else [*parts, last]).removeprefix(".")
        name = f"split {split} {check or _AGAINST_SCHEMA}"
        yield (f"{of_part}, {name}" if of_part else name), artifact.load(split, folder)


def _findings(name: str, anomalies: anomalies_pb2.Anomalies) -> Iterator[tuple[str, str, str, str]]:
    """Yields a row for each anomaly."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    infos = dict(anomalies.anomaly_info)
    if anomalies.HasField("dataset_anomaly_info"):
        infos[""] = anomalies.dataset_anomaly_info
    for feature, info in sorted(infos.items()):
        severity = "warning" if info.severity == anomalies_pb2.AnomalyInfo.WARNING else "error"
        for reason in info.reason:
            detail = reason.description.strip().rstrip(".")
            yield name, feature or "all", severity, f"{reason.short_description}: {detail}"


def _distances(name: str, anomalies: anomalies_pb2.Anomalies) -> Iterator[tuple[str, str, str, float, float]]:
    """Yields a row for each distance that was measured."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    kinds = anomalies_pb2.DriftSkewInfo.Measurement.Type
    for info in anomalies.drift_skew_info:
        for measurement in (*info.drift_measurements, *info.skew_measurements):
            measure = kinds.Name(measurement.type).lower().replace("_", " ")
            yield ".".join(info.path.step), name, measure, measurement.value, measurement.threshold
