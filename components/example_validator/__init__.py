"""ExampleValidator: stops the run when the statistics break the schema. See `executor`."""

from __future__ import annotations

from components import artifacts
from components.component import Component
from components.component import Parameters as BaseParameters


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How strict to be.

    Attributes:
      check_skew: compare the training split with the eval split by the schema's skew comparators.
      stop_on_warning: stop the run on a warning-level anomaly too.
    """

    check_skew: bool = True
    stop_on_warning: bool = False


COMPONENT = Component(
    name="ExampleValidator",
    inputs={"statistics": artifacts.ExampleStatistics, "schema": artifacts.Schema},
    outputs={"anomalies": artifacts.ExampleAnomalies},
    parameters=Parameters,
    function="components.example_validator.executor:run",
    libraries=("tensorflow-data-validation",),
)
