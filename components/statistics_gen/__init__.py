"""StatisticsGen: TFDV statistics of every split, on the text and on bitext features. See `executor`.

RequestStatistics: the same of a log of what a served model was asked. See `requests`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from bitext.components import artifacts
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.component import Parameters as BaseParameters
from bitext.components.shared.path_types import PathPattern


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fine the statistics are.

    Attributes:
      histogram_buckets: buckets of every standard histogram.
      top_values: how many of the most frequent values of a string feature are kept.
      exact_top_values: count every distinct sentence exactly, in memory and time that grow with the corpus.
        Otherwise TFDV's sketches count: exactly in a feature of at most 1,024 distinct values, so in all that
        a schema compares; of sentences, those that make up less than a thousandth may be missing among the
        most frequent, and the number of distinct ones is an estimate from 16,384 on.
      sample_rate: share of the examples looked at.
    """

    histogram_buckets: Annotated[int, msgspec.Meta(ge=2)] = 10
    top_values: Annotated[int, msgspec.Meta(ge=1)] = 20
    exact_top_values: bool = False
    sample_rate: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 1.0


class RequestParameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the log of requests lies.

    Attributes:
      files: paths or globs, local or of any file system Beam opens; names ending in .gz, .bz2 or .zst are
        decompressed. Each line is one source text, or, in a file called `.jsonl`, a JSON object with the
        text as its field `text`.
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
