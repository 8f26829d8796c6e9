"""Tuner: writes the best settings of a tuning, and all its trials.

In TFX, the Tuner also searches. Here a trial executes other nodes, and a component knows none: the search is
in `pipeline.tuning`, and this component turns its results into artifacts with their lineage.
"""

from __future__ import annotations

from typing import Any

from bitext.components import artifacts
from bitext.components.artifacts import Trial
from bitext.components.component import Component, Context
from bitext.components.component import Parameters as BaseParameters


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The results of a tuning.

    Attributes:
      tuning: the id of the tuning.
      best: the id of the execution of the Trainer in the best trial.
      space: the class and the configuration of each setting as KerasTuner has them.
      trials: the trials, the best first.
    """

    tuning: str
    best: int
    space: tuple[dict[str, Any], ...]
    trials: tuple[Trial, ...]


class Tuner(Component[Parameters]):
    """Writes the results of a tuning. Its inputs are the records of the trainings that they come from."""

    inputs = {"model_run": artifacts.ModelRun}
    outputs = {"best_hyperparameters": artifacts.HyperParameters, "tuner_results": artifacts.TunerResults}
    parameters = Parameters
    list_inputs = frozenset({"model_run"})

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        model_run: tuple[artifacts.ModelRun, ...],
        best_hyperparameters: artifacts.HyperParameters,
        tuner_results: artifacts.TunerResults,
    ) -> None:
        best = parameters.trials[0]
        best_hyperparameters.write(best.settings, parameters.space)
        best_hyperparameters.properties.update(trial=best.number, validation_bleu=best.bleu or 0.0)
        tuner_results.write(parameters.trials)
        tuner_results.properties.update(trials=len(parameters.trials), trainings=len(model_run))
