"""AdamW on TensorFlow's fused update, what follows a schedule, and the average of the weights."""

from __future__ import annotations

import tensorflow as tf

from bitext.components.trainer import Parameters

YOUNG, AVERAGE_EVERY = 100.0, 4.0
"""Updates up to which the average of the weights moves at each, and updates a move afterwards."""


def learning_rate(parameters: Parameters, step: tf.Tensor) -> tf.Tensor:
    """The learning rate float32[] of update number `step` (int64[], from 0), before plateaus scale it."""
    now = tf.cast(step + 1, tf.float32)
    warmup, steps = float(max(1, parameters.warmup_steps)), float(parameters.steps)
    progress = tf.clip_by_value((now - warmup) / max(1.0, steps - warmup), 0.0, 1.0)
    after = {
        "constant": lambda: 1.0,
        "plateau": lambda: 1.0,
        "linear": lambda: 1.0 - progress,
        "cosine": lambda: 0.5 * (1.0 + tf.cos(progress * 3.14159265)),
        "inverse_sqrt": lambda: tf.sqrt(warmup / tf.maximum(now, warmup)),
    }[parameters.schedule]()
    return parameters.learning_rate * tf.minimum(1.0, now / warmup) * after


def sampling_rate(parameters: Parameters, step: tf.Tensor) -> tf.Tensor:
    """The probability float32[] that in update number `step` (int64[], from 0) a token fed is a guess."""
    return parameters.scheduled_sampling * tf.cast(step, tf.float32) / parameters.steps


class Optimizer(tf.Module):
    """AdamW (Loshchilov and Hutter 2019) over a fixed list of variables, with an average of them.

    TensorFlow's fused `ResourceApplyAdam` does in one pass over memory what the Keras optimizer does in ten.

    Attributes:
      step: int64[], updates made.
      scale: float32[], what plateaus have left of the learning rate.
      average: the average of the weights, which is validated and exported: the moving one, or the mean of
        `snapshots`, the weights at the last validations, of which `taken` have been made.
    """

    def __init__(self, parameters: Parameters, variables: list[tf.Variable]):
        super().__init__(name="optimizer")
        self.parameters = parameters
        self.variables_ = variables
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.first = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables]
        self.second = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables]
        self.scale = tf.Variable(1.0, trainable=False, name="scale")
        self.taken = tf.Variable(0, dtype=tf.int64, trainable=False, name="taken")
        many = parameters.average_checkpoints
        averaged = variables if parameters.average_decay or many else []
        self.average = [tf.Variable(v, trainable=False) for v in averaged]
        self.snapshots = [[tf.Variable(v, trainable=False) for v in variables] for _ in range(many)]

    def apply(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        """One update.

        Args:
          gradients: float32, each of its variable's shape.

        Returns:
          Their global norm before they were cut, float32[].
        """
        p = self.parameters
        norm = tf.linalg.global_norm(gradients)
        # Most updates need no cut, and so no pass over all gradients.
        gradients = tf.cond(
            norm > p.clip_norm, lambda: [g * (p.clip_norm / norm) for g in gradients], lambda: gradients
        )
        rate = learning_rate(p, self.step) * self.scale
        count = tf.cast(self.step + 1, tf.float32)
        for variable, first, second, gradient in zip(
            self.variables_, self.first, self.second, gradients, strict=True
        ):
            if p.weight_decay and variable.shape.rank == 2:
                variable.assign_sub(rate * p.weight_decay * variable)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=0.9**count,
                beta2_power=p.beta2**count,
                lr=rate,
                beta1=0.9,
                beta2=p.beta2,
                epsilon=1e-8,
                grad=gradient,
            )
        self.step.assign_add(1)
        if p.average_checkpoints or not self.average:
            return norm
        self._follow(count)
        return norm

    def _follow(self, count: tf.Tensor) -> None:
        """Moves the average, after update number `count` (float32[], from 1)."""
        # A young average follows closely, as TensorFlow's `ExponentialMovingAverage` does with `num_updates`.
        decay = tf.minimum(self.parameters.average_decay, count / (count + 10.0))
        every = tf.where(count <= YOUNG, 1.0, AVERAGE_EVERY)

        def move() -> None:
            for average, variable in zip(self.average, self.variables_, strict=True):
                tf.raw_ops.ResourceApplyGradientDescent(
                    var=average.handle, alpha=1.0 - decay**every, delta=average - variable
                )

        tf.cond(tf.equal(count % every, 0.0), move, lambda: None)

    def snapshot(self) -> None:
        """Takes the weights into the mean of the last so many, once before every validation."""
        many = self.parameters.average_checkpoints
        if not many:
            return
        for kept, variable in zip(self.snapshots[int(self.taken) % many], self.variables_, strict=True):
            kept.assign(variable)
        self.taken.assign_add(1)
        made = self.snapshots[: min(int(self.taken), many)]
        for average, *weights in zip(self.average, *made, strict=True):
            average.assign(tf.add_n([w.read_value() for w in weights]) / len(made))

    def swap(self) -> None:
        """Exchanges weights and their average, if there is one: once before a validation, once after."""
        if not self.average:
            return
        for average, variable in zip(self.average, self.variables_, strict=True):
            weights = variable.read_value()
            variable.assign(average)
            average.assign(weights)
