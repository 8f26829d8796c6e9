"""ModelRun: the record of a training."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import msgspec

from bitext.components.artifacts.base import Artifact
from bitext.components.shared.files import atomic_writer


class Validation(msgspec.Struct, frozen=True):
    """A validation during training.

    Attributes:
      step: number of updates before the validation.
      minutes: training time until then, over all attempts.
      loss: mean training loss since the last progress message, in nats per token.
      bleu: BLEU on sentences of the eval split.
      chrf: their chrF; None: not recorded, as in older files.
      validation_loss: mean loss of the references of the first 100 of them, in nats per token; None: not
        recorded.
    """

    step: int
    minutes: float
    loss: float
    bleu: float
    chrf: float | None = None
    validation_loss: float | None = None

    @property
    def quality(self) -> tuple[float, float, float]:
        """Orders validations as the Trainer does: by BLEU, then chrF, then the loss."""
        chrf = -1.0 if self.chrf is None else self.chrf
        loss = math.inf if self.validation_loss is None else self.validation_loss
        return self.bleu, chrf, -loss


class Progress(msgspec.Struct, frozen=True):
    """Means over the updates since the previous record.

    Attributes:
      step: number of updates until then.
      minutes: training time until then, over all attempts.
      loss: training loss, in nats per token.
      learning_rate: the learning rate of the last of these updates.
      tokens_per_second: target tokens per second, without the time of validations.
      gradient_norm: global norm of the gradients before clipping.
    """

    step: int
    minutes: float
    loss: float
    learning_rate: float
    tokens_per_second: float
    gradient_norm: float


class SampleTranslation(msgspec.Struct, frozen=True):
    """A sentence of the eval split as a validation translates it.

    Attributes:
      source: the sentence.
      reference: its first reference translation.
      hypothesis: the translation by the weights of that time.
    """

    source: str
    reference: str
    hypothesis: str


class ValidationSamples(msgspec.Struct, frozen=True):
    """Sample translations of a validation: the same sentences in each.

    Attributes:
      step: number of updates before the validation.
      samples: the sentences and their translations.
    """

    step: int
    samples: tuple[SampleTranslation, ...]


class TrainingSize(msgspec.Struct, frozen=True):
    """The size of a training, known before its first update.

    Attributes:
      steps: the most updates that it makes.
      weights: number of trained weights.
      target_vocabulary: number of target tokens.
      updates_per_epoch: number of updates that read all examples once.
      warm_starts: number of trainings since the last one from scratch, itself included.
    """

    steps: int
    weights: int
    target_vocabulary: int
    updates_per_epoch: float
    warm_starts: int = 0


class Selection(msgspec.Struct, frozen=True):
    """The weights and the search that a training exported.

    Attributes:
      first_step: the update of the first validation whose weights were averaged.
      last_step: that of the last one. Equal numbers: the weights of one validation.
      validations: number of these validations.
      bleu: BLEU of the exported weights on sentences of the eval split, with the exported length penalty
        unless validations are greedy.
      chrf: their chrF.
      validation_loss: mean loss of the references; see `Validation`.
      length_penalty: that of the exported search; None: not recorded.
      length_ratio: characters of the translations per character of their sources, if the penalty was chosen
        by it; else None.
      training_length_ratio: that of the training data.
    """

    first_step: int
    last_step: int
    validations: int
    bleu: float
    chrf: float | None
    validation_loss: float | None
    length_penalty: float | None
    length_ratio: float | None = None
    training_length_ratio: float | None = None


Record = Validation | Progress | ValidationSamples
"""What is recorded after an update."""


class ModelRun(Artifact):
    """The record of a training::

    training.json               {"steps", "weights", "target_vocabulary", "updates_per_epoch", "warm_starts"}
    history.jsonl               {"step", "minutes", "loss", "bleu", "chrf", "validation_loss"} per validation
    progress.jsonl              {"step", "minutes", "loss", "learning_rate", "tokens_per_second",
                                "gradient_norm"}: means of each 50 updates or more, at most 2,000 records
    samples.jsonl               {"step", "samples": [{"source", "reference", "hypothesis"}, ...]} per
                                validation, or for some of them if there are more than 200
    selection.json              the exported weights and search: {"first_step", "last_step", "validations",
                                "bleu", "chrf", "validation_loss", "length_penalty", "length_ratio",
                                "training_length_ratio"}

    The log for TensorBoard is not part of it, because it stays at one place from the first update on:
    `tensorboard/<property tensorboard>` in the pipeline root. Trainings of older versions have
    `history.jsonl` and `logs` only, or no `selection.json`.
    """

    TYPE_NAME = "ModelRun"
    FILES = ("history.jsonl", "progress.jsonl", "samples.jsonl", "training.json", "selection.json")
    NODE = "Trainer"

    LOG_PROPERTY = "tensorboard"
    """The property with the name of the folder of the log for TensorBoard; missing: there is none."""

    @property
    def log_name(self) -> str:
        """Name of the folder of the log of a training in progress; empty: it has none yet."""
        path = self._log_name_file
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @log_name.setter
    def log_name(self, name: str) -> None:
        with atomic_writer(self._log_name_file) as file:
            file.write(name.encode())

    @property
    def history_file(self) -> Path:
        """The file of the validations."""
        return self.path / "history.jsonl"

    def history(self) -> list[Validation]:
        """Reads the validations, in order.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json_lines(self.history_file, Validation)

    def history_so_far(self) -> list[Validation]:
        """Reads the validations of a training that may be writing them, without an incomplete last line.

        Raises:
          OSError: there is none yet.
          msgspec.MsgspecError: the file is damaged.
        """
        return [msgspec.json.decode(line, type=Validation) for line in _complete_lines(self.history_file)]

    def best_validation(self) -> Validation:
        """Returns the validation that the Trainer takes for the best.

        Raises:
          DataError: the file of the validations is missing, damaged or empty.
        """
        history = self.history()
        if not history:
            raise self.damaged(self.history_file, "has no validation")
        return max(history, key=lambda validation: validation.quality)

    def selection(self) -> Selection:
        """Reads which weights were exported; for a record of an older version, those of the best validation.

        Raises:
          DataError: a file is missing or damaged.
        """
        if self._selection_file.exists():
            return self.read_json(self._selection_file, Selection)
        best = self.best_validation()
        return Selection(best.step, best.step, 1, best.bleu, best.chrf, best.validation_loss, None)

    def write_selection(self, selection: Selection) -> None:
        """Writes which weights were exported."""
        self._selection_file.write_bytes(msgspec.json.encode(selection) + b"\n")

    @property
    def has_progress(self) -> bool:
        """Whether progress, samples and size were recorded; older versions recorded validations only."""
        return self._progress_file.exists() or self._samples_file.exists() or self._size_file.exists()

    def progress(self) -> list[Progress]:
        """Reads the records of progress, in order.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json_lines(self._progress_file, Progress)

    def samples(self) -> list[ValidationSamples]:
        """Reads the sample translations, in order.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json_lines(self._samples_file, ValidationSamples)

    def size(self) -> TrainingSize:
        """Reads the size of the training.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json(self._size_file, TrainingSize)

    def write_size(self, size: TrainingSize) -> None:
        """Writes the size of the training."""
        self._size_file.write_bytes(msgspec.json.encode(size) + b"\n")

    def append(self, record: Record) -> None:
        """Adds a record at the end of its file."""
        with self._file_of(type(record)).open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")

    def discard_after(self, step: int) -> None:
        """Removes the records after an update, and incomplete last lines.

        A killed attempt may have written them after its last checkpoint. The next attempt writes them again.

        Raises:
          DataError: a file is damaged.
        """
        kinds: tuple[type[Record], ...] = (Validation, Progress, ValidationSamples)
        for kind in kinds:
            path = self._file_of(kind)
            complete = _complete_lines(path) if path.exists() else []
            with self.reporting_damage(path):
                kept = [line for line in complete if msgspec.json.decode(line, type=kind).step <= step]
            path.write_bytes(b"".join(kept))

    def copy_records_to(self, other: ModelRun) -> None:
        """Copies the files of this record to another folder."""
        for name in self.FILES:
            shutil.copy(self.path / name, other.path)

    @property
    def _progress_file(self) -> Path:
        return self.path / "progress.jsonl"

    @property
    def _samples_file(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def _selection_file(self) -> Path:
        return self.path / "selection.json"

    @property
    def _log_name_file(self) -> Path:
        return self.path / "tensorboard.txt"

    @property
    def _size_file(self) -> Path:
        return self.path / "training.json"

    def _file_of(self, kind: type[Record]) -> Path:
        """The file of one kind of records."""
        files = {
            Validation: self.history_file,
            Progress: self._progress_file,
            ValidationSamples: self._samples_file,
        }
        return files[kind]


def _complete_lines(path: Path) -> list[bytes]:
    """Returns the lines of a file with their ends, without a last one that was not written to its end."""
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
