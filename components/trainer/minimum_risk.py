"""Minimum risk training: more updates after the last one of an ordinary training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import tensorflow as tf

from bitext.components.component import Context
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.loss import Loss, masked_loss
from bitext.components.seq2seq.model import Seq2Seq, count_tokens
from bitext.components.seq2seq.risk import expected_risk, find_candidates
from bitext.components.trainer import Parameters, ScheduleParameters
from bitext.components.trainer.data import Batches
from bitext.components.trainer.recording import Watched
from bitext.components.trainer.sections import MinimumRiskParameters
from bitext.components.trainer.training import Training
from bitext.components.trainer.validation import ValidationScores

WARMUP_SHARE = 20
"""The learning rate rises over one in this many updates."""


def risk_parameters(parameters: Parameters) -> Parameters:
    """Returns the parameters of minimum risk training, as those of an ordinary training."""
    risk, replace = parameters.minimum_risk, msgspec.structs.replace
    return replace(
        parameters,
        steps=risk.steps,
        batch_tokens=risk.batch_tokens,
        accumulate=1,
        schedule=ScheduleParameters(warmup_steps=risk.steps // WARMUP_SHARE),
        optimizer=replace(
            parameters.optimizer,
            learning_rate=risk.learning_rate,
            average_decay=risk.average_decay,
            average_checkpoints=0,
        ),
        subword_dropout=0.0,
        consistency=0.0,
        scheduled_sampling=0.0,
        minimum_risk=MinimumRiskParameters(),
    )


@dataclasses.dataclass
class RiskTraining(Training):
    """Trains on the translations that the model finds, see `seq2seq.risk`. It continues other records.

    Args:
      parameters: those of `risk_parameters`.
      risk: the candidates and the loss.
    """

    risk: MinimumRiskParameters = dataclasses.field(kw_only=True)

    FOLDER = "minimum_risk"
    WORK = "updates of minimum risk training"

    @classmethod
    def has_begun(cls, working_dir: Path) -> bool:
        """Whether an interrupted training has left a checkpoint."""
        return tf.train.latest_checkpoint(str(working_dir / cls.FOLDER)) is not None

    def _resume(self) -> None:
        super()._resume()
        if not self.step:
            self.progress.seconds.assign(self.recorder.run.history()[-1].minutes * 60)

    def loss_function(
        self, source: tf.Tensor, target: tf.Tensor, served: tf.Tensor, dropout: Dropout
    ) -> Callable[[], Loss]:
        """Finds the candidates, and returns the function that computes the loss.

        The risk of a sentence counts as often as its reference has tokens, so that a token of a long sentence
        weighs as much as one of a short sentence. Arguments as of `Updates`.
        """
        candidates = find_candidates(self.model, source, target, self.risk.candidates)
        lengths = tf.cast(count_tokens(target[:, 1:]), tf.float32)

        def loss() -> Loss:
            risks = expected_risk(self.model, source, candidates, dropout)
            ordinary = masked_loss(self.model, source, target, self.parameters.label_smoothing, dropout)
            smoothed = tf.reduce_sum(risks * lengths) + self.risk.cross_entropy * ordinary.smoothed
            return dataclasses.replace(ordinary, smoothed=smoothed)

        return loss


def train_alone(
    network: Seq2Seq,
    frozen: Mapping[str, np.ndarray],
    parameters: Parameters,
    batches: Batches,
    validate: Callable[[], ValidationScores],
    context: Context,
    watched: Watched,
) -> None:
    """Trains the network on the references, then by minimum risk if that is configured.

    Args:
      network: the model, trained in place. In the end it has the weights to export.
      frozen, parameters, batches, validate, context, watched: as of `Training`.
    """
    risk = parameters.minimum_risk
    if not (risk.steps and RiskTraining.has_begun(context.working_dir)):
        Training(network, parameters, batches, validate, context, watched, frozen=frozen).run()
    if not risk.steps:
        return
    context.say(f"minimum risk training: {risk.steps:,} updates")
    RiskTraining(
        network,
        risk_parameters(parameters),
        batches.as_served(risk.batch_tokens),
        validate,
        context,
        watched,
        frozen=frozen,
        first_step=parameters.step_count,
        risk=risk,
    ).run()
