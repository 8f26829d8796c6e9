"""HyperParameters and TunerResults: the best settings of a tuning, and all its trials."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from bitext.components.artifacts.base import Artifact
from bitext.components.artifacts.model_run import Selection, Validation
from bitext.components.shared.files import write_json

Settings = dict[str, Any]
"""A value by dotted configuration key."""


class TrialState(enum.StrEnum):
    """What became of a trial. The record of a killed trial says RUNNING, as that of a trial in progress."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


_RANKED = (
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.INTERRUPTED,
    TrialState.RUNNING,
    TrialState.FAILED,
)


class Trial(msgspec.Struct, kw_only=True):
    """A training with some settings.

    Attributes:
      number: from 1.
      settings: the value of each key of the space.
      state: what became of it.
      bleu: validation BLEU of the exported weights, or of the best validation before the end; None: there was
        no validation.
      chrf: chrF of that validation.
      loss: its loss, in nats per token.
      step: number of updates before it, or before the last one whose weights are part of the exported mean.
      steps: the most updates of the training; 0: unknown.
      curve: the share of the steps, from 0 to 1, and BLEU of each validation.
      minutes: training time until the last validation, over all attempts.
      seconds: time of its attempts that were not killed, with the start and the export.
      error: why it failed.
      training: the id of the execution of the Trainer; None: it is not complete.
      is_cached: whether the model was trained before the trial.
    """

    number: int
    settings: Settings
    state: TrialState = TrialState.RUNNING
    bleu: float | None = None
    chrf: float | None = None
    loss: float | None = None
    step: int = 0
    steps: int = 0
    curve: list[tuple[float, float]] = []
    minutes: float = 0.0
    seconds: float = 0.0
    error: str = ""
    training: int | None = None
    is_cached: bool = False

    @property
    def name(self) -> str:
        """Its name: `trial 3`, which is the part of its executions."""
        return f"trial {self.number}"

    @property
    def is_finished(self) -> bool:
        """Whether nothing remains to be done."""
        return self.state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)

    @property
    def rank(self) -> tuple[float, ...]:
        """Sorts trials, the best first. Equal BLEU: by chrF, then by loss, as in `trainer.validation`."""
        scores = (self.bleu, self.chrf, None if self.loss is None else -self.loss)
        worst_first = (math.inf if score is None else -score for score in scores)
        return (_RANKED.index(self.state), *worst_first, self.number)

    def take(self, validations: Sequence[Validation], steps: int) -> None:
        """Takes the scores of the validations so far, if there are any.

        Args:
          validations: in order.
          steps: the most updates of the training.
        """
        if not validations:
            return
        best = max(validations, key=lambda validation: validation.quality)
        self.bleu, self.chrf, self.loss, self.step = best.bleu, best.chrf, best.validation_loss, best.step
        self.steps, self.minutes = steps, validations[-1].minutes
        self.curve = [(round(each.step / steps, 4), each.bleu) for each in validations]

    def take_exported(self, selection: Selection) -> None:
        """Takes the scores of the exported weights, which may be a mean over several validations."""
        self.bleu, self.chrf, self.loss = selection.bleu, selection.chrf, selection.validation_loss
        self.step = selection.last_step


class HyperParameters(Artifact):
    """The settings of the best trial, as the Tuner of TFX writes them: the configuration of KerasTuner's
    `HyperParameters`::

    best_hyperparameters.txt    {"space": [{"class_name", "config"}, ...], "values": {key: value}}

    The keys are those of the configuration.
    """

    TYPE_NAME = "HyperParameters"
    FILES = ("best_hyperparameters.txt",)
    NODE = "Tuner"

    def values(self) -> Settings:
        """Reads the settings.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json(self.path / "best_hyperparameters.txt", _Config).values

    def write(self, values: Settings, space: Sequence[dict[str, Any]]) -> None:
        """Writes the settings.

        Args:
          values: the settings.
          space: the class and the configuration of each as KerasTuner has them.
        """
        write_json(self.path / "best_hyperparameters.txt", _Config(list(space), values))


class _Config(msgspec.Struct):
    """The content of the file of HyperParameters.

    Attributes:
      space: the class and the configuration of each setting.
      values: the value of each setting.
    """

    space: list[dict[str, Any]]
    values: Settings


class TunerResults(Artifact):
    """The trials of a tuning, the best first::

    tuner_results.json          [{"number", "settings", "state", "bleu", ...}, ...]
    """

    TYPE_NAME = "TunerResults"
    FILES = ("tuner_results.json",)
    NODE = "Tuner"

    def trials(self) -> list[Trial]:
        """Reads the trials, the best first.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json(self.path / "tuner_results.json", list[Trial])

    def write(self, trials: Sequence[Trial]) -> None:
        """Writes the trials."""
        write_json(self.path / "tuner_results.json", list(trials))
