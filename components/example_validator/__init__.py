"""ExampleValidator: stops the run when the data breaks the schema, or is not what it was. See `executor`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.component import Parameters as BaseParameters

Check = Literal["schema", "train_eval", "drift", "serving"]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What anomalies of a kind do: warn, or stop the run.

    Attributes:
      severity: `warn` or `stop`.
      anomaly: a name of TFDV's (`AnomalyInfo.Type`), or a pattern of them: `COMPARATOR_*`.
      feature: a feature's name, or a pattern: `source_*`.
      check: the comparison it was found in, one alone; null for any of them. `schema`: with the schema.
        `train_eval`: train with eval split. `drift`: a new span (without spans: a changed corpus) with what
        the previous blessed run had. `serving`: train split with the log of requests.
    """

    severity: Literal["warn", "stop"]
    anomaly: str = "*"
    feature: str = "*"
    check: Check | None = None


DEFAULT_RULES = (
    Rule(check="serving", severity="warn"),
    Rule(check="drift", feature="*_length", severity="warn"),
    Rule(check="drift", anomaly="COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH", severity="warn"),
    Rule(anomaly="COMPARATOR_CONTROL_DATA_MISSING", severity="warn"),
)
"""What holds where no rule of the configuration does; for the rest, TFDV's own severity (nearly always stop).

With nobody watching, a day in another language, in another script or of copies must not be trained on; a day
of longer sentences may be news. Requests unlike the training data are for a person to act on: a run that
stops leaves an older model serving, which suits them no better. Statistics of an older version of this
program lack its newer features.
"""


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How strict to be.

    Attributes:
      check_skew: compare the training split with the eval split by the schema's skew comparators.
      min_examples: of fewer examples (of either side of a comparison), shares tell too little: anomalies of
        them (comparators, min_domain_mass) warn. Those of types, bounds and presence stop all the same.
      severities: rules of what warns and what stops; the first that fits holds, then DEFAULT_RULES.
        `[{severity: stop}]` stops on anything.
    """

    check_skew: bool = True
    min_examples: Annotated[int, msgspec.Meta(ge=1)] = 200
    severities: tuple[Rule, ...] = ()


class ExampleValidator(Component[Parameters]):
    """Compares the statistics with the schema, with the previous data and with the log of requests."""

    inputs = {
        "statistics": artifacts.ExampleStatistics,
        "schema": artifacts.Schema,
        "previous_statistics": artifacts.ExampleStatistics,
        "serving_statistics": artifacts.ExampleStatistics,
    }
    outputs = {"anomalies": artifacts.ExampleAnomalies}
    parameters = Parameters
    libraries = ("tensorflow-data-validation",)
    optional = frozenset({"previous_statistics", "serving_statistics"})
    list_inputs = frozenset({"statistics", "previous_statistics"})

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        statistics: tuple[artifacts.ExampleStatistics, ...],
        schema: artifacts.Schema,
        previous_statistics: tuple[artifacts.ExampleStatistics, ...],
        serving_statistics: artifacts.ExampleStatistics | None,
        anomalies: artifacts.ExampleAnomalies,
    ) -> None:
        with heavy_imports():
            from bitext.components.example_validator import executor
        executor.run(
            parameters,
            context,
            statistics=statistics,
            schema=schema,
            previous_statistics=previous_statistics,
            serving_statistics=serving_statistics,
            anomalies=anomalies,
        )
