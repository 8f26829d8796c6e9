"""StatisticsGen: TFDV statistics of the texts and of features derived from them. See `executor`.

RequestStatistics: the same for a log of requests to a served model. See `requests`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from bitext.components import artifacts
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.component import Parameters as BaseParameters
from bitext.components.shared.path_types import PathPattern


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How detailed the statistics are.

    Attributes:
      histogram_buckets: number of buckets of every standard histogram.
      top_values: number of most frequent values that are listed for a string feature.
      exact_top_values: count every distinct sentence exactly, which needs memory and time in proportion to
        the corpus. If false, sketches count: exactly for features with at most 16,384 distinct values,
        which are all features that a schema compares. For other features, the count of a value is too low by
        at most 0.0061 % of the corpus, rarer values may be absent from the list of most frequent values, and
        the number of distinct values is an estimate.
      sample_rate: share of the examples that the statistics are computed from.
    """

    histogram_buckets: Annotated[int, msgspec.Meta(ge=2)] = 10
    top_values: Annotated[int, msgspec.Meta(ge=1)] = 20
    exact_top_values: bool = False
    sample_rate: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 1.0


class RequestParameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the log of requests is.

    Attributes:
      files: paths or globs, local or of any file system that Beam opens. Names that end in .gz, .bz2, .xz or
        .zst are decompressed. Each line is one source text; in a file whose name ends in `.jsonl`, it is a
        JSON object with the source text in its field `text`.
    """

    files: tuple[PathPattern, ...] = ()


LIBRARIES = ("apache-beam", "tensorflow-data-validation", "tfx-bsl", "pyarrow")


class StatisticsGen(Component[Parameters]):
    """Computes the statistics of each span's splits."""

    inputs = {"examples": artifacts.Examples}
    outputs = {"statistics": artifacts.ExampleStatistics}
    parameters = Parameters
    libraries = LIBRARIES
    map_over = "examples"
    opened_by_workers = frozenset({"examples", "statistics"})

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        examples: artifacts.Examples,
        statistics: artifacts.ExampleStatistics,
    ) -> None:
        with heavy_imports():
            from bitext.components.statistics_gen import executor
        executor.run(parameters, context, examples=examples, statistics=statistics)


class RequestStatistics(Component[RequestParameters]):
    """Computes the statistics of a log of requests."""

    inputs = {}
    outputs = {"statistics": artifacts.ExampleStatistics}
    parameters = RequestParameters
    libraries = LIBRARIES
    opened_by_workers = frozenset({"statistics"})

    def external_inputs(self, parameters: RequestParameters) -> list[str]:
        return list(parameters.files)

    def run(
        self,
        parameters: RequestParameters,
        context: Context,
        *,
        statistics: artifacts.ExampleStatistics,
    ) -> None:
        with heavy_imports():
            from bitext.components.statistics_gen import requests
        requests.run(parameters, context, statistics=statistics)
