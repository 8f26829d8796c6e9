"""The training loop: step, log, validate, keep, stop."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable, Iterator

import tensorflow as tf
from tqdm import tqdm

from bitext.components.component import Context
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.loss import Loss, masked_loss
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.shared.errors import TrainingError
from bitext.components.trainer import Parameters
from bitext.components.trainer.data import Batches, Packed, unpack
from bitext.components.trainer.optimizer import Optimizer, learning_rate, sampling_rate

LOG_EVERY = 50
TOGETHER = 10
"""Batches in one call of the graph, or as many as an update takes. Between two calls the cores wait 1 ms; an
interruption waits for the end of a call, and of the reading of the batches after it."""
PACKED = Packed(tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 3], tf.int32))


class Progress(tf.Module):
    """What a killed training needs beside weights and optimizer to go on as if nothing had happened.

    Attributes:
      best: float64[], the best validation BLEU, -1 before the first.
      bad: int64[], validations since.
      stopped: bool[], whether training is over (early stopping).
      loss, tokens, norm: float32[], sums since the last log line; `norm` is of the gradients' global norms.
      recent: float32[], the mean loss at the last log line, in nats a token.
      seconds: float64[], time spent training, over all attempts.
      kept: the weights of the best validation.
    """

    def __init__(self, variables: list[tf.Variable]):
        super().__init__(name="progress")
        self.best = tf.Variable(-1.0, dtype=tf.float64, trainable=False)
        self.bad = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.stopped = tf.Variable(False, trainable=False)
        self.loss = tf.Variable(0.0, trainable=False)
        self.tokens = tf.Variable(0.0, trainable=False)
        self.norm = tf.Variable(0.0, trainable=False)
        self.recent = tf.Variable(0.0, trainable=False)
        self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.kept = [tf.Variable(v, trainable=False) for v in variables]


@dataclasses.dataclass
class Training:
    """One training, resumed from `working_dir` if it was begun there.

    Args:
      model: the model, trained in place.
      parameters: how.
      batches: on what.
      validate: BLEU of the model as it is.
      context: the run around it.
    """

    model: Seq2Seq
    parameters: Parameters
    batches: Batches
    validate: Callable[[], float]
    context: Context

    def __post_init__(self) -> None:
        self.variables = [v.value for v in self.model.trainable_variables]
        self.optimizer = Optimizer(self.parameters, self.variables)
        self.progress = Progress(self.variables)
        # Every token of an epoch weighs the same, whatever batch it is in: a batch's sum is divided by the
        # real tokens of a mean update.
        self.scale = 1.0 / (self.batches.mean_tokens * self.parameters.accumulate)
        checkpoint = tf.train.Checkpoint(
            variables=self.variables, optimizer=self.optimizer, progress=self.progress
        )
        self.manager = tf.train.CheckpointManager(
            checkpoint, str(self.context.working_dir / "checkpoints"), max_to_keep=2
        )
        self.history = self.context.working_dir / "history.jsonl"
        # Of the batches before the last of an update.
        gathered = self.variables if self.parameters.accumulate > 1 else []
        self.gathered = [tf.Variable(tf.zeros_like(v), trainable=False) for v in gathered]

    def run(self) -> None:
        """Trains to the end and leaves the best validated weights in the model.

        Raises:
          TrainingError: the loss is not finite.
        """
        if self.manager.latest_checkpoint:
            self.manager.restore_or_initialize()
        self._forget_after(self.step)
        if self.step:
            self.context.say(f"resumed at step {self.step:,} of {self.parameters.steps:,}")
        writer = tf.summary.create_file_writer(str(self.context.working_dir / "logs" / "train"))
        with writer.as_default(), self._bar() as bar:
            self._loop(bar)
        for variable, kept in zip(self.variables, self.progress.kept, strict=True):
            variable.assign(kept)

    @functools.cached_property
    def update(self) -> Callable[[Packed], None]:
        """As many updates of the weights as there are batches in a pack (by `accumulate`), in one call."""
        # Concrete: no look at the types of the arguments before every call.
        return tf.function(self._updates, input_signature=[PACKED]).get_concrete_function()

    @property
    def step(self) -> int:
        """Updates made."""
        return int(self.optimizer.step)

    def _forget_after(self, step: int) -> None:
        """Drops the history a killed attempt wrote after its last checkpoint: it will be written again.

        TensorBoard's event files keep what it wrote: there, these steps are twice."""
        text = self.history.read_text(encoding="utf-8") if self.history.exists() else ""
        whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        kept = [line for line in whole if json.loads(line)["step"] <= step]
        self.history.write_text("".join(kept), encoding="utf-8")

    def _bar(self) -> tqdm:
        p = self.parameters
        shown = self.context.interactive and p.progress
        return tqdm(total=p.steps, initial=self.step, unit="step", disable=not shown, dynamic_ncols=True)

    def _loop(self, bar: tqdm) -> None:
        p, progress, step = self.parameters, self.progress, self.step
        begun, before = time.monotonic(), float(progress.seconds)
        since, logged = begun, step
        sizes = (p.accumulate * updates for updates in self._calls(step))
        for batches in self.batches.packed(step * p.accumulate, sizes):
            self.update(batches)
            updates = len(batches.shapes) // p.accumulate
            step += updates
            bar.update(updates)
            validating = step % p.validate_every == 0 or step == p.steps
            # Always before a checkpoint is kept, so that none holds weights that are not finite.
            if validating or step % LOG_EVERY == 0:
                self._log(bar, step, step - logged, time.monotonic() - since)
                since, logged = time.monotonic(), step
            if validating:
                progress.seconds.assign(before + time.monotonic() - begun)
                self._validate(step)
                progress.seconds.assign(before + time.monotonic() - begun)
                since = time.monotonic()
                self.manager.save(step)
            if progress.stopped:
                break

    def _calls(self, step: int) -> Iterator[int]:
        """The updates of each call after `step` updates: none goes past a line of the log or a validation."""
        p = self.parameters
        while step < p.steps and not self.progress.stopped:
            ends = (step - step % every + every for every in (LOG_EVERY, p.validate_every))
            end = min(p.steps, step + max(1, TOGETHER // p.accumulate), *ends)
            yield end - step
            step = end

    def gradients(self, source: tf.Tensor, target: tf.Tensor, number: tf.Tensor | int) -> list[tf.Tensor]:
        """Of a batch, the `number`th of its update; its loss is added to the sums."""
        p, rows = self.parameters, tf.shape(source)[0]
        place = self.optimizer.step * p.accumulate + tf.cast(number, tf.int64)
        towers = []
        for tower in range(p.towers):
            part = slice(rows * tower // p.towers, rows * (tower + 1) // p.towers)
            seed = tf.stack([tf.constant(p.seed, tf.int64), place * p.towers + tower])
            towers.append(self._tower(source[part], target[part], Dropout(tf.cast(seed, tf.int32))))
        losses = [loss for loss, _ in towers]
        self.progress.loss.assign_add(tf.add_n([loss.cross_entropy for loss in losses]))
        self.progress.tokens.assign_add(tf.add_n([loss.tokens for loss in losses]))
        return [tf.add_n(of_all) for of_all in zip(*(gradients for _, gradients in towers), strict=True)]

    def _tower(self, source: tf.Tensor, target: tf.Tensor, dropout: Dropout) -> tuple[Loss, list[tf.Tensor]]:
        """The loss of a part of a batch, and its gradients. No tower waits for another."""
        p = self.parameters
        rate = sampling_rate(p, self.optimizer.step) if p.scheduled_sampling else None
        with tf.GradientTape() as tape:
            loss = masked_loss(self.model, source, target, p.label_smoothing, dropout, rate)
            minimised = loss.smoothed * self.scale
        return loss, [tf.convert_to_tensor(g) for g in tape.gradient(minimised, self.variables)]

    def _updates(self, packed: Packed) -> None:
        p = self.parameters

        def batch(number: tf.Tensor, begin: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            (source, target), end = unpack(packed, number, begin)
            place = number % p.accumulate
            gradients = self.gradients(source, target, place)
            if p.accumulate == 1:
                self._apply(gradients)
            else:
                last = tf.equal(place, p.accumulate - 1)
                tf.cond(last, lambda: self._apply(gradients), lambda: self._gather(gradients))
            return number + 1, end

        many = tf.shape(packed.shapes)[0]
        tf.while_loop(lambda number, _: number < many, batch, (0, 0), parallel_iterations=1)

    def _gather(self, gradients: list[tf.Tensor]) -> None:
        for gathered, gradient in zip(self.gathered, gradients, strict=True):
            gathered.assign_add(gradient)

    def _apply(self, gradients: list[tf.Tensor]) -> None:
        if self.gathered:
            gradients = [g + before for g, before in zip(gradients, self.gathered, strict=True)]
        self.progress.norm.assign_add(self.optimizer.apply(gradients))
        for gathered in self.gathered:
            gathered.assign(tf.zeros_like(gathered))

    def _log(self, bar: tqdm, step: int, updates: int, seconds: float) -> None:
        """Shows and records the means of the last `updates`, which took so many seconds."""
        progress = self.progress
        tokens = float(progress.tokens)
        loss, norm = float(progress.loss) / max(tokens, 1.0), float(progress.norm) / updates
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"the loss is {loss}, its gradient's norm {norm} at step {step}: training has diverged",
                "lower trainer.learning_rate or raise trainer.warmup_steps; the last good checkpoint is kept "
                f"in {self.manager.directory}",
            )
        for total in (progress.tokens, progress.loss, progress.norm):
            total.assign(0.0)
        progress.recent.assign(loss)
        rate = tokens / seconds
        bar.set_postfix_str(f"loss {loss:.3f}, {rate:,.0f} tokens/s")
        tf.summary.scalar("loss", loss, step)
        tf.summary.scalar("gradient_norm", norm, step)
        tf.summary.scalar("tokens_per_second", rate, step)
        rate = learning_rate(self.parameters, tf.constant(step - 1, tf.int64)) * self.optimizer.scale
        tf.summary.scalar("learning_rate", rate, step)

    def _validate(self, step: int) -> None:
        p, progress = self.parameters, self.progress
        self.optimizer.snapshot()
        self.optimizer.swap()
        bleu = self.validate()
        minutes = float(progress.seconds) / 60
        better = bleu > float(progress.best)
        if better:
            progress.best.assign(bleu)
            progress.bad.assign(0)
            for kept, variable in zip(progress.kept, self.variables, strict=True):
                kept.assign(variable)
        else:
            progress.bad.assign_add(1)
            if p.schedule == "plateau" and step > p.warmup_steps:
                self.optimizer.scale.assign(self.optimizer.scale * p.plateau_factor)
            progress.stopped.assign(bool(p.patience) and int(progress.bad) >= p.patience)
        self.optimizer.swap()
        tf.summary.scalar("validation_bleu", bleu, step)
        loss = round(float(progress.recent), 4)
        line = {"step": step, "minutes": round(minutes, 3), "loss": loss, "bleu": round(bleu, 3)}
        with self.history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        epoch = step * p.accumulate / self.batches.per_epoch
        mark = "" if better else " (not better)"
        self.context.say(
            f"step {step:>6,}  epoch {epoch:5.1f}  {minutes:5.1f} min  loss {float(progress.recent):.3f}  "
            f"validation BLEU {bleu:5.2f}{mark}"
        )
        if progress.stopped:
            self.context.say(f"stopped early: no better BLEU in {p.patience} validations")
