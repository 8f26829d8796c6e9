"""Writes metrics of the last run to a file that node_exporter's textfile collector reads.

The file is valid in OpenMetrics 1.0 and in the older text format of Prometheus, which the collector reads:
it has gauges without timestamps only, and the `# EOF` of OpenMetrics is a comment in the older format.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from bitext.components.artifacts import ExampleAnomalies, Examples, ModelEvaluation, Rejects
from bitext.components.example_gen import SPLITS
from bitext.components.shared.files import atomic_writer
from bitext.components.shared.metrics import METRICS
from bitext.pipeline.records import Execution, Scalar, State
from bitext.pipeline.reports.outcome import Outcome

_LAST_SUCCESS = "bitext_last_success_timestamp_seconds"

Samples = Iterable[tuple[Mapping[str, str], float | None]]
"""The labels and value of each sample of a metric. A value of None is unknown, and its sample is left out."""
Family = tuple[str, str, Samples]
"""Name, description and samples of a metric."""


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
      pipeline: the pipeline's name.
      exit_code: the exit code of the process.
      started, ended: in seconds since the epoch, by the system clock.
      seconds: how long the run took, whatever the system clock said.
      outcome: what is recorded of the run; None: there is no record, or the store cannot be read.
    """

    pipeline: str
    exit_code: int
    started: float
    ended: float
    seconds: float
    outcome: Outcome | None


def write(path: Path, ending: Ending) -> None:
    """Replaces the file atomically. If a later run is recorded, the file stays as that run wrote it.

    Raises:
      OSError: the folder does not exist, or cannot be written.
    """
    if ending.outcome is not None and not ending.outcome.newest:
        return
    text = render(ending, _last_success(path, ending.pipeline))
    with atomic_writer(path) as file:
        os.fchmod(file.fileno(), 0o644)  # whatever the umask: the collector runs as another user
        file.write(text.encode())


def render(ending: Ending, last_success: float = 0.0) -> str:
    """Returns the content of the file.

    Args:
      ending: how the run ended.
      last_success: the time of the last success, which is used if there is no outcome.
    """
    lines: list[str] = []
    for name, description, samples in _families(ending, last_success):
        known = [(labels, value) for labels, value in samples if value is not None]
        if known:
            lines += [f"# HELP {name} {description}", f"# TYPE {name} gauge"]
        lines += [f"{_series(name, ending.pipeline, labels)} {float(value):.15g}" for labels, value in known]
    return "\n".join([*lines, "# EOF", ""])


def _families(ending: Ending, last_success: float) -> Iterator[Family]:
    """Yields the metrics of a run."""
    outcome = ending.outcome
    yield "bitext_run_exit_code", "Exit code of the last run.", _sample(ending.exit_code)
    yield "bitext_run_start_timestamp_seconds", "When the last run began.", _sample(ending.started)
    yield "bitext_run_end_timestamp_seconds", "When the last run ended.", _sample(ending.ended)
    yield "bitext_run_duration_seconds", "How long the last run took.", _sample(ending.seconds)
    success = outcome.last_success if outcome else last_success
    description = "When the newest complete run ended, its model blessed or not; 0: never."
    yield _LAST_SUCCESS, description, _sample(success)
    if outcome is not None:
        yield from _node_families(outcome.nodes())
        yield from _data_families(outcome)
        for metric in METRICS:
            score = outcome.last(ModelEvaluation.TYPE_NAME, metric.name)
            description = f"{metric.label} of the last run's model, {metric.bounds}."
            yield f"bitext_{metric.name}", description, _sample(score)
        yield "bitext_model_blessed", "Whether the last run's model was blessed.", _sample(outcome.blessed)
        description = "Version that was pushed last, by this run or an earlier one."
        yield "bitext_pushed_version", description, _sample(outcome.served)


def _node_families(nodes: Mapping[str, list[Execution]]) -> Iterator[Family]:
    seconds = [({"node": name}, sum(e.seconds for e in executions)) for name, executions in nodes.items()]
    yield "bitext_node_duration_seconds", "How long a node of the last run took.", seconds
    cached = [
        ({"node": name}, float(all(e.state == State.CACHED for e in executions)))
        for name, executions in nodes.items()
    ]
    yield "bitext_node_cached", "Whether a node of the last run was cached.", cached


def _data_families(outcome: Outcome) -> Iterator[Family]:
    rejects = Rejects.TYPE_NAME
    yield "bitext_rows", "Rows read.", _sample(outcome.total(rejects, "rows"))
    yield "bitext_rows_rejected", "Rows rejected.", _sample(outcome.total(rejects, "rejected"))
    examples = [
        ({"split": split}, outcome.total(Examples.TYPE_NAME, split, beside=rejects)) for split in SPLITS
    ]
    yield "bitext_examples", "Examples made of the rows.", examples
    anomalies = [
        ({"severity": severity}, outcome.total(ExampleAnomalies.TYPE_NAME, f"{severity}s"))
        for severity in ("error", "warning")
    ]
    description = "Anomalies: deviations of the data from the schema that did not stop the run."
    yield "bitext_anomalies", description, anomalies


def _sample(value: Scalar | None) -> Samples:
    """Returns one sample without labels."""
    return [({}, None if value is None else float(value))]


def _series(name: str, pipeline: str, labels: Mapping[str, str]) -> str:
    """Returns a metric's name with its labels, which both formats quote and escape as JSON does."""
    pairs = ",".join(f"{key}={json.dumps(value)}" for key, value in {"pipeline": pipeline, **labels}.items())
    return f"{name}{{{pairs}}}"


def _last_success(path: Path, pipeline: str) -> float:
    """Returns the last success that the file has: an alert on it must work while the store is unreachable."""
    with suppress(OSError, ValueError):
        for line in path.read_text(encoding="utf-8").splitlines():
            series, _, value = line.rpartition(" ")
            if series == _series(_LAST_SUCCESS, pipeline, {}):
                return float(value)
    return 0.0
