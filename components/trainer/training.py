"""The training loop: step, log, validate, save, stop."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

from bitext.components import artifacts
from bitext.components.artifacts import TrainingSize
from bitext.components.component import Context
from bitext.components.shared.errors import DataError
from bitext.components.shared.graphs import graph_function
from bitext.components.shared.progress import Progress as ShownProgress
from bitext.components.trainer.data import Batch
from bitext.components.trainer.divergence import check_loss
from bitext.components.trainer.optimizer import learning_rate
from bitext.components.trainer.recording import NOTHING_WATCHED, Recorder, Watched
from bitext.components.trainer.state import Progress
from bitext.components.trainer.updates import Updates
from bitext.components.trainer.validation import ValidationScores

CHECKPOINTS_KEPT = 2
_READ_ERRORS = (tf.errors.OpError, AssertionError, LookupError, RuntimeError, ValueError)
"""Exceptions that TensorFlow raises on damaged checkpoints."""


@dataclasses.dataclass
class Training(Updates):
    """Trains a model. It resumes from the checkpoint in `context.working_dir`, if there is one.

    Args:
      model, parameters, batches, frozen, distribution: as of `Updates`.
      validate: returns the scores of the model with its current weights.
      context: the resources of the run.
      watched: what the records have besides the figures.
    """

    validate: Callable[[], ValidationScores]
    context: Context
    watched: Watched = NOTHING_WATCHED

    def __post_init__(self) -> None:
        super().__post_init__()
        averages_late = bool(self.parameters.validation.average_from)
        self.progress = Progress(self.variables, averages_late=averages_late)
        checkpoint = tf.train.Checkpoint(
            variables=self.variables, optimizer=self.optimizer, progress=self.progress
        )
        self.manager = tf.train.CheckpointManager(
            checkpoint, str(self.context.working_dir / "checkpoints"), max_to_keep=CHECKPOINTS_KEPT
        )
        size = TrainingSize(
            self.parameters.step_count,
            sum(math.prod(v.shape) for v in self.variables),
            self.model.target_size,
            self.batches.per_epoch / self.parameters.accumulate,
            self.watched.warm_starts,
        )
        self.recorder = Recorder(self.context, self.parameters, size, self.watched)

    def run(self) -> None:
        """Trains to the end and leaves the weights to export in the model.

        Raises:
          DataError: the checkpoint or the history of an interrupted training is damaged.
          TrainingError: the loss is not finite, or far above that of chance.
        """
        self._resume()
        p = self.parameters
        work = self.context.progress("updates", p.step_count, self.step, is_drawn=p.progress)
        with contextlib.closing(self.recorder), work as shown:
            self._loop(shown)
            self.recorder.finish()
        for variable, exported in zip(self.variables, self.progress.exported_weights, strict=True):
            variable.assign(exported)

    @functools.cached_property
    def train_on(self) -> Callable[..., None]:
        """The graph of `_train_on`, which trains on one batch."""
        # A concrete function does not check the types of its arguments before each call.
        return graph_function(self._train_on, input_signature=self.signature).get_concrete_function()

    def _resume(self) -> None:
        """Restores the last checkpoint, if there is one, and cuts the history back to it."""
        if self.manager.latest_checkpoint:
            try:
                self.manager.restore_or_initialize()
            except _READ_ERRORS as error:
                raise self._damaged(self.manager.latest_checkpoint, error) from error
        try:
            self.recorder.resume(self.step)
        except DataError as error:
            raise self._damaged(str(self.context.working_dir), error) from error
        if self.step:
            self.context.say(f"resumed at step {self.step:,} of {self.parameters.step_count:,}")
        self.receive_state(bool(self.progress.stopped))

    def _damaged(self, path: str, error: Exception) -> DataError:
        return DataError(
            f"{path}, a file of the interrupted training, cannot be read: {error}",
            f"delete {self.context.working_dir} to train from the start",
        )

    def _loop(self, shown: ShownProgress) -> None:
        """Trains to the last step, or until training stops early."""
        p, progress, step = self.parameters, self.progress, self.step
        started, seconds_before = time.monotonic(), float(progress.seconds)
        logged_time, logged_step = started, step
        with contextlib.closing(self.batches.read_ahead(step * p.accumulate)) as batches:
            while step < p.step_count and not progress.stopped:
                self._make_update(batches)
                step += 1
                shown.advance()
                is_validation = step % p.validation.every == 0 or step == p.step_count
                if is_validation or step % self.recorder.interval == 0:
                    now = time.monotonic()
                    seconds = seconds_before + now - started
                    # It raises TrainingError if the training has diverged: before each checkpoint.
                    self._log(shown, step, step - logged_step, now - logged_time, seconds / 60)
                    logged_time, logged_step = time.monotonic(), step
                if is_validation:
                    progress.seconds.assign(seconds_before + time.monotonic() - started)
                    self._validate(step, shown)
                    progress.seconds.assign(seconds_before + time.monotonic() - started)
                    logged_time = time.monotonic()
                    self.manager.save(step)
                    self.synchronize(bool(progress.stopped))

    def _make_update(self, batches: Iterator[Batch]) -> None:
        """Makes one update, alone or with the other workers and devices."""
        if self.distribution.strategy is None:
            for index in range(self.parameters.accumulate):
                self.train_on(tf.constant(index), *next(batches))
            return
        progress = self.progress
        totals = progress.loss, progress.tokens, progress.norm
        for total, value in zip(totals, self.update_together(batches), strict=True):
            total.assign_add(value)

    def gradients(
        self, index: tf.Tensor | int, source: tf.Tensor, target: tf.Tensor, served: tf.Tensor | None = None
    ) -> list[tf.Tensor]:
        """Returns the gradients of one batch and adds its loss to the running sums.

        Args:
          index: index of the batch within its update, int32[] or int.
          source: int32[B, S].
          target: int32[B, T].
          served: see `Updates.sums`.

        Returns:
          float32, one for each variable and of its shape.
        """
        sums = self.sums(source, target, index, served=served)
        self.progress.loss.assign_add(sums.cross_entropy)
        self.progress.tokens.assign_add(sums.tokens)
        return sums.gradients

    def _train_on(self, index: tf.Tensor, *batch: tf.Tensor) -> None:
        """Trains on one batch: updates the weights if it is the last batch of an update.

        Args:
          index: int32[], index of the batch within its update.
          *batch: see `data.Batch`.
        """
        accumulate = self.parameters.accumulate
        gradients = self.gradients(index, *batch)
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

    def _log(self, shown: ShownProgress, step: int, updates: int, seconds: float, minutes: float) -> None:
        """Shows and records means over the last updates.

        Args:
          shown: the progress that is shown.
          step: number of updates made.
          updates: number of updates since the last call.
          seconds: duration of these updates.
          minutes: training time, over all attempts.

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
        shown.note(loss=round(loss, 4), tokens_per_second=round(tokens_per_second))
        rate = learning_rate(self.parameters, tf.constant(step - 1, tf.int64)) * self.optimizer.scale
        record = artifacts.Progress(
            step,
            round(minutes, 3),
            round(loss, 4),
            float(f"{float(rate):.6g}"),
            round(tokens_per_second, 1),
            float(f"{norm:.5g}"),
        )
        self.recorder.record_progress(record)

    def _validate(self, step: int, shown: ShownProgress) -> None:
        """Scores the averaged weights, saves the best weights, and decides whether to stop."""
        self.optimizer.snapshot()
        self.optimizer.swap()
        scores = self.validate()
        self.recorder.draw_attention(step, scores.translations)
        is_better = scores.is_better_than(self.progress.best)
        if is_better:
            self._save_best(scores)
        else:
            self._count_failure(step)
        if self.parameters.averages_weights_at(step):
            self.progress.add_late_weights(self.variables)
        self.optimizer.swap()
        self._report(step, scores, is_better)
        shown.note(
            validated=step,
            bleu=round(scores.bleu, 2),
            chrf=round(scores.chrf, 2),
            best_bleu=round(self.progress.best.bleu, 2),
        )

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
        """Records and prints the result of a validation."""
        p, progress = self.parameters, self.progress
        minutes, loss = float(progress.seconds) / 60, float(progress.logged_loss)
        bleu, chrf = scores.bleu, scores.chrf
        validation_loss = round(scores.loss, 4) if math.isfinite(scores.loss) else None
        validation = artifacts.Validation(
            step, round(minutes, 3), round(loss, 4), round(bleu, 3), round(chrf, 3), validation_loss
        )
        self.recorder.record_validation(validation, scores.translations, is_better)
        epoch = step * p.accumulate / self.batches.per_epoch
        mark = "" if is_better else " (not better)"
        self.context.say(
            f"step {step:>6,}  epoch {epoch:5.1f}  {minutes:5.1f} min  loss {loss:.3f}  "
            f"validation BLEU {bleu:5.2f} chrF {chrf:5.2f}{mark}"
        )
        if progress.stopped:
            self.context.say(f"stopped early: none of {p.validation.patience} validations was better")
