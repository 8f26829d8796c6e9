"""ExampleValidator: stops the run when the statistics break the schema. See `executor`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from components import artifacts
from components.component import Component
from components.component import Parameters as BaseParameters


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How strict to be.

    Attributes:
      check_skew: compare the training split with the eval split by the schema's skew comparators.
      min_skew_examples: leave that out where either split has fewer examples, too few to tell skew from
        chance.
      stop_on_warning: stop the run on a warning-level anomaly too.
    """

    check_skew: bool = True
    min_skew_examples: Annotated[int, msgspec.Meta(ge=1)] = 200
    stop_on_warning: bool = False


COMPONENT = Component(
    name="ExampleValidator",
    inputs={"statistics": artifacts.ExampleStatistics, "schema": artifacts.Schema},
    outputs={"anomalies": artifacts.ExampleAnomalies},
    parameters=Parameters,
    function="components.example_validator.executor:run",
    libraries=("tensorflow-data-validation",),
)
