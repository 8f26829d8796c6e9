"""Sections of the Trainer's parameters: its start, what follows it, on how many processes it runs."""

from __future__ import annotations

from typing import Annotated

import msgspec

from bitext.components import component
from bitext.components.seq2seq import Positive
from bitext.components.shared.path_types import LocalPath
from bitext.components.shared.suggestions import did_you_mean

NonNegative = Annotated[int, msgspec.Meta(ge=0)]
PositiveFloat = Annotated[float, msgspec.Meta(gt=0.0)]
LAST_BLESSED = "last_blessed"
"""Value of `warm_start.model` that selects the model now served."""


class WarmStartParameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Starting from the weights of an earlier model.

    Attributes:
      model: the base model: null, none (training from scratch); `last_blessed`, the model now served
        (training from scratch if none is served, or if it has another architecture); or the folder of a Model
        artifact, `runs/<name>/Trainer/model/<id>`. If the vocabulary changed, each token keeps its row of the
        embeddings. A newer served model alone does not make the Trainer run again.
      from_scratch_every: with `last_blessed`, one in this many trainings starts from scratch; 0: only the
        first one.
      steps: number of updates of a training that starts from the last blessed model, in place of
        `trainer.steps`. The warm-up is shortened in proportion, and the schedule ends with these updates.
        null: `trainer.steps`.
      learning_rate: the highest learning rate of a training that starts from the last blessed model. null: a
        quarter of `optimizer.learning_rate`, because the full rate undoes much of the earlier training.
    """

    model: LocalPath | None = None
    from_scratch_every: NonNegative = 0
    steps: Positive | None = None
    learning_rate: PositiveFloat | None = None

    def __post_init__(self) -> None:
        if self.model == LAST_BLESSED:
            return
        if (
            self.model is not None
            and "/" not in self.model
            and (hint := did_you_mean(self.model, [LAST_BLESSED]))
        ):
            raise ValueError(
                f"model must be {LAST_BLESSED}, or the folder of a model (./NAME in the current folder);"
                f" received {self.model!r}{hint}"
            )
        for name in ("from_scratch_every", "steps", "learning_rate"):
            if getattr(self, name):
                raise ValueError(f"{name} needs model: {LAST_BLESSED}. Received model: {self.model}")


class EmbeddingParameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pretrained vectors of words, with which rows of the embeddings start.

    Attributes:
      source: a file in the text form of word2vec, GloVe or fastText (`.vec`), which may be compressed, with
        vectors of `model.embedding_units` numbers. The tokens that are words of the file start from its
        vectors. Empty: none.
      target: such a file for the target. If both sides share one embedding, it goes before that of the
        source.
      freeze: whether these rows stay as they are. Else the training changes them as it does others.
    """

    source: LocalPath = ""
    target: LocalPath = ""
    freeze: bool = False

    def __post_init__(self) -> None:
        if self.freeze and not (self.source or self.target):
            raise ValueError("freeze needs source or target: the file whose rows stay as they are")


class DistributeParameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Training by several processes, hosts or devices, each on its rows of every batch.

    The update is that of the whole batch, up to rounding: `batch_tokens` is divided among all of them.

    Attributes:
      workers: number of processes that train together, each on a host or a GPU of its own: `bitext run` is
        the chief, and `bitext train-worker` starts each of the others. The environment variable TF_CONFIG
        of each names all of them. 1: `bitext run` trains alone.
      devices: number of devices of this machine that train together in one process: its GPUs, or TensorFlow's
        logical CPU devices without a GPU. More than one needs `workers` 1.
      wait_seconds: how long the chief waits for the other workers before it ends with exit code 6.
    """

    workers: Positive = 1
    devices: Positive = 1
    wait_seconds: Positive = 600

    def __post_init__(self) -> None:
        if self.workers > 1 and self.devices > 1:
            raise ValueError(
                "devices must be 1 if there are several workers: start one worker for each device. "
                f"Received: workers {self.workers}, devices {self.devices}"
            )
