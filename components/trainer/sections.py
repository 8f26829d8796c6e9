"""Sections of the Trainer's parameters: pretrained vectors, and training by several processes."""

from __future__ import annotations

from bitext.components import component
from bitext.components.seq2seq import Positive
from bitext.components.shared.path_types import LocalPath


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
