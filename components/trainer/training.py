"""The training loop: step, log, validate, save, stop."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping

import msgspec
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from bitext.components.artifacts import ModelRun, Validation
from bitext.components.component import Context
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.loss import Loss, masked_loss
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.shared.errors import DataError
from bitext.components.trainer import Parameters
from bitext.components.trainer.data import Batches
from bitext.components.trainer.divergence import check_loss
from bitext.components.trainer.optimizer import Optimizer, learning_rate, sampling_rate
from bitext.components.trainer.validation import ValidationScores

LOG_EVERY = 50
"""Updates between two points of the TensorBoard log."""
CHECKPOINTS_KEPT = 2
_READ_ERRORS = (tf.errors.OpError, AssertionError, LookupError, RuntimeError, ValueError)
"""Exceptions that TensorFlow raises on damaged checkpoints."""
TOKENS = tf.TensorSpec([None, None], tf.int32)


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
    """

    def __init__(self, variables: list[tf.Variable]):
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

    @property
    def best(self) -> ValidationScores:
        """The scores of the best validation. A checkpoint of an older version has its BLEU only."""
        return ValidationScores(float(self.best_bleu), float(self.best_chrf), float(self.best_loss))

    @best.setter
    def best(self, scores: ValidationScores) -> None:
        self.best_bleu.assign(scores.bleu)
        self.best_chrf.assign(scores.chrf)
        self.best_loss.assign(scores.loss)


