"""AdamW with TensorFlow's fused update, the learning rate schedule, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bitext.components.trainer import Parameters

EMA_WARMUP_UPDATES, EMA_INTERVAL = 100.0, 4.0
"""The moving average is computed at each of the first 100 updates, then at every fourth update."""
EMA_RAMP = 10.0
"""After n updates the decay of the moving average is at most n / (n + EMA_RAMP)."""


def learning_rate(parameters: Parameters, step: tf.Tensor) -> tf.Tensor:
    """Returns the learning rate float32[] of update `step` (int64[], from 0), before plateaus scale it."""
    schedule = parameters.schedule
    update = tf.cast(step + 1, tf.float32)
    warmup, steps = float(max(1, schedule.warmup_steps)), float(parameters.step_count)
    progress = tf.clip_by_value((update - warmup) / max(1.0, steps - warmup), 0.0, 1.0)
    decay = {
        "constant": lambda: 1.0,
        "plateau": lambda: 1.0,
        "linear": lambda: 1.0 - progress,
        "cosine": lambda: 0.5 * (1.0 + tf.cos(progress * math.pi)),
        "inverse_sqrt": lambda: tf.sqrt(warmup / tf.maximum(update, warmup)),
    }[schedule.kind]()
    return parameters.optimizer.learning_rate * tf.minimum(1.0, update / warmup) * decay


def sampling_rate(parameters: Parameters, step: tf.Tensor) -> tf.Tensor:
    """Returns the probability float32[] that update `step` (int64[], from 0) feeds back a prediction."""
    return parameters.scheduled_sampling * tf.cast(step, tf.float32) / parameters.step_count


class Optimizer(tf.Module):
    """AdamW (Loshchilov and Hutter 2019) for a fixed list of variables, with an average of the weights.

    TensorFlow's fused `ResourceApplyAdam` reads and writes each variable once; the Keras optimizer does so in
    about ten operations.

    Attributes:
      step: int64[], number of updates made.
      scale: float32[], factor of the learning rate; plateaus lower it.
      average: the average of the weights, which is validated and exported: the moving average, or the mean of
        `snapshots`.
      snapshots: the weights at the last `average_checkpoints` validations.
      snapshots_taken: int64[], number of snapshots taken so far.
    """

    def __init__(
        self,
        parameters: Parameters,
        variables: list[tf.Variable],
        frozen: Sequence[np.ndarray | None] = (),
        average: Sequence[tf.Variable] = (),
    ):
        """Creates the state.

        Args:
          parameters: the parameters in effect.
          variables: the weights.
          frozen: for each variable, whether each of its rows stays as it is, bool[V]; None: no row does.
          average: the variables of a copy of the model, which will hold the average; none: new ones.
        """
        super().__init__(name="optimizer")
        self.parameters = parameters
        self.variables_ = variables
        # 0 for the rows that stay, so that neither the gradient nor the decay changes them.
        self.factors = [
            None if rows is None else tf.constant(~rows[:, None], tf.float32)
            for rows in frozen or [None] * len(variables)
        ]
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.first_moments = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables]
        self.second_moments = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables]
        self.scale = tf.Variable(1.0, trainable=False, name="scale")
        self.snapshots_taken = tf.Variable(0, dtype=tf.int64, trainable=False, name="snapshots_taken")
        snapshots = parameters.optimizer.average_checkpoints
        is_averaged = parameters.optimizer.average_decay or snapshots
        self.average = list(average) or [tf.Variable(v, trainable=False) for v in variables if is_averaged]
        self.snapshots = [[tf.Variable(v, trainable=False) for v in variables] for _ in range(snapshots)]

    @property
    def moments(self) -> list[tf.Variable]:
        """The first and second moments."""
        return [*self.first_moments, *self.second_moments]

    @property
    def state(self) -> list[tf.Variable]:
        """What `apply` reads and writes besides the weights."""
        return [self.step, self.scale, *self.moments, *self.average]

    def apply(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        """Makes one update. It may run on each of several devices that have a copy of the variables.

        So it uses the raw operations, which change the copy of the device that they run on.

        Args:
          gradients: float32, one for each variable and of its shape.

        Returns:
          The global norm of the gradients before clipping, float32[].
        """
        p = self.parameters.optimizer
        gradients = [
            gradient if factor is None else gradient * factor
            for gradient, factor in zip(gradients, self.factors, strict=True)
        ]
        norm = tf.linalg.global_norm(gradients)
        clipping = tf.minimum(1.0, p.clip_norm / norm)
        rate = learning_rate(self.parameters, self.step) * self.scale
        count = tf.cast(self.step + 1, tf.float32)
        for variable, first, second, gradient, factor in zip(
            self.variables_, self.first_moments, self.second_moments, gradients, self.factors, strict=True
        ):
            if p.weight_decay and variable.shape.rank == 2:
                decay = rate * p.weight_decay * variable
                decay = decay if factor is None else decay * factor
                tf.raw_ops.AssignSubVariableOp(resource=variable.handle, value=decay)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=p.beta1**count,
                beta2_power=p.beta2**count,
                lr=rate,
                beta1=p.beta1,
                beta2=p.beta2,
                epsilon=p.epsilon,
                grad=gradient * clipping,
            )
        tf.raw_ops.AssignAddVariableOp(resource=self.step.handle, value=tf.constant(1, tf.int64))
        if self.average and not p.average_checkpoints:
            self._update_moving_average(count)
        return norm

    def _update_moving_average(self, count: tf.Tensor) -> None:
        """Updates the moving average after update number `count` (float32[], from 1)."""
        # The decay of the first updates is that of `tf.train.ExponentialMovingAverage` with `num_updates`.
        decay = tf.minimum(self.parameters.optimizer.average_decay, count / (count + EMA_RAMP))
        interval = tf.where(count <= EMA_WARMUP_UPDATES, 1.0, EMA_INTERVAL)

        def update() -> None:
            for average, variable in zip(self.average, self.variables_, strict=True):
                tf.raw_ops.ResourceApplyGradientDescent(
                    var=average.handle, alpha=1.0 - decay**interval, delta=average - variable
                )

        tf.cond(tf.equal(count % interval, 0.0), update, lambda: None)

    def snapshot(self) -> None:
        """Adds the weights to the snapshots and averages the snapshots. Call it before each validation."""
        count = self.parameters.optimizer.average_checkpoints
        if not count:
            return
        oldest = self.snapshots[int(self.snapshots_taken.numpy()) % count]
        for saved, variable in zip(oldest, self.variables_, strict=True):
            saved.assign(variable)
        self.snapshots_taken.assign_add(1)
        filled = self.snapshots[: min(int(self.snapshots_taken.numpy()), count)]
        for average, *weights in zip(self.average, *filled, strict=True):
            average.assign(tf.add_n([w.read_value() for w in weights]) / len(filled))

    def swap(self) -> None:
        """Exchanges the weights and their average, if there is one. Call it before and after a validation."""
        if not self.average:
            return
        for average, variable in zip(self.average, self.variables_, strict=True):
            weights = variable.read_value()
            variable.assign(average)
            average.assign(weights)
