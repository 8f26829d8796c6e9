"""Model: a trained model, as SavedModel and as weights by name."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from bitext.components.artifacts.base import SAVED_MODEL_FILE, Artifact
from bitext.components.shared.files import write_json

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")
_ARCHIVE_DAMAGE = (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError, struct.error)
"""Further errors that zipfile and NumPy raise for a damaged archive."""


class Sample(msgspec.Struct, frozen=True):
    """A translation by the Trainer, made with the model in memory before it is exported.

    Attributes:
      source: the sentence.
      translation: its best translation by the model's default search.
      score: the translation's score.
    """

    source: str
    translation: str
    score: float


class Vocabulary(msgspec.Struct, frozen=True):
    """The tokens of each side, by id.

    Attributes:
      source: the tokens of the source side; a token's position is its id.
      target: the tokens of the target side; a token's position is its id.
    """

    source: list[str]
    target: list[str]


class Model(Artifact):
    """A trained model::

    Format-Serving/saved_model.pb ...   the SavedModel that Evaluator scores and Pusher pushes
    Format-Serving/assets.extra/tf_serving_warmup_requests
    checkpoint/weights.npz              the same weights by name, for warm starts and tests
    checkpoint/vocabulary.json          {"source": [...], "target": [...]}: tokens by id
    checkpoint/settings.json            the architecture, `ModelSettings`
    model.json                          the Trainer's parameters: architecture and training settings
    samples.json                        [{"source", "translation", "score"}, ...]: the Trainer's output
    """

    TYPE_NAME = "Model"
    FILES = (
        SAVED_MODEL_FILE,
        "Format-Serving",
        "tf_serving_warmup_requests",
        "weights.npz",
        "vocabulary.json",
        "settings.json",
        "model.json",
        "samples.json",
    )
    NODE = "Trainer"

    @property
    def serving(self) -> Path:
        """The SavedModel."""
        return self.path / "Format-Serving"

    @property
    def has_saved_model(self) -> bool:
        """Whether the artifact has a SavedModel."""
        return is_saved_model(self.serving)

    @property
    def weights_file(self) -> Path:
        """The file of the weights by name."""
        return self.path / "checkpoint" / "weights.npz"

    @property
    def vocabulary_file(self) -> Path:
        """The file of the tokens by id."""
        return self.path / "checkpoint" / "vocabulary.json"

    @property
    def architecture_file(self) -> Path:
        """The file of the architecture."""
        return self.path / "checkpoint" / "settings.json"

    def architecture(self, kind: type[T]) -> T:
        """Reads the architecture.

        Args:
          kind: the type of the settings, `ModelSettings` or `dict[str, Any]`.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json(self.architecture_file, kind)

    def vocabulary(self) -> Vocabulary:
        """Reads the tokens by id.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json(self.vocabulary_file, Vocabulary)

    def weights(self) -> dict[str, np.ndarray]:
        """Reads the weights by name.

        Raises:
          DataError: the file is missing or damaged.
        """
        import numpy as np

        with (
            self.reporting_damage(self.weights_file, *_ARCHIVE_DAMAGE),
            self.weights_file.open("rb") as content,
            np.load(content) as file,
        ):
            return {name: file[name] for name in file.files}

    def write_checkpoint(
        self, architecture: msgspec.Struct, vocabulary: Vocabulary, weights: Mapping[str, np.ndarray]
    ) -> None:
        """Writes the `checkpoint` folder."""
        import numpy as np

        self.weights_file.parent.mkdir()
        np.savez(self.weights_file, **weights)
        write_json(self.vocabulary_file, vocabulary)
        write_json(self.architecture_file, architecture)

    def trainer_parameters(self, kind: type[T]) -> T:
        """Reads the Trainer's parameters, or the subset that `kind` declares.

        Args:
          kind: a struct with the fields to read, or `dict[str, Any]`.

        Raises:
          DataError: the file is missing or damaged, or has no such field.
        """
        return self.read_json(self.path / "model.json", kind)

    def write_trainer_parameters(self, parameters: msgspec.Struct) -> None:
        """Writes the Trainer's parameters."""
        write_json(self.path / "model.json", parameters)

    @property
    def samples_file(self) -> Path:
        """The file of the Trainer's translations."""
        return self.path / "samples.json"

    def samples(self) -> list[Sample]:
        """Reads the Trainer's translations.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json(self.samples_file, list[Sample])

    def write_samples(self, samples: list[Sample]) -> None:
        """Writes the Trainer's translations."""
        write_json(self.samples_file, samples)


def is_saved_model(folder: Path) -> bool:
    """Whether a folder holds a SavedModel."""
    return (folder / SAVED_MODEL_FILE).is_file()


def warm_up_file(saved_model: Path) -> Path:
    """Returns the file from which TensorFlow Serving reads requests to run when it loads a SavedModel."""
    return saved_model / "assets.extra" / "tf_serving_warmup_requests"


def source_vocabulary_file(saved_model: Path) -> Path | None:
    """Returns the asset of a SavedModel with the source side's pieces; None: the model is not of bitext.

    Both sides may have one vocabulary.
    """
    for pattern in ("source.vocabulary*", "vocabulary*"):
        if found := sorted((saved_model / "assets").glob(pattern)):
            return found[0]
    return None
