"""The figures of the last run, in a file that node_exporter's textfile collector reads.

What is written is both OpenMetrics 1.0 and the older text format of Prometheus, which the collector reads:
gauges alone, without times of their own; the `# EOF` of the one is a comment to the other.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from bitext.components.example_gen import SPLITS
from bitext.components.shared.metrics import METRICS
from bitext.pipeline.outcome import Outcome
from bitext.pipeline.records import State

_LAST_SUCCESS = "bitext_last_success_timestamp_seconds"

Samples = Iterable[tuple[Mapping[str, str], float | None]]


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
      pipeline: the pipeline's name.
      exit_code: the process's.
      started, ended: in seconds since the epoch.
      outcome: what is on record of the run; None: it is on no record, or the store does not answer.
    """

    pipeline: str
    exit_code: int
    started: float
    ended: float
    outcome: Outcome | None


def write(path: Path, ending: Ending) -> None:
    """Replaces the file at once; a run that a later one has followed leaves it to that one.

    Raises:
      OSError: the folder is not there, or cannot be written.
    """
    if ending.outcome is not None and not ending.outcome.newest:
        return
    text = render(ending, _said_before(path, ending.pipeline))
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o644)  # the collector is another user
            file.write(text)
        os.replace(new, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(new)
        raise


def render(ending: Ending, last_success: float = 0.0) -> str:
    """The file's content.

    Args:
      ending: the run's.
      last_success: what to say of it if the record does not.
    """
    lines: list[str] = []
    for name, words, samples in _families(ending, last_success):
        said = [(labels, value) for labels, value in samples if value is not None]
        if said:
            lines += [f"# HELP {name} {words}", f"# TYPE {name} gauge"]
        lines += [f"{_series(name, ending.pipeline, labels)} {float(value):.15g}" for labels, value in said]
    return "\n".join([*lines, "# EOF", ""])


def _families(ending: Ending, last_success: float) -> Iterator[tuple[str, str, Samples]]:
    """Name, help and samples of each metric. A sample of None is not known, and left out."""
    outcome = ending.outcome

    def one(value: object) -> Samples:
        return [({}, None if value is None else float(value))]  # type: ignore[arg-type]

    yield "bitext_run_exit_code", "Exit code of the last run.", one(ending.exit_code)
    yield "bitext_run_start_timestamp_seconds", "When the last run began.", one(ending.started)
    yield "bitext_run_end_timestamp_seconds", "When the last run ended.", one(ending.ended)
    duration = ending.ended - ending.started
    yield "bitext_run_duration_seconds", "How long the last run took.", one(duration)
    success = outcome.last_success if outcome else last_success
    yield (
        _LAST_SUCCESS,
        "When the newest complete run ended, its model blessed or not; 0: never.",
        one(success),
    )
    if outcome is None:
        return
    nodes = outcome.nodes()
    yield (
        "bitext_node_duration_seconds",
        "How long a node of the last run took.",
        [({"node": node}, sum(e.seconds for e in executions)) for node, executions in nodes.items()],
    )
    yield (
        "bitext_node_cached",
        "Whether a node of the last run was taken from the cache.",
        [
            ({"node": node}, all(e.state == State.CACHED for e in executions))
            for node, executions in nodes.items()
        ],
    )
    yield "bitext_rows", "Rows read.", one(outcome.total("Rejects", "rows"))
    yield "bitext_rows_rejected", "Rows refused.", one(outcome.total("Rejects", "rejected"))
    yield (
        "bitext_examples",
        "Examples made of the rows.",
        [({"split": split}, outcome.total("Examples", split, beside="Rejects")) for split in SPLITS],
    )
    yield (
        "bitext_anomalies",
        "Where the data departs from the schema without stopping the run.",
        [
            ({"severity": severity}, outcome.total("ExampleAnomalies", f"{severity}s"))
            for severity in ("error", "warning")
        ],
    )
    for metric in METRICS:
        yield (
            f"bitext_{metric.name}",
            f"{metric.label} of the last run's model, {metric.bounds}.",
            one(outcome.last("ModelEvaluation", metric.name)),
        )
    yield "bitext_model_blessed", "Whether the last run's model was blessed.", one(outcome.blessed)
    yield "bitext_pushed_version", "Version that was last pushed, by this run or before.", one(outcome.served)


def _series(name: str, pipeline: str, labels: Mapping[str, str]) -> str:
    """A metric's name with its labels, quoted and escaped as JSON has it, which is how the formats do."""
    pairs = ",".join(f"{key}={json.dumps(value)}" for key, value in {"pipeline": pipeline, **labels}.items())
    return f"{name}{{{pairs}}}"


def _said_before(path: Path, pipeline: str) -> float:
    """The last success as the file has it: an alert that watches it must outlive the metadata's absence."""
    with suppress(OSError, ValueError):
        for line in path.read_text(encoding="utf-8").splitlines():
            series, _, value = line.rpartition(" ")
            if series == _series(_LAST_SUCCESS, pipeline, {}):
                return float(value)
    return 0.0
