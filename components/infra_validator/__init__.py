"""InfraValidator: checks that stock TensorFlow serves the export and translates as the Trainer did."""

from __future__ import annotations

from typing import Annotated

import msgspec

from bitext.components import artifacts, component
from bitext.components.component import Component, Context, heavy_imports


class Parameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the export's translations are compared with the Trainer's.

    Attributes:
      timeout_seconds: seconds for a fresh process to load and check the export. If they are exceeded, the run
        fails with an environment error and without a verdict.
      max_samples: largest number of the Trainer's translations that are compared.
      score_tolerance: largest absolute difference of a translation's score. The texts must be equal.
    """

    timeout_seconds: Annotated[int, msgspec.Meta(ge=1)] = 300
    max_samples: Annotated[int, msgspec.Meta(ge=1)] = 64
    score_tolerance: Annotated[float, msgspec.Meta(gt=0)] = 1e-3


class InfraValidator(Component[Parameters]):
    """Loads the export in a fresh process and compares its translations with the Trainer's."""

    inputs = {"model": artifacts.Model}
    outputs = {"infra_blessing": artifacts.InfraBlessing}
    parameters = Parameters
    libraries = ("tensorflow", "tensorflow-serving-api")
    uncached_parameters = frozenset({"timeout_seconds"})

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        model: artifacts.Model,
        infra_blessing: artifacts.InfraBlessing,
    ) -> None:
        with heavy_imports():
            from bitext.components.infra_validator import executor
        executor.run(parameters, context, model=model, infra_blessing=infra_blessing)
