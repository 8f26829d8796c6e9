"""Metrics of the server in the text format of OpenMetrics 1.0."""

from __future__ import annotations

import bisect
import collections
import time
from collections.abc import Iterable, Iterator, Mapping

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Mapping[str, str], float]
"""The end of a name (`_total`), labels and value."""


class Histogram:
    """A histogram for each set of labels.

    Args:
      bounds: the upper ends of its buckets.
    """

    def __init__(self, bounds: tuple[float, ...]):
        self._bounds = bounds
        self._counts: dict[Labels, list[int]] = {}
        self._sums: collections.Counter[Labels] = collections.Counter()

    def add(self, value: float, **labels: str) -> None:
        """Adds a value."""
        key = tuple(sorted(labels.items()))
        counts = self._counts.setdefault(key, [0] * (len(self._bounds) + 1))
        counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sums[key] += value  # type: ignore[assignment]

    def samples(self) -> Iterator[Sample]:
        """Yields the samples of the histogram."""
        for key, counts in sorted(self._counts.items()):
            labels, total = dict(key), 0
            for bound, count in zip((*map(str, self._bounds), "+Inf"), counts, strict=True):
                total += count
                yield "_bucket", {**labels, "le": bound}, total
            yield "_count", labels, total
            yield "_sum", labels, self._sums[key]


class Metrics:
    """The counts of the server.

    Attributes:
      requests: number of requests by labels.
      seconds: durations of requests.
      batches: texts in a call of the model.
    """

    def __init__(self) -> None:
        self.started = time.time()
        self.requests: collections.Counter[Labels] = collections.Counter()
        self.seconds = Histogram(SECONDS)
        self.batches = Histogram(ROWS)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request."""
        self.requests[("code", str(status)), ("route", route)] += 1
        self.seconds.add(seconds, route=route)

    def batch(self, signature: str, rows: int) -> None:
        """Counts a call of the model."""
        self.batches.add(float(rows), signature=signature)

    def render(self, model: str, gauges: Iterable[tuple[str, str, Iterable[Sample]]], errors: int) -> str:
        """Returns the text.

        Args:
          model: the model's name, a label of each sample.
          gauges: name, description and samples of further metrics.
          errors: number of lines that the request log lacks.
        """
        counts = [("_total", dict(labels), float(count)) for labels, count in sorted(self.requests.items())]
        families = [
            ("requests", "counter", "Requests by route and HTTP status.", counts),
            ("request_duration_seconds", "histogram", "Duration of requests.", self.seconds.samples()),
            ("batch_rows", "histogram", "Texts in a call of the model.", self.batches.samples()),
            ("request_log_errors", "counter", "Requests that could not be logged.", [("_total", {}, errors)]),
            ("start_timestamp_seconds", "gauge", "When the server started.", [("", {}, self.started)]),
            *((name, "gauge", description, samples) for name, description, samples in gauges),
        ]
        lines = []
        for name, kind, description, samples in families:
            name = f"bitext_serve_{name}"
            lines += [f"# TYPE {name} {kind}", f"# HELP {name} {description}"]
            lines += [_line(name + end, {"model": model, **labels}, value) for end, labels, value in samples]
        return "\n".join([*lines, "# EOF", ""])


def _escaped(text: str) -> str:
    """Escapes the value of a label."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    """Returns a sample."""
    pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{pairs}}} {value:.15g}"
