"""The versions in a serving folder, and what their files say of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from bitext.components.artifacts import Model, ServedVersion, Withdrawal, is_saved_model
from bitext.components.shared.errors import DataError
from bitext.components.shared.numbered import folder_number
from bitext.components.translation.translator import find_saved_model


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of the model.

    Attributes:
      number: its number.
      path: the folder of its SavedModel.
      digest: the digest of the model that was pushed; None: bitext did not push it, or its metadata are
        damaged.
      bleu: BLEU on the test split; None: unknown.
      pipeline: the pipeline that pushed it; None: unknown.
      withdrawal: when and why a rollback withdrew its model; None: it did not.
      copy_of: the version that it is a copy of, if a rollback made it.
    """

    number: int
    path: Path
    digest: str | None = None
    bleu: float | None = None
    pipeline: str | None = None
    withdrawal: Withdrawal | None = None
    copy_of: int | None = None


class Catalog:
    """The versions of a model: of a serving folder, or a single one.

    Args:
      model: a SavedModel, a Model artifact, or a serving folder with numbered versions.

    Raises:
      DataError: there is no SavedModel.
    """

    def __init__(self, model: Path):
        saved_model = find_saved_model(model)
        absolute = Path(os.path.abspath(model))
        self.is_watched = saved_model not in (model, Model(model).serving)
        self.folder = absolute
        self._single = None if self.is_watched else saved_model
        number = None if self.is_watched else folder_number(absolute.name)
        self.name = absolute.name if number is None else absolute.parent.name
        self._number = 1 if number is None else number

    def versions(self) -> list[Version]:
        """Returns the versions, newest first. A folder without a SavedModel is none.

        Raises:
          OSError: the serving folder cannot be read.
        """
        if self._single is not None:
            return [_described(self._number, self._single, {})]
        found: dict[int, Path] = {}
        for entry in os.scandir(self.folder):
            number = folder_number(entry.name)
            if number is not None and is_saved_model(Path(entry.path)):
                found[number] = Path(entry.path)
        newest_first = sorted(found, reverse=True)
        withdrawn = _withdrawn([ServedVersion(found[number]) for number in newest_first])
        return [_described(number, found[number], withdrawn) for number in newest_first]


def check_labels(labels: Mapping[str, int], versions: Sequence[Version], folder: Path) -> None:
    """Raises DataError if a label names a version that is not in the serving folder."""
    numbers = [version.number for version in versions]
    for label, number in labels.items():
        if number not in numbers:
            raise DataError(
                f"--label {label}={number}: there is no version {number} in {folder}",
                f"name one of {', '.join(map(str, numbers))}",
            )


def servable(versions: list[Version]) -> list[Version]:
    """Returns the versions that no rollback withdrew. The first that can be loaded is served."""
    return [version for version in versions if version.withdrawal is None]


def rollback_candidate(versions: list[Version]) -> Version | None:
    """Returns the version that `bitext rollback` would serve again: the newest with another model."""
    if not versions:
        return None
    return next(
        (
            version
            for version in versions[1:]
            if version.digest not in (None, versions[0].digest) and version.withdrawal is None
        ),
        None,
    )


def fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Returns names, sizes and times of a folder's files: it changes while the folder is being copied."""
    files = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            status = os.stat(path)
            files.append((path, status.st_size, status.st_mtime_ns))
    return tuple(sorted(files))


def _withdrawn(newest_first: list[ServedVersion]) -> dict[str, Withdrawal]:
    """Returns the withdrawn models by digest, from the newest version that has readable metadata."""
    for version in newest_first:
        try:
            withdrawals = version.withdrawals()
        except DataError:  # the version is damaged, and is refused when it is loaded
            continue
        if withdrawals is not None:
            return withdrawals
    return {}


def _described(number: int, path: Path, withdrawn: dict[str, Withdrawal]) -> Version:
    metadata = ServedVersion(path).metadata()
    if metadata is None:
        return Version(number, path)
    return Version(
        number,
        path,
        metadata.digest,
        metadata.bleu,
        metadata.pipeline,
        withdrawn.get(metadata.digest),
        metadata.rolled_back_to,
    )
