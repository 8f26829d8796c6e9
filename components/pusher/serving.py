"""The serving folder: lists its versions, and adds a version completely or not at all.

A remote file system has no rename (see `remote_serving`).
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bitext.components.artifacts import ServedVersion, Withdrawal
from bitext.components.pusher import checked_copy, remote_serving
from bitext.components.shared import errors, storage
from bitext.components.shared.faults import reporting_faults
from bitext.components.shared.files import copy_tree, fsync, fsync_tree, open_locked
from bitext.components.shared.numbered import HIGHEST, folder_number, number_for_a_server

STAGING_PREFIX = ".staging-"
TAKE_OVER_REMEDY = (
    "name another folder with `serving`; or, to serve this pipeline's models there from now on, run once with"
    " `--set pusher.take_over=true`"
)


def versions(destination: Path) -> list[int]:
    """Returns the versions in a serving folder; see `folder_number`.

    Of a remote folder, these are the versions whose SavedModel is complete.
    """
    if storage.is_remote(destination):
        return remote_serving.versions(destination)
    numbers = (folder_number(path.name) for path in destination.iterdir())
    return [number for number in numbers if number is not None]


def next_version(destination: Path, newest: int) -> int:
    """Returns the number of the next version. In a remote folder, no other push gets it.

    Raises:
      errors.ConfigError: the newest version has the highest number that there is, or a server would not take
        a version's number from its name.
    """
    _check_names(destination)
    if storage.is_remote(destination):
        return remote_serving.claim(destination)
    if newest == HIGHEST:
        raise errors.ConfigError(
            f"{destination / str(newest)} has the highest number that TensorFlow Serving reads: there is no"
            " next version",
            "move that folder elsewhere, or name another folder with `serving`",
        )
    return newest + 1


def withdrawn(destination: Path) -> dict[str, Withdrawal]:
    """Returns the withdrawn models by digest, from the newest version that bitext pushed.

    Raises:
      errors.DataError: its files are damaged, so that a withdrawn model could be served again.
    """
    for version in sorted(versions(destination) if destination.is_dir() else (), reverse=True):
        if (withdrawals := ServedVersion(destination / str(version)).withdrawals()) is not None:
            return withdrawals
    return {}


def check_owner(destination: Path, pipeline: str, remedy: str) -> None:
    """Checks that this pipeline pushed the newest version in a serving folder.

    A version of bitext 0.2.0 or earlier does not name its pipeline, and is accepted.

    Args:
      destination: the serving folder; it may be missing.
      pipeline: the name of this pipeline.
      remedy: what to do if the folder belongs to another pipeline or program.

    Raises:
      errors.ConfigError: another pipeline pushed the newest version, or it was not pushed by bitext.
    """
    check_pipeline(destination, pipeline, remedy)
    newest = newest_version(destination)
    card = newest.path / ServedVersion.CARD_JSON
    if newest.has_saved_model and not (newest.path / ServedVersion.METADATA).exists() and not card.exists():
        raise errors.ConfigError(f"{_newest_model(newest)} was not pushed by bitext", remedy)


def check_pipeline(destination: Path, pipeline: str, remedy: str) -> None:
    """Checks that no other pipeline pushed the newest version in a serving folder; see `check_owner`.

    Raises:
      errors.ConfigError: another pipeline pushed it, or a server would not take its number from its name.
    """
    _check_names(destination)
    newest = newest_version(destination)
    metadata = newest.metadata()
    if metadata is not None and metadata.pipeline not in (None, pipeline):
        raise errors.ConfigError(
            f"{_newest_model(newest)} was pushed by the pipeline {metadata.pipeline!r}; this pipeline is"
            f" {pipeline!r}",
            remedy,
        )


def _check_names(destination: Path) -> None:
    """Checks that TensorFlow Serving finds the versions in a serving folder that this program finds.

    Raises:
      errors.ConfigError: it serves a folder, such as `007`, that is not named as a version is.
    """
    names = sorted(path.name for path in destination.iterdir()) if destination.is_dir() else []
    for name in names:
        version = number_for_a_server(name)
        if version is not None and folder_number(name) is None:
            raise errors.ConfigError(
                f"the serving folder {destination} holds {name!r}, which TensorFlow Serving reads as version"
                f" {version}",
                f"rename it to {version} if that is free, or move it elsewhere",
            )


def newest_version(destination: Path) -> ServedVersion:
    """Returns the version with the highest number; a version 0, which does not exist, if there is none."""
    numbers = versions(destination) if destination.is_dir() else []
    return ServedVersion(destination / str(max(numbers, default=0)))


def problem_of(version: ServedVersion) -> str:
    """Returns what is wrong with a version's files, beginning with a verb; empty if nothing is.

    Only the SavedModel of a version that bitext did not push is looked at.
    """
    metadata = version.metadata()
    if metadata is not None:
        intact = version.model_digest() == metadata.digest
        return "" if intact else "is damaged: its files are not those that were pushed"
    if not version.has_saved_model:
        return "is damaged: it has no SavedModel"
    was_pushed = any((version.path / name).exists() for name in (version.METADATA, version.CARD_JSON))
    return f"is damaged: {version.METADATA} cannot be read" if was_pushed else ""


def _newest_model(newest: ServedVersion) -> str:
    return f"the newest model in the serving folder {newest.path.parent}, version {newest.path.name},"


def clear(destination: Path) -> None:
    """Removes staging folders that a crashed push left in the serving folder."""
    if storage.is_remote(destination):
        return
    for staging_folder in destination.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(staging_folder)


def folder_inode(destination: Path) -> int | None:
    """Returns what tells a serving folder from a copy of it; None: it is remote, and its address tells it."""
    return None if storage.is_remote(destination) else destination.stat().st_ino


def publish(
    model: Path,
    destination: Path,
    version: int,
    digest: str,
    metadata_files: Mapping[Path, bytes],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Copies a SavedModel and its metadata files to a staging folder, and renames that to the new version.

    A server that watches the serving folder sees the complete version or none. All files are synced to disk
    before the rename. A staging folder that a crash leaves is removed by the next push.

    Args:
      model: the SavedModel.
      destination: the serving folder.
      version: the number of the new version.
      digest: the digest of the model that was validated (`model_digest`). The copy is compared with it.
      metadata_files: content by path below the version's folder.
      check: raises LockedError if another process may push into a remote folder instead of this one.

    Raises:
      errors.DataError: the copy is another model: the files were damaged, or changed while they were copied.
    """
    if storage.is_remote(destination):
        remote_serving.publish(model, destination, version, digest, metadata_files, check)
        return
    with _staging(destination, version) as folder:
        copy_tree(model, folder)
        for name, content in metadata_files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        fsync_tree(folder)
        checked_copy.check(folder, model, version, digest)
        folder.rename(destination / str(version))
    fsync(destination)


