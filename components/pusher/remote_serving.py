"""A serving folder on a remote file system, which has no rename: `saved_model.pb` makes a version complete.

A version's other files are written first, and `saved_model.pb` last, so that no reader takes half of a
version for a model: TensorFlow does not load a folder without that file. TensorFlow Serving, which looks at
the names of folders, is told by `models.config`, written after it, which version to load.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bitext.components.artifacts import model_digest
from bitext.components.artifacts.base import SAVED_MODEL_FILE
from bitext.components.pusher import checked_copy
from bitext.components.shared import storage
from bitext.components.shared.errors import DataError
from bitext.components.shared.files import copy_tree
from bitext.components.shared.numbered import folder_number

CLAIMS = ".claims"
"""The folder of the files that reserve the number of a version for one push."""
MODELS_CONFIG = "models.config"
"""The configuration of TensorFlow Serving (`--model_config_file`) that names the newest version."""


def versions(destination: Path) -> list[int]:
    """Returns the complete versions in a remote serving folder."""
    files = storage.matching(str(destination / "*" / SAVED_MODEL_FILE))
    numbers = (folder_number(file.rsplit("/", 2)[1]) for file in files)
    return [number for number in numbers if number is not None]


def claim(destination: Path) -> int:
    """Returns the number of a new version, which no other push gets: not even one that was suspended."""
    while True:
        claims = [folder_number(file.name) or 0 for file in storage.files_below(destination / CLAIMS)]
        number = max([*claims, *versions(destination)], default=0) + 1
        if storage.create(destination / CLAIMS / str(number), b""):
            return number


def publish(
    model: Path,
    destination: Path,
    version: int,
    digest: str,
    metadata_files: Mapping[Path, bytes],
    check: Callable[[], None],
) -> None:
    """Copies a SavedModel and its metadata files to a new version. See `serving.publish`.

    If it is killed, the version is not complete, and the next push makes another one.

    Args:
      model: the SavedModel, local or remote.
      destination: the serving folder.
      version: what `claim` returned.
      digest: the digest of the model that was validated.
      metadata_files: content by path below the version's folder.
      check: raises LockedError if another process may push instead of this one.

    Raises:
      DataError: the copy is another model: the files were damaged, or changed while they were copied.
      LockedError: as of `check`.
    """
    folder = destination / str(version)
    with tempfile.TemporaryDirectory(prefix="bitext-") as temporary:
        copy = Path(temporary, str(version))
        if storage.is_remote(model):
            storage.download(model, copy)
        else:
            copy_tree(model, copy)
        checked_copy.check(copy, model, version, digest)
        write_files(copy, metadata_files)
        graph = copy / SAVED_MODEL_FILE
        content = graph.read_bytes()
        graph.unlink()
        storage.upload(copy, folder)
    check()
    storage.create(folder / SAVED_MODEL_FILE, content)
    if model_digest(folder) != digest:
        (folder / SAVED_MODEL_FILE).unlink()
        raise DataError(
            f"{folder} is not the model that was copied there",
            "run again; if it fails again, another program writes into the serving folder",
        )
    newest = max(versions(destination))
    (destination / MODELS_CONFIG).write_text(_models_config(destination, newest), encoding="utf-8")
    _clear(destination, version)


def _clear(destination: Path, version: int) -> None:
    """Removes what killed pushes have left of earlier versions, and their claims."""
    complete = {*versions(destination), version}
    for file in storage.files_below(destination):
        parts = file.relative_to(destination).parts
        number = folder_number(parts[1] if parts[0] == CLAIMS else parts[0])
        if number is not None and number < version and (parts[0] == CLAIMS or number not in complete):
            with contextlib.suppress(FileNotFoundError):  # another push removes it, too
                file.unlink()


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
