"""Compares the copy of a SavedModel with the model that was validated."""

from __future__ import annotations

from pathlib import Path

from bitext.components.artifacts import model_digest
from bitext.components.shared.errors import DataError


def check(copy: Path, model: Path, version: int, digest: str) -> None:
    """Checks a copy before it becomes a version.

    Args:
      copy: the folder of the copy; metadata files in it do not count.
      model: the SavedModel that was copied.
      version: the number of the version.
      digest: the digest of the model that was validated (`model_digest`).

    Raises:
      DataError: the copy is another model: the files were damaged, or changed while they were copied.
    """
    if model_digest(copy) != digest:
        raise DataError(
            f"the copy of {model} for version {version} is not the model that was validated",
            "run again; if it fails again, check the disk, and the model with `bitext verify CONFIG`",
        )
