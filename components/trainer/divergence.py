"""Detects a training that has diverged."""

from __future__ import annotations

import math

from bitext.components.shared.errors import TrainingError

DIVERGED_FACTOR = 10
"""Training has diverged if its loss is this many times that of chance."""


def check_loss(step: int, loss: float, norm: float, vocabulary: int, checkpoints: str) -> None:
    """Checks the loss and the gradient of the last updates.

    Args:
      step: number of updates made.
      loss: mean cross entropy in nats a token.
      norm: mean global norm of the gradients.
      vocabulary: number of target tokens. Chance has the loss `ln(vocabulary)`.
      checkpoints: the folder of the checkpoints, for the message.

    Raises:
      TrainingError: a value is not finite, or the loss is over `DIVERGED_FACTOR` times that of chance.
    """
    remedy = (
        "lower trainer.optimizer.learning_rate or raise trainer.schedule.warmup_steps; the last good "
        f"checkpoint is kept in {checkpoints}"
    )
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise TrainingError(
            f"training has diverged: at step {step} the loss is {loss} and the gradient's norm {norm}", remedy
        )
    chance = math.log(vocabulary)
    if loss > DIVERGED_FACTOR * chance:
        raise TrainingError(
            f"training has diverged: at step {step} the loss is {loss:,.1f} nats a token, over "
            f"{DIVERGED_FACTOR} times the {chance:.1f} of a model that gives the {vocabulary:,} tokens equal "
            "probabilities",
            remedy,
        )
