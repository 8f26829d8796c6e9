"""Records a training in its ModelRun and for TensorBoard: progress, validations, sample translations."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bitext.components.artifacts import (
    ModelRun,
    Progress,
    SampleTranslation,
    TrainingSize,
    Validation,
    ValidationSamples,
)
from bitext.components.component import Context
from bitext.components.shared.heldout import Sentence
from bitext.components.shared.spacing import evenly
from bitext.components.trainer import Parameters
from bitext.components.trainer.attention import Attend, image
from bitext.components.trainer.tensorboard_log import TensorBoardLog

LOG_EVERY = 50
"""The fewest updates between two records of progress."""
MAX_PROGRESS_RECORDS = 2_000
"""The most records of progress of a training."""
MAX_SAMPLED_VALIDATIONS = 200
"""The most validations whose samples are recorded, besides the best ones."""
DRAWN_VALIDATIONS = 10
"""The most validations whose attention is drawn, which takes about 0.3 s an image. TensorBoard shows ten."""
DRAWN_SAMPLES = 2
"""Number of sample translations whose attention is drawn."""
SAMPLE_COUNT = 5
"""Number of sentences whose translations are recorded."""


def log_interval(steps: int) -> int:
    """Returns the number of updates between two records of progress, a multiple of `LOG_EVERY`."""
    return LOG_EVERY * max(1, math.ceil(steps / (LOG_EVERY * MAX_PROGRESS_RECORDS)))


def sample_indices(count: int) -> list[int]:
    """Returns the indices of the sample sentences among `count` sentences: evenly spaced, in order."""
    return evenly(range(count), SAMPLE_COUNT)


@dataclasses.dataclass(frozen=True)
class Watched:
    """What the records of a training have besides its figures.

    Args:
      held_out: the sentences that validations translate.
      attend: returns the attention of translations; None: it is not drawn.
      warm_starts: see `TrainingSize`.
    """

    held_out: Sequence[Sentence] = ()
    attend: Attend | None = None
    warm_starts: int = 0

    @functools.cached_property
    def samples(self) -> list[Sentence]:
        """The sentences whose translations are recorded."""
        return [self.held_out[index] for index in sample_indices(len(self.held_out))]


NOTHING_WATCHED = Watched()
"""The records have figures only."""


@dataclasses.dataclass
class Recorder:
    """Writes the records of a training, and its log for TensorBoard.

    Args:
      context: the resources of the run.
      parameters: the parameters in effect.
      size: the size of the training.
      watched: what the records have besides the figures.
    """

    context: Context
    parameters: Parameters
    size: TrainingSize
    watched: Watched = NOTHING_WATCHED

    def __post_init__(self) -> None:
        self.run = ModelRun(self.context.working_dir)
        self.interval = log_interval(self.size.steps)
        self._every = self.parameters.validation.every
        validations = math.ceil(self.size.steps / self._every)
        self._records_each_validation = validations <= MAX_PROGRESS_RECORDS
        self._samples_every = math.ceil(validations / MAX_SAMPLED_VALIDATIONS)
        self._images_every = math.ceil(validations / DRAWN_VALIDATIONS)
        self._pending: Progress | None = None
        self._log: TensorBoardLog | None = None

    def resume(self, step: int) -> None:
        """Starts or continues the records; removes what an earlier attempt wrote after its last checkpoint.

        Args:
          step: number of updates before that checkpoint; 0 without one.

        Raises:
          DataError: a file is damaged.
        """
        self.run.discard_after(step)
        self.run.write_size(self.size)
        if self.context.tensorboard is None:
            return
        name = self.run.log_name or self._new_log_name(self.context.tensorboard)
        self.run.log_name = name
        self._log = TensorBoardLog(self.context.tensorboard / name, step)
        if not step:
            self._log.start_session(msgspec.to_builtins(self.parameters), name)

    def _new_log_name(self, folder: Path) -> str:
        """Returns the name of a new training's log: the id of the run that starts it.

        A second training in the same run, after its first model was damaged, has a number behind it.
        """
        run_id = self.context.run_id or "training"
        names = itertools.chain([run_id], (f"{run_id}-{number}" for number in itertools.count(2)))
        return next(name for name in names if not (folder / name).exists())

    def record_progress(self, record: Progress) -> None:
        """Records means over the last updates."""
        is_due = self._records_each_validation or record.step % self.interval == 0
        if is_due:
            self.run.append(record)
        self._pending = None if is_due else record
        if self._log:
            names = ("loss", "learning_rate", "tokens_per_second", "gradient_norm")
            self._log.scalars(record.step, {name: getattr(record, name) for name in names})

    def record_validation(self, validation: Validation, translations: Sequence[str], is_best: bool) -> None:
        """Records a validation and, if they are due, the translations of the sample sentences.

        Args:
          validation: its scores.
          translations: the translation of each sample sentence.
          is_best: whether no earlier validation was better.
        """
        step = validation.step
        if self._is_due(step, self._samples_every) or is_best:
            pairs = zip(self.watched.samples, translations, strict=True)
            samples = tuple(SampleTranslation(s.source, s.references[0], text) for s, text in pairs)
            self.run.append(ValidationSamples(step, samples))
            if self._log and samples:
                rows = [(s.source, s.reference, s.hypothesis) for s in samples]
                self._log.table(step, "samples", [("source", "reference", "translation"), *rows])
        self.run.append(validation)
        if self._log:
            scores = {"validation_bleu": validation.bleu, "validation_chrf": validation.chrf}
            scores["validation_loss"] = validation.validation_loss
            self._log.scalars(step, {name: score for name, score in scores.items() if score is not None})

    def draw_attention(self, step: int, translations: Sequence[str]) -> None:
        """Draws the attention of the first sample translations, if it is due, with the weights of now."""
        drawn, attend = self.watched.samples[:DRAWN_SAMPLES], self.watched.attend
        if not (self._log and attend and drawn and self._is_due(step, self._images_every)):
            return
        alignments = attend([s.source for s in drawn], list(translations[: len(drawn)]))
        for number, alignment in enumerate(alignments, 1):
            png, size = image(alignment)
            self._log.image(step, f"attention/sample {number}", png, size, "Source tokens are columns.")

    def finish(self) -> None:
        """Records the progress until the last update, if that is not done, and the end."""
        if self._pending is not None:
            self.run.append(self._pending)
            self._pending = None
        if self._log:
            self._log.finish(self.run.history()[-1].step)

    def close(self) -> None:
        """Closes the log."""
        if self._log:
            self._log.close()

    def _is_due(self, step: int, every: int) -> bool:
        """Whether this is one of every `every` validations, or the last one."""
        number = math.ceil(step / self._every) - 1
        return number % every == 0 or step == self.size.steps
