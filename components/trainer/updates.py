"""The updates of a training: the gradients of a batch, summed over its parts, and the optimizer's step."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bitext.components.seq2seq.layers import device, device_check
from bitext.components.seq2seq.layers.device import DeviceRecurrences
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.loss import Loss, SoftTargets, masked_loss, predictions
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.shared.graphs import graph_function
from bitext.components.trainer import Parameters
from bitext.components.trainer.data import Batch, Batches
from bitext.components.trainer.distribution import ALONE, Distribution, bytes_of
from bitext.components.trainer.optimizer import Optimizer, sampling_rate

TOKENS = tf.TensorSpec([None, None], tf.int32)
INDEX = tf.TensorSpec([], tf.int32)


class Sums(NamedTuple):
    """Sums over the real target tokens of a batch, or of a part of it.

    Attributes:
      gradients: float32, one for each variable and of its shape.
      cross_entropy: float32[], in nats.
      tokens: float32[], number of tokens.
    """

    gradients: list[tf.Tensor]
    cross_entropy: tf.Tensor
    tokens: tf.Tensor


def rows_of_part(rows: tf.Tensor, part: tf.Tensor | int, parts: int) -> slice:
    """Returns the rows of one of several parts of a batch. A part may be empty."""
    return slice(rows * part // parts, rows * (part + 1) // parts)


@dataclasses.dataclass
class Updates:
    """What each worker of a training does: it computes gradients and updates the weights.

    Args:
      model: the model, trained in place.
      parameters: the parameters in effect.
      batches: the training data.
      frozen: by the path of a variable, whether each row stays as it is, bool[V].
      distribution: the processes and devices that train together.
    """

    model: Seq2Seq
    parameters: Parameters
    batches: Batches
    frozen: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict, kw_only=True)
    distribution: Distribution = dataclasses.field(default=ALONE, kw_only=True)

    def __post_init__(self) -> None:
        self.variables = [v.value for v in self.model.trainable_variables]
        frozen = [self.frozen.get(v.path) for v in self.model.trainable_variables]
        summed = [v.shape for v in self.variables]
        summed += [tf.TensorShape([])] * 2 if self.distribution.strategy is not None else []
        with self.distribution.scope():
            # Its weights are the average of the weights of the model.
            self.teacher = self.model.new_copy() if self.parameters.consistency else None
            average = [v.value for v in self.teacher.trainable_variables] if self.teacher else []
            self.optimizer = Optimizer(self.parameters, self.variables, frozen, average)
            self.accumulated = [
                tf.Variable(
                    tf.zeros(shape),
                    trainable=False,
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.SUM,
                )
                for shape in (summed if self.parameters.accumulate > 1 else ())
            ]
        self.distribution.check_variables([*self.variables, *self.optimizer.state, *self.accumulated])
        self.recurrences: DeviceRecurrences | None = None
        if self.parameters.device_kernels == "auto" and device.is_available():
            # Made here, because no variable can be made in a graph.
            self.recurrences = DeviceRecurrences(self.model.cells)
            device_check.check(self.recurrences, self.model.cells)
        # The loss of an update is divided by the mean number of tokens of all updates, not by its own number
        # of tokens, so that each token of an epoch has the same weight.
        self.loss_scale = 1.0 / (self.batches.mean_tokens * self.parameters.accumulate)

    @property
    def step(self) -> int:
        """Number of updates made."""
        return int(self.optimizer.step.numpy())

    def sums(
        self,
        source: tf.Tensor,
        target: tf.Tensor,
        index: tf.Tensor | int,
        part: tf.Tensor | int = 0,
        parts: int = 1,
        served: tf.Tensor | None = None,
    ) -> Sums:
        """Returns the sums over one batch, or over one of its parts.

        Args:
          source: int32[B, S].
          target: int32[B, T].
          index: index of the batch within its update, int32[] or int.
          part: index of the part whose rows these are.
          parts: number of parts of the batch.
          served: int32[B, S'], the source as the averaged model reads it (`consistency`); None: `source`.
        """
        p, rows = self.parameters, tf.shape(source)[0]
        number = self.optimizer.step * p.accumulate + tf.cast(index, tf.int64)
        if parts > 1:
            number = number * parts + tf.cast(part, tf.int64)
        outputs = []
        for replica in range(p.replicas):
            replica_rows = rows_of_part(rows, replica, p.replicas)
            seed = tf.stack([tf.constant(p.seed, tf.int64), number * p.replicas + replica])
            dropout = Dropout(tf.cast(seed, tf.int32))
            own = source[replica_rows], target[replica_rows]
            of_teacher = (source if served is None else served)[replica_rows]
            outputs.append(self._replica(*own, of_teacher, dropout))
        losses = [loss for loss, _ in outputs]
        return Sums(
            [tf.add_n(summands) for summands in zip(*(gradients for _, gradients in outputs), strict=True)],
            tf.add_n([loss.cross_entropy for loss in losses]),
            tf.add_n([loss.tokens for loss in losses]),
        )

    def _replica(
        self, source: tf.Tensor, target: tf.Tensor, served: tf.Tensor, dropout: Dropout
    ) -> tuple[Loss, list[tf.Tensor]]:
        """Returns the loss of one part of a batch, and its gradients. Replicas run in parallel."""
        p = self.parameters
        soft = self._soft_targets(served, target)
        rate = sampling_rate(p, self.optimizer.step) if p.scheduled_sampling else None
        on_device = self.recurrences.in_use() if self.recurrences else contextlib.nullcontext()
        with on_device, tf.GradientTape() as tape:
            loss = masked_loss(self.model, source, target, p.label_smoothing, dropout, rate, soft)
            scaled = loss.smoothed * self.loss_scale
        return loss, [tf.convert_to_tensor(g) for g in tape.gradient(scaled, self.variables)]

    def _soft_targets(self, served: tf.Tensor, target: tf.Tensor) -> SoftTargets | None:
        """Returns what the averaged model predicts; None without `consistency`.

        The weight grows during the warm-up, because the first averages predict little.
        """
        if self.teacher is None:
            return None
        warmup = float(max(1, self.parameters.schedule.warmup_steps))
        share = tf.minimum(1.0, tf.cast(self.optimizer.step, tf.float32) / warmup)
        return SoftTargets(predictions(self.teacher, served, target), self.parameters.consistency * share)

    def update_together(self, batches: Iterator[Batch]) -> list[tf.Tensor]:
        """Makes one update with all other workers.

        Args:
          batches: the batches, of which each worker has its rows.

        Returns:
          The cross entropy and the number of tokens of the update, and the global norm of its gradient.

        Raises:
          EnvironmentFault: a worker is gone.
        """
        accumulate = self.parameters.accumulate
        for index in range(accumulate - 1):
            self._sum_batch(tf.constant(index), *next(batches))
        batch = next(batches)
        with self.distribution.reporting_lost_workers():
            return self._update(tf.constant(accumulate - 1), *batch)

    @functools.cached_property
    def _sum_batch(self) -> Callable[..., list[tf.Tensor]]:
        """The graph that adds the sums of a batch to those of this device. It waits for nobody."""

        def sum_batch(index: tf.Tensor, *batch: tf.Tensor) -> list[tf.Tensor]:
            for total, value in zip(self.accumulated, self._own_sums(index, *batch), strict=True):
                total.assign_add(value)
            return []

        return self._graph(sum_batch)

    @functools.cached_property
    def _update(self) -> Callable[..., list[tf.Tensor]]:
        """The graph of the last batch of an update.

        The gradients are added over all devices first, because they are clipped by the norm of their sum. An
        `all_reduce` in a `tf.cond` is refused by TensorFlow, so this is a graph of its own.
        """

        def update(index: tf.Tensor, *batch: tf.Tensor) -> list[tf.Tensor]:
            sums = self._own_sums(index, *batch)
            if self.accumulated:
                sums = [s + total.read_value() for s, total in zip(sums, self.accumulated, strict=True)]
            *gradients, cross_entropy, tokens = self.distribution.all_reduce(sums)
            norm = self.optimizer.apply(gradients)
            for total in self.accumulated:
                total.assign(tf.zeros_like(total))
            return [cross_entropy, tokens, norm]

        return self._graph(update)

    @property
    def signature(self) -> list[tf.TensorSpec]:
        """The inputs of the graph of an update: the index of a batch, and the batch."""
        return [INDEX, *[TOKENS] * self.batches.tensors]

    def _own_sums(
        self, index: tf.Tensor, source: tf.Tensor, target: tf.Tensor, served: tf.Tensor | None = None
    ) -> list[tf.Tensor]:
        """Returns the sums over the rows of this device, in one list."""
        of_process = self.distribution.part()
        rows = rows_of_part(tf.shape(source)[0], of_process, self.distribution.devices)
        part = self.distribution.index * self.distribution.devices + of_process
        served = None if served is None else served[rows]
        sums = self.sums(source[rows], target[rows], index, part, self.distribution.parts, served)
        return [*sums.gradients, sums.cross_entropy, sums.tokens]

    def _graph(self, function: Callable[..., list[tf.Tensor]]) -> Callable[..., list[tf.Tensor]]:
        """Returns the graph that runs a function of a batch on each device."""

        def run(*inputs: tf.Tensor) -> list[tf.Tensor]:
            return self.distribution.run(function, *inputs)

        concrete: Callable[..., list[tf.Tensor]] = graph_function(
            run, input_signature=self.signature
        ).get_concrete_function()
        return concrete

    def synchronize(self, stopped: bool = False) -> bool:
        """Waits for the chief after a validation. All workers call it after the same update.

        Args:
          stopped: whether the chief has ended the training; of the other workers it does not count.

        Returns:
          Whether the chief has ended the training.

        Raises:
          ConfigError: the weights of the workers have become different.
          EnvironmentFault: a worker is gone.
        """
        distribution = self.distribution
        has_stopped = bool(distribution.exchange([stopped])[0, 0])
        distribution.broadcast([self.optimizer.scale])
        if distribution.workers > 1:
            distribution.check_equal(
                bytes_of([*self.variables, *self.optimizer.moments]),
                f"after {self.step:,} updates, {{}} has other weights than the chief",
                "use hosts with the same processors and packages, and start all of them again",
            )
        return has_stopped

    def receive_state(self, stopped: bool = False) -> bool:
        """Takes the weights and the optimizer's state from the chief, which may have read a checkpoint.

        Arguments, results and errors are as of `synchronize`.
        """
        self.distribution.broadcast([*self.variables, *self.optimizer.state])
        return self.synchronize(stopped)
