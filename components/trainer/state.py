"""The state of a training that a checkpoint holds besides the weights and the optimizer."""

from __future__ import annotations

import math

import tensorflow as tf

from bitext.components.trainer.validation import ValidationScores


class Progress(tf.Module):
    """The state of a training that a checkpoint holds besides the weights and the optimizer.

    Attributes:
      best_bleu, best_chrf, best_loss: float64[], the scores of the best validation so far; -1, -1 and
        infinity before the first validation.
      validations_without_improvement: int64[], number of validations since the best one.
      stopped: bool[], whether training has stopped early.
      loss: float32[], sum of the cross entropies since the last log line, in nats.
      tokens: float32[], number of target tokens since the last log line.
      norm: float32[], sum of the gradients' global norms since the last log line.
      logged_loss: float32[], mean loss at the last log line, in nats a token.
      seconds: float64[], training time, summed over all attempts.
      best_weights: the weights of the best validation.
      late_validations: int64[], number of validations whose weights `late_weights` averages.
      late_weights: the mean of the weights at these validations; none without `average_from`.
    """

    def __init__(self, variables: list[tf.Variable], *, averages_late: bool = False):
        super().__init__(name="progress")
        self.best_bleu = tf.Variable(-1.0, dtype=tf.float64, trainable=False)
        self.best_chrf = tf.Variable(-1.0, dtype=tf.float64, trainable=False)
        self.best_loss = tf.Variable(math.inf, dtype=tf.float64, trainable=False)
        self.validations_without_improvement = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.stopped = tf.Variable(False, trainable=False)
        self.loss = tf.Variable(0.0, trainable=False)
        self.tokens = tf.Variable(0.0, trainable=False)
        self.norm = tf.Variable(0.0, trainable=False)
        self.logged_loss = tf.Variable(0.0, trainable=False)
        self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.best_weights = [tf.Variable(v, trainable=False) for v in variables]
        self.late_validations = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.late_weights = [tf.Variable(v, trainable=False) for v in variables if averages_late]

    def add_late_weights(self, variables: list[tf.Variable]) -> None:
        """Adds the weights of a late validation to their mean."""
        self.late_validations.assign_add(1)
        share = 1.0 / float(self.late_validations)
        for mean, variable in zip(self.late_weights, variables, strict=True):
            mean.assign_add((variable - mean) * share)

    @property
    def exported_weights(self) -> list[tf.Variable]:
        """The weights to export: the mean of the late ones, if there are any, else the best ones."""
        return self.late_weights if int(self.late_validations) else self.best_weights

    @property
    def best(self) -> ValidationScores:
        """The scores of the best validation. A checkpoint of an older version has its BLEU only."""
        return ValidationScores(float(self.best_bleu), float(self.best_chrf), float(self.best_loss))

    @best.setter
    def best(self, scores: ValidationScores) -> None:
        self.best_bleu.assign(scores.bleu)
        self.best_chrf.assign(scores.chrf)
        self.best_loss.assign(scores.loss)
