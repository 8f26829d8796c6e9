"""PushedModel: what was pushed; and a version in the serving folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bitext.components.artifacts.base import Artifact
from bitext.components.artifacts.model import is_saved_model
from bitext.components.shared.errors import DataError
from bitext.components.shared.files import encode_json, folder_digest, write_json


class Pushed(msgspec.Struct, frozen=True):
    """What the Pusher did.

    Attributes:
      pushed: whether the model is the newest version in the serving folder.
      reason: why, in words.
      model: the serving folder's name. This and the following are null without a push.
      version: the version's number.
      path: the version's folder.
      digest: the digest of the model's files.
    """

    pushed: bool
    reason: str
    model: str | None = None
    version: int | None = None
    path: str | None = None
    digest: str | None = None


class RolledBack(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollback did.

    Attributes:
      pushed: true, as in `Pushed`: there is a new version.
      model: the serving folder's name.
      version, path, digest: of the new version, now the newest.
      rolled_back_to: the earlier version that it is a copy of.
      from_version, withdrawn: the version that was the newest, and the digest of its model.
      reason, time: why, and when (ISO 8601, UTC).
    """

    pushed: bool = True
    model: str
    version: int
    path: str
    digest: str
    rolled_back_to: int
    from_version: int
    withdrawn: str
    reason: str
    time: str


class PushedModel(Artifact):
    """What was pushed, where::

        pushed.json    {"pushed": bool, "model", "version": int, "path", "digest", "reason"}

    The model itself lies at `<serving folder>/<version>/`: see `ServedVersion`.
    """

    TYPE_NAME = "PushedModel"
    FILES = ("pushed.json",)
    NODE = "Pusher"

    def record(self) -> Pushed:
        """Reads what was pushed.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json(self.path / "pushed.json", Pushed)

    def write(self, record: Pushed | RolledBack) -> None:
        """Writes what was pushed."""
        write_json(self.path / "pushed.json", record)


class Withdrawal(msgspec.Struct, frozen=True):
    """Why a rollback withdrew a model, which was `version` then, and when (ISO 8601, UTC)."""

    version: int
    reason: str
    time: str


class VersionMetadata(msgspec.Struct, frozen=True):
    """What is recorded of a pushed version.

    Attributes:
      digest: of the model's files, those in `ServedVersion.FILES` left out.
      bleu, bleu_signature: on the test split.
      withdrawn: the models that may not be pushed again, by digest, in the order of their rollbacks. Every
        version has those of the one before it.
      rolled_back_to: the earlier version that a rollback made this one a copy of.
    """

    digest: str
    bleu: float | None = None
    bleu_signature: str | None = None
    withdrawn: dict[str, Withdrawal] = {}
    rolled_back_to: int | None = None

    def encode(self) -> bytes:
        """Returns the content of the file."""
        return encode_json(self)


class ServedVersion(Artifact):
    """A version in a serving folder: a copy of a model's `Format-Serving/`, and files that describe it::

        saved_model.pb ...
        assets.extra/bitext.json        digest of the model, BLEU, withdrawn models: the next push reads it
        assets.extra/model_card.json    what is known of the model (components/pusher/card.py)
        assets.extra/model_card.md      its main points, to be read

    TensorFlow Serving leaves `assets.extra/` to whoever made the model. This folder is outside the pipeline
    root, so the metadata store has no artifact of this kind.
    """

    TYPE_NAME = "ServedVersion"
    FILES = ("bitext.json", "model_card.json", "model_card.md")
    NODE = "Pusher"
    METADATA = Path("assets.extra/bitext.json")
    CARD_JSON = Path("assets.extra/model_card.json")
    CARD_MARKDOWN = Path("assets.extra/model_card.md")

    @property
    def has_saved_model(self) -> bool:
        """Whether the SavedModel is there."""
        return is_saved_model(self.path)

    def metadata(self) -> VersionMetadata | None:
        """Reads the version's metadata; None if there is no SavedModel, or the file is missing or damaged."""
        if not self.has_saved_model:
            return None
        try:
            return self.read_json(self.path / self.METADATA, VersionMetadata)
        except DataError:
            return None

    def model_digest(self) -> str:
        """Returns the digest of the model's files, as `VersionMetadata.digest` has it."""
        return model_digest(self.path)


def model_digest(saved_model: Path) -> str:
    """Returns the digest of a SavedModel, `sha256:...`, without the files that describe a pushed version."""
    described = (ServedVersion.METADATA, ServedVersion.CARD_JSON, ServedVersion.CARD_MARKDOWN)
    return f"sha256:{folder_digest(saved_model, exclude=described)}"