@dataclasses.dataclass
class Training:
    """Trains a model. It resumes from the checkpoint in `context.working_dir`, if there is one.

    Args:
      model: the model, trained in place.
      parameters: the parameters in effect.
      batches: the training data.
      validate: returns the scores of the model with its current weights.
      context: the resources of the run.
      frozen: by the path of a variable, whether each row stays as it is, bool[V].
    """

    model: Seq2Seq
    parameters: Parameters
    batches: Batches
    validate: Callable[[], ValidationScores]
    context: Context
    frozen: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.variables = [v.value for v in self.model.trainable_variables]
        frozen = [self.frozen.get(v.path) for v in self.model.trainable_variables]
        self.optimizer = Optimizer(self.parameters, self.variables, frozen)
        self.progress = Progress(self.variables)
        # The loss of an update is divided by the mean number of tokens of all updates, not by its own number
        # of tokens, so that each token of an epoch has the same weight.
        self.loss_scale = 1.0 / (self.batches.mean_tokens * self.parameters.accumulate)
        checkpoint = tf.train.Checkpoint(
            variables=self.variables, optimizer=self.optimizer, progress=self.progress
        )
        self.manager = tf.train.CheckpointManager(
            checkpoint, str(self.context.working_dir / "checkpoints"), max_to_keep=CHECKPOINTS_KEPT
        )
        self.model_run = ModelRun(self.context.working_dir)
        accumulated = self.variables if self.parameters.accumulate > 1 else []
        self.accumulated = [tf.Variable(tf.zeros_like(v), trainable=False) for v in accumulated]

    def run(self) -> None:
        """Trains to the end and leaves the best validated weights in the model.

        Raises:
          DataError: the checkpoint or the history of an interrupted training is damaged.
          TrainingError: the loss is not finite, or far above that of chance.
        """
        self._resume()
        writer = tf.summary.create_file_writer(str(self.model_run.logs / "train"))
        with writer.as_default(), self._bar() as bar:
            self._loop(bar)
        for variable, best in zip(self.variables, self.progress.best_weights, strict=True):
            variable.assign(best)

    @functools.cached_property
    def train_on(self) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], None]:
        """The graph of `_train_on`, which trains on one batch."""
        signature = [TOKENS, TOKENS, tf.TensorSpec([], tf.int32)]
        # A concrete function does not check the types of its arguments before each call.
        return tf.function(self._train_on, input_signature=signature).get_concrete_function()

    @property
    def step(self) -> int:
        """Number of updates made."""
        return int(self.optimizer.step)

    def _resume(self) -> None:
        """Restores the last checkpoint, if there is one, and cuts the history back to it."""
        if self.manager.latest_checkpoint:
            try:
                self.manager.restore_or_initialize()
            except _READ_ERRORS as error:
                raise self._damaged(self.manager.latest_checkpoint, error) from error
        try:
            self.model_run.discard_after(self.step)
        except msgspec.MsgspecError as error:
            raise self._damaged(str(self.model_run.history_file), error) from error
        if self.step:
            self.context.say(f"resumed at step {self.step:,} of {self.parameters.step_count:,}")

    def _damaged(self, path: str, error: Exception) -> DataError:
        return DataError(
            f"{path}, a file of the interrupted training, cannot be read: {error}",
            f"delete {self.context.working_dir} to train from the start",
        )

    def _bar(self) -> tqdm:
        p = self.parameters
        is_shown = self.context.interactive and p.progress
        return tqdm(
            total=p.step_count, initial=self.step, unit="step", disable=not is_shown, dynamic_ncols=True
        )

    def _loop(self, bar: tqdm) -> None:
        """Trains to the last step, or until training stops early."""
        p, progress, step = self.parameters, self.progress, self.step
        started, seconds_before = time.monotonic(), float(progress.seconds)
        logged_time, logged_step = started, step
        with contextlib.closing(self.batches.read_ahead(step * p.accumulate)) as batches:
            while step < p.step_count and not progress.stopped:
                for index in range(p.accumulate):
                    self.train_on(*next(batches), tf.constant(index))
                step += 1
                bar.update()
                is_validation = step % p.validation.every == 0 or step == p.step_count
                if is_validation or step % LOG_EVERY == 0:
                    # It raises TrainingError if the training has diverged: before each checkpoint.
                    self._log(bar, step, step - logged_step, time.monotonic() - logged_time)
                    logged_time, logged_step = time.monotonic(), step
                if is_validation:
                    progress.seconds.assign(seconds_before + time.monotonic() - started)
                    self._validate(step)
                    progress.seconds.assign(seconds_before + time.monotonic() - started)
                    logged_time = time.monotonic()
                    self.manager.save(step)

    def gradients(self, source: tf.Tensor, target: tf.Tensor, index: tf.Tensor | int) -> list[tf.Tensor]:
        """Returns the gradients of one batch and adds its loss to the running sums.

        Args:
          source: int32[B, S].
          target: int32[B, T].
          index: index of the batch within its update, int32[] or int.

        Returns:
          float32, one for each variable and of its shape.
        """
        p, rows = self.parameters, tf.shape(source)[0]
        batch_number = self.optimizer.step * p.accumulate + tf.cast(index, tf.int64)
        outputs = []
        for replica in range(p.replicas):
            replica_rows = slice(rows * replica // p.replicas, rows * (replica + 1) // p.replicas)
            seed = tf.stack([tf.constant(p.seed, tf.int64), batch_number * p.replicas + replica])
            dropout = Dropout(tf.cast(seed, tf.int32))
            outputs.append(self._replica(source[replica_rows], target[replica_rows], dropout))
        losses = [loss for loss, _ in outputs]
        self.progress.loss.assign_add(tf.add_n([loss.cross_entropy for loss in losses]))
        self.progress.tokens.assign_add(tf.add_n([loss.tokens for loss in losses]))
        return [tf.add_n(summands) for summands in zip(*(gradients for _, gradients in outputs), strict=True)]

    def _replica(
        self, source: tf.Tensor, target: tf.Tensor, dropout: Dropout
    ) -> tuple[Loss, list[tf.Tensor]]:
        """Returns the loss of one part of a batch, and its gradients. Replicas run in parallel."""
        p = self.parameters
        rate = sampling_rate(p, self.optimizer.step) if p.scheduled_sampling else None
        with tf.GradientTape() as tape:
            loss = masked_loss(self.model, source, target, p.label_smoothing, dropout, rate)
            scaled = loss.smoothed * self.loss_scale
        return loss, [tf.convert_to_tensor(g) for g in tape.gradient(scaled, self.variables)]

    def _train_on(self, source: tf.Tensor, target: tf.Tensor, index: tf.Tensor) -> None:
        """Trains on one batch: updates the weights if it is the last batch of an update.

        Args:
          source: int32[B, S].
          target: int32[B, T].
          index: int32[], index of the batch within its update.
        """
        accumulate = self.parameters.accumulate
        gradients = self.gradients(source, target, index)
        if accumulate == 1:
            self._apply(gradients)
        else:
            is_last = tf.equal(index, accumulate - 1)
            tf.cond(is_last, lambda: self._apply(gradients), lambda: self._accumulate(gradients))

    def _accumulate(self, gradients: list[tf.Tensor]) -> None:
        for total, gradient in zip(self.accumulated, gradients, strict=True):
            total.assign_add(gradient)

    def _apply(self, gradients: list[tf.Tensor]) -> None:
        """Updates the weights with the sum of these and the accumulated gradients."""
        if self.accumulated:
            gradients = [g + total for g, total in zip(gradients, self.accumulated, strict=True)]
        self.progress.norm.assign_add(self.optimizer.apply(gradients))
        for total in self.accumulated:
            total.assign(tf.zeros_like(total))

    def _log(self, bar: tqdm, step: int, updates: int, seconds: float) -> None:
        """Shows and records means over the last updates.

        Args:
          bar: the progress bar.
          step: number of updates made.
          updates: number of updates since the last call.
          seconds: duration of these updates.

        Raises:
          TrainingError: the loss or the gradient is not finite, or the loss is far above that of chance.
        """
        progress = self.progress
        tokens = float(progress.tokens)
        loss, norm = float(progress.loss) / max(tokens, 1.0), float(progress.norm) / updates
        check_loss(step, loss, norm, self.model.target_size, self.manager.directory)
        for total in (progress.tokens, progress.loss, progress.norm):
            total.assign(0.0)
        progress.logged_loss.assign(loss)
        tokens_per_second = tokens / seconds
        bar.set_postfix_str(f"loss {loss:.3f}, {tokens_per_second:,.0f} tokens/s")
        tf.summary.scalar("loss", loss, step)
        tf.summary.scalar("gradient_norm", norm, step)
        tf.summary.scalar("tokens_per_second", tokens_per_second, step)
        rate = learning_rate(self.parameters, tf.constant(step - 1, tf.int64)) * self.optimizer.scale
        tf.summary.scalar("learning_rate", rate, step)

    def _validate(self, step: int) -> None:
        """Scores the averaged weights, saves the best weights, and decides whether to stop."""
        self.optimizer.snapshot()
        self.optimizer.swap()
        scores = self.validate()
        is_better = scores.is_better_than(self.progress.best)
        if is_better:
            self._save_best(scores)
        else:
            self._count_failure(step)
        self.optimizer.swap()
        self._report(step, scores, is_better)

    def _save_best(self, scores: ValidationScores) -> None:
        progress = self.progress
        progress.best = scores
        progress.validations_without_improvement.assign(0)
        for best, variable in zip(progress.best_weights, self.variables, strict=True):
            best.assign(variable)

    def _count_failure(self, step: int) -> None:
        """Counts a validation that is not better. May lower the learning rate or stop the training."""
        p, progress = self.parameters, self.progress
        progress.validations_without_improvement.assign_add(1)
        if p.schedule.kind == "plateau" and step > p.schedule.warmup_steps:
            self.optimizer.scale.assign(self.optimizer.scale * p.schedule.plateau_factor)
        patience = p.validation.patience
        failures = int(progress.validations_without_improvement)
        progress.stopped.assign(bool(patience) and failures >= patience)

    def _report(self, step: int, scores: ValidationScores, is_better: bool) -> None:
        """Writes the result of a validation to TensorBoard, to the history and to the terminal."""
        p, progress = self.parameters, self.progress
        minutes, loss = float(progress.seconds) / 60, float(progress.logged_loss)
        bleu, chrf = scores.bleu, scores.chrf
        validation_loss = round(scores.loss, 4) if math.isfinite(scores.loss) else None
        tf.summary.scalar("validation_bleu", bleu, step)
        tf.summary.scalar("validation_chrf", chrf, step)
        tf.summary.scalar("validation_loss", scores.loss, step)
        self.model_run.append(
            Validation(
                step, round(minutes, 3), round(loss, 4), round(bleu, 3), round(chrf, 3), validation_loss
            )
        )
        epoch = step * p.accumulate / self.batches.per_epoch
        mark = "" if is_better else " (not better)"
        self.context.say(
            f"step {step:>6,}  epoch {epoch:5.1f}  {minutes:5.1f} min  loss {loss:.3f}  "
            f"validation BLEU {bleu:5.2f} chrF {chrf:5.2f}{mark}"
        )
        if progress.stopped:
            self.context.say(f"stopped early: none of {p.validation.patience} validations was better")
