"""A serving folder on a remote file system, which has no rename: `saved_model.pb` makes a version complete.

A version's other files are written first, and `saved_model.pb` last, so that no reader takes half of a
version for a model: TensorFlow does not load a folder without that file. TensorFlow Serving, which looks at
the names of folders, is told by `models.config`, written after it, which version to load.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from bitext.components.artifacts import ServedVersion, VersionMetadata, model_digest
from bitext.components.artifacts.base import SAVED_MODEL_FILE
from bitext.components.shared import storage
from bitext.components.shared.errors import DataError, LockedError
from bitext.components.shared.files import copy_tree
from bitext.components.shared.numbered import folder_number

CLAIMS = ".claims"
"""The folder of the files that say which push makes a version."""
MODELS_CONFIG = "models.config"
"""The configuration of TensorFlow Serving (`--model_config_file`) that names the newest version."""


def versions(destination: Path) -> list[int]:
    """Returns the complete versions in a remote serving folder."""
    files = storage.matching(str(destination / "*" / SAVED_MODEL_FILE))
    numbers = (folder_number(file.rsplit("/", 2)[1]) for file in files)
    return [number for number in numbers if number is not None]


def publish(
    model: Path, destination: Path, version: int, digest: str, metadata_files: Mapping[Path, bytes]
) -> None:
    """Copies a SavedModel and its metadata files to a new version. See `serving.publish`.

    If it is killed, the version is not complete, and the next push writes it again.

    Raises:
      DataError: the copy is another model: the files were damaged, or changed while they were copied.
      LockedError: another process writes this version.
    """
    with tempfile.TemporaryDirectory(prefix="bitext-") as temporary:
        copy = Path(temporary, str(version))
        if storage.is_remote(model):
            storage.download(model, copy)
        else:
            copy_tree(model, copy)
        if model_digest(copy) != digest:
            raise DataError(
                f"the copy of {model} for version {version} is not the model that was validated",
                "run again; if it fails again, check the disk, and the model with `bitext verify CONFIG`",
            )
        write_files(copy, metadata_files)
        _claim(destination, version, metadata_files)
        graph = copy / SAVED_MODEL_FILE
        content = graph.read_bytes()
        graph.unlink()
        storage.upload(copy, destination / str(version))
    (destination / str(version) / SAVED_MODEL_FILE).write_bytes(content)
    if model_digest(destination / str(version)) != digest:
        (destination / str(version) / SAVED_MODEL_FILE).unlink()
        raise DataError(
            f"{destination / str(version)} is not the model that was copied there",
            "run again; if it fails again, another program writes into the serving folder",
        )
    (destination / MODELS_CONFIG).write_text(_models_config(destination, version), encoding="utf-8")


def write_files(folder: Path, files: Mapping[Path, bytes]) -> None:
    """Writes files of a version.

    Args:
      folder: the folder of the version.
      files: content by path below the folder.
    """
    for name, content in files.items():
        file = folder / name.as_posix()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _claim(destination: Path, version: int, metadata_files: Mapping[Path, bytes]) -> None:
    """Makes this push the one that writes a version.

    The claim names the pipeline root, so the next run in this root continues a push that was killed.

    Raises:
      LockedError: another pipeline root writes this version.
    """
    metadata = VersionMetadata.decode(metadata_files[ServedVersion.METADATA])
    claim = destination / CLAIMS / str(version)
    root = f"{metadata.pipeline} {metadata.root_id}".encode()
    if storage.create(claim, root) or claim.read_bytes() == root:
        return
    raise LockedError(
        f"another pipeline root pushes version {version} into {destination}",
        f"run again when it is done; if its process was killed, remove {claim}",
    )


def _models_config(destination: Path, version: int) -> str:
    """The configuration of TensorFlow Serving that serves one version (`ModelServerConfig`, as text)."""
    return f"""model_config_list {{
  config {{
    name: "{destination.name}"
    base_path: "{destination}"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: {version} }} }}
  }}
}}
"""
