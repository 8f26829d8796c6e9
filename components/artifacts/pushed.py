"""PushedModel: what the Pusher did; and ServedVersion: a version in the serving folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec

from bitext.components.artifacts.base import Artifact
from bitext.components.artifacts.model import is_saved_model
from bitext.components.shared.errors import DataError
from bitext.components.shared.files import encode_json, folder_digest, write_json


class Pushed(msgspec.Struct, frozen=True):
    """What the Pusher did.

    Attributes:
      pushed: whether the model is the newest version in the serving folder.
      reason: the reason, in words.
      model: the serving folder's name. This field and the following are null if `pushed` is false.
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
      version: the number of the new version.
      path: the folder of the new version.
      digest: the digest of the model's files in the new version.
      rolled_back_to: the earlier version that the new version is a copy of.
      from_version: the version that was the newest before.
      withdrawn: the digest of that version's model.
      reason: a person's reason.
      time: the time of the rollback (ISO 8601, UTC).
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
    """The result of a push or a rollback::

        pushed.json    {"pushed": bool, "reason", "model", "version": int, "path", "digest"}

    The model itself is in `<serving folder>/<version>/`: see `ServedVersion`.
    """

    TYPE_NAME = "PushedModel"
    PUSHED_PROPERTY: ClassVar[str] = "pushed"
    """The property in the metadata store: 1 if a version was pushed, else 0."""
    FILES = ("pushed.json",)
    NODE = "Pusher"

    def record(self) -> Pushed:
        """Reads the result.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json(self.path / "pushed.json", Pushed)

    def write(self, record: Pushed | RolledBack) -> None:
        """Writes the result."""
        write_json(self.path / "pushed.json", record)


class Withdrawal(msgspec.Struct, frozen=True):
    """The withdrawal of a model by a rollback.

    Attributes:
      version: the model's version in the serving folder.
      reason: a person's reason.
      time: the time of the rollback (ISO 8601, UTC).
    """

    version: int
    reason: str
    time: str


class VersionMetadata(msgspec.Struct, frozen=True):
    """The content of a version's `bitext.json`.

    Attributes:
      digest: the digest of the model's files, without those in `ServedVersion.FILES`.
      bleu: BLEU on the test split.
      bleu_signature: the signature of that BLEU, as sacreBLEU prints it.
      withdrawn: the models that may not be pushed again, by digest, in the order of their rollbacks. Each
        version repeats the entries of the version before it.
      rolled_back_to: the earlier version that this version is a copy of, if a rollback made it.
      pipeline: the name of the pipeline that pushed the version; null: bitext 0.2.0 or earlier pushed it.
      root_id: the id of the pipeline root that it was pushed from; null as above.
      place: host and path of that root, for messages; null as above.
      folder_inode: the inode of the serving folder, which tells the folder from a copy of it; null as above.
      checksum: only in the file: SHA-256 of the other fields; null as above.
    """

    digest: str
    bleu: float | None = None
    bleu_signature: str | None = None
    withdrawn: dict[str, Withdrawal] = {}
    rolled_back_to: int | None = None
    pipeline: str | None = None
    root_id: str | None = None
    place: str | None = None
    folder_inode: int | None = None
    checksum: str | None = None

    def encode(self) -> bytes:
        """Returns the content of the file, with its checksum."""
        return encode_json(msgspec.structs.replace(self, checksum=_checksum(msgspec.to_builtins(self))))

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Reads the content of the file.

        Raises:
          msgspec.DecodeError, ValueError: the content is not what `encode` returned.
        """
        metadata = msgspec.json.decode(content, type=cls)
        fields = msgspec.json.decode(content)
        # A file of bitext 0.2.0 has no checksum; but one without it has no unknown fields.
        if metadata.checksum is None and fields.keys() <= set(cls.__struct_fields__):
            return metadata
        if metadata.checksum != _checksum(fields):
            raise ValueError("its checksum is not that of its content")
        return msgspec.structs.replace(metadata, checksum=None)


def _checksum(fields: dict[str, Any]) -> str:
    """Returns the SHA-256 of all fields but `checksum`, whatever their order and the white space."""
    others = {name: value for name, value in fields.items() if name != "checksum"}
    return hashlib.sha256(msgspec.json.encode(others, order="deterministic")).hexdigest()


class _Withdrawals(msgspec.Struct, frozen=True):
    """The field of the model card that repeats the metadata.

    Attributes:
      withdrawn: see `VersionMetadata`.
    """

    withdrawn: dict[str, Withdrawal] = {}


class ServedVersion(Artifact):
    """A version in a serving folder: a copy of a model's `Format-Serving/`, and files that describe it::

        saved_model.pb ...
        assets.extra/bitext.json        digest of the model, BLEU, withdrawn models: the next push reads it
        assets.extra/model_card.json    the model card for programs (components/pusher/card.py)
        assets.extra/model_card.md      the model card for people

    A SavedModel may have files of its authors in `assets.extra/`. The serving folder is outside the pipeline
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
        """Whether the version has a SavedModel."""
        return is_saved_model(self.path)

    def metadata(self) -> VersionMetadata | None:
        """Reads the version's metadata; None if there is no SavedModel, or the file is missing or damaged."""
        if not self.has_saved_model:
            return None
        try:
            return self._read_metadata()
        except DataError:
            return None

    def _read_metadata(self) -> VersionMetadata:
        """Reads the version's metadata.

        Raises:
          DataError: the file is missing or damaged.
        """
        file = self.path / self.METADATA
        with self.reporting_damage(file, ValueError):
            return VersionMetadata.decode(file.read_bytes())

    def withdrawals(self) -> dict[str, Withdrawal] | None:
        """Reads the withdrawn models, from the model card if the metadata are damaged; None: it has neither.

        Raises:
          DataError: both files are damaged, or one is and the other is missing.
        """
        try:
            return self._read_metadata().withdrawn
        except DataError as error:
            problem = str(error)
        try:
            return self.read_json(self.path / self.CARD_JSON, _Withdrawals).withdrawn
        except DataError:
            if not any((self.path / name).exists() for name in (self.METADATA, self.CARD_JSON)):
                return None
            remedy = "restore the file from a copy, or move the version elsewhere"
            raise DataError(problem, remedy) from None

    def model_digest(self) -> str:
        """Returns the digest of the model's files, as `VersionMetadata.digest` has it."""
        return model_digest(self.path)


def model_digest(saved_model: Path) -> str:
    """Returns the digest of a SavedModel, `sha256:...`, without the files that describe a pushed version."""
    card_files = (ServedVersion.METADATA, ServedVersion.CARD_JSON, ServedVersion.CARD_MARKDOWN)
    return f"sha256:{folder_digest(saved_model, exclude=card_files)}"
