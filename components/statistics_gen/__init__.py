"""StatisticsGen: TFDV statistics of every split, on the text and on bitext features. See `executor`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from components import artifacts
from components.component import Component
from components.component import Parameters as BaseParameters


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fine the statistics are.

    Attributes:
      histogram_buckets: buckets of every standard histogram.
      top_values: how many of the most frequent values of a string feature are kept.
      exact_top_values: count every distinct sentence exactly. Otherwise by sketches: several times faster
        on a large corpus, and the most frequent sentences and their counts are then estimates.
      sample_rate: share of the examples looked at.
    """

    histogram_buckets: Annotated[int, msgspec.Meta(ge=2)] = 10
    top_values: Annotated[int, msgspec.Meta(ge=1)] = 20
    exact_top_values: bool = True
    sample_rate: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 1.0


COMPONENT = Component(
    name="StatisticsGen",
    inputs={"examples": artifacts.Examples},
    outputs={"statistics": artifacts.ExampleStatistics},
    parameters=Parameters,
    function="components.statistics_gen.executor:run",
    libraries=("apache-beam", "tensorflow-data-validation", "tfx-bsl", "pyarrow"),
)