def update_metadata(destination: Path, version: int, metadata_files: Mapping[Path, bytes]) -> None:
    """Replaces the metadata files of a version, each by one rename. The model's files are not changed."""
    if storage.is_remote(destination):
        remote_serving.write_files(destination / str(version), metadata_files)
        return
    with _staging(destination, version) as folder:
        for name, content in metadata_files.items():
            (folder / name.name).write_bytes(content)
            fsync(folder / name.name)
            (folder / name.name).rename(destination / str(version) / name)
    fsync((destination / str(version) / ServedVersion.METADATA).parent)


@contextlib.contextmanager
def _staging(destination: Path, version: int) -> Iterator[Path]:
    """Context manager: yields a staging folder in the serving folder, and removes it at the end."""
    folder = destination / f"{STAGING_PREFIX}{version}"
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def sole_writer(destination: Path) -> Iterator[None]:
    """Context manager: locks the serving folder against other pushes and rollbacks, and waits for them.

    The folder is created if it is missing. A remote folder is not locked: each version is claimed instead.
    """
    if storage.is_remote(destination):
        yield
        return
    destination.mkdir(parents=True, exist_ok=True)
    descriptor = open_locked(destination, wait=math.inf)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def reporting_serving_faults(destination: Path) -> Iterator[None]:
    """Context manager: re-raises operating system errors as errors about the serving folder.

    Raises:
      errors.ConfigError: the serving folder is not a folder.
      errors.EnvironmentFault: the serving folder cannot be written.
    """
    remedy = "free space or make the folder writable, then run again: finished nodes are kept"
    with reporting_faults(destination, remedy):
        try:
            with storage.reporting_faults(str(destination)):
                yield
        except (FileExistsError, NotADirectoryError) as error:
            raise errors.ConfigError(
                f"the serving folder {destination} is not a folder: {error.strerror}",
                "name another with `serving`",
            ) from error
