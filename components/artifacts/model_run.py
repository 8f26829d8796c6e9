"""ModelRun: the record of a training."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from bitext.components.artifacts.base import Artifact


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


class ModelRun(Artifact):
    """The record of a training, for TensorBoard and for programs::

    logs/train/events.out.tfevents...
    history.jsonl               {"step", "minutes", "loss", "bleu", "chrf", "validation_loss"} per validation
    """

    TYPE_NAME = "ModelRun"
    FILES = ("history.jsonl",)
    NODE = "Trainer"

    @property
    def logs(self) -> Path:
        """The folder that TensorBoard reads."""
        return self.path / "logs"

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

    def append(self, validation: Validation) -> None:
        """Adds a validation at the end."""
        with self.history_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(msgspec.structs.asdict(validation)) + "\n")

    def discard_after(self, step: int) -> None:
        """Removes the validations after an update, and an incomplete last line.

        A killed attempt may have written them after its last checkpoint. The next attempt writes them again.
        TensorBoard's event files keep both, so these steps appear twice there.
        """
        lines = self.history_file.read_bytes().splitlines(keepends=True) if self.history_file.exists() else []
        complete = [line for line in lines if line.endswith(b"\n")]
        earlier = [line for line in complete if msgspec.json.decode(line, type=Validation).step <= step]
        self.history_file.write_bytes(b"".join(earlier))
