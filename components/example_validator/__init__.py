"""ExampleValidator: stops the run if data breaks the schema or differs from earlier data. See `executor`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.component import Parameters as BaseParameters

Check = Literal["schema", "train_eval", "drift", "serving"]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decides whether the anomalies that it matches warn or stop the run.

    Attributes:
      severity: `warn` or `stop`.
      anomaly: TFDV's name of the anomaly (`AnomalyInfo.Type`), or a pattern: `COMPARATOR_*`.
      feature: name of the feature, or a pattern: `source_*`.
      check: the comparison that found the anomaly; null for any. `schema`: a split with the schema.
        `train_eval`: the train split with the eval split. `drift`: a new span (without spans: a changed
        corpus) with the data of the previous blessed run. `serving`: the train split with the log of
        requests.
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
"""The rules after those of the configuration. After them, TFDV's own severity decides: nearly always stop.

* A new span in another language or script, or with copied sources, stops an unattended run: a model must not
  be trained on it. A new span with longer sentences may be right, so it warns.
* Requests that differ from the training data warn: a run that stops leaves an older model serving, which fits
  the requests no better.
* `COMPARATOR_CONTROL_DATA_MISSING` warns: statistics written by another version of the schema may lack a
  feature.
"""


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How strict the checks are.

    Attributes:
      check_skew: compare the train split with the eval split, by the skew comparators of the schema.
      min_examples: with fewer examples than this on either side of a comparison, anomalies of shares
        (comparators, `min_domain_mass`) only warn. Anomalies of types, bounds and presence still stop the
        run.
      severities: rules that decide which anomalies warn and which stop the run. The first rule that
        matches decides, then `DEFAULT_RULES`. `[{severity: stop}]` stops the run on every anomaly.
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
        "examples": artifacts.Examples,
    }
    outputs = {"anomalies": artifacts.ExampleAnomalies}
    parameters = Parameters
    libraries = ("tensorflow-data-validation",)
    optional = frozenset({"previous_statistics", "serving_statistics"})
    list_inputs = frozenset({"statistics", "previous_statistics", "examples"})
    # Messages quote examples; the anomalies do not depend on the examples.
    uncached_inputs = frozenset({"examples"})

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        statistics: tuple[artifacts.ExampleStatistics, ...],
        schema: artifacts.Schema,
        previous_statistics: tuple[artifacts.ExampleStatistics, ...],
        serving_statistics: artifacts.ExampleStatistics | None,
        examples: tuple[artifacts.Examples, ...],
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
            examples=examples,
        )
