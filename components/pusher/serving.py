"""The serving folder: which versions it has, and how one is added, complete or not at all."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from bitext.components.artifacts import ServedVersion, Withdrawal
from bitext.components.shared import errors
from bitext.components.shared.faults import reporting_faults
from bitext.components.shared.files import fsync, open_locked

STAGING_PREFIX = ".staging-"


def versions(destination: Path) -> list[int]:
    """Returns the integer versions in a serving folder."""
    return [int(p.name) for p in destination.iterdir() if p.name.isdecimal()]


def withdrawn(destination: Path) -> dict[str, Withdrawal]:
    """Returns the models that may not be pushed again, by digest, from the newest version with metadata."""
    for version in sorted(versions(destination), reverse=True):
        if (metadata := ServedVersion(destination / str(version)).metadata()) is not None:
            return metadata.withdrawn
    return {}


def clear(destination: Path) -> None:
    """Removes the staging folders that a crash left beside the versions."""
    for leftover in destination.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(leftover)


def publish(model: Path, destination: Path, version: int, metadata_files: Mapping[Path, bytes]) -> None:
    """Copies a SavedModel and the files that describe it beside the versions, then makes it one by a rename.

    A server that watches the folder sees the whole version or none. The next push clears what a crash leaves.
    Everything is on the disk before the rename is.

    Args:
      model: the SavedModel.
      destination: the serving folder.
      version: the number of the new version.
      metadata_files: content by path below the version's folder.
    """
    with _staging(destination, version) as folder:
        # Not shutil.copytree: its error has no errno, by which a full disk is recognized.
        for path in sorted(model.rglob("*")):
            target = folder / path.relative_to(model)
            if path.is_dir():
                target.mkdir()
            else:
                shutil.copyfile(path, target)
        for name, content in metadata_files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        for path in [*folder.rglob("*"), folder]:
            fsync(path)
        folder.rename(destination / str(version))
    fsync(destination)


def update_metadata(destination: Path, version: int, metadata_files: Mapping[Path, bytes]) -> None:
    """Replaces the files that describe a version, each by one rename. The model itself is not touched."""
    with _staging(destination, version) as folder:
        for name, content in metadata_files.items():
            (folder / name.name).write_bytes(content)
            fsync(folder / name.name)
            (folder / name.name).rename(destination / str(version) / name)
    fsync((destination / str(version) / ServedVersion.METADATA).parent)


@contextlib.contextmanager
def _staging(destination: Path, version: int) -> Iterator[Path]:
    """Context manager: a folder beside the versions, removed at the end; after a crash, by the next push."""
    folder = destination / f"{STAGING_PREFIX}{version}"
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def sole_writer(destination: Path) -> Iterator[None]:
    """Context manager: locks the serving folder against other pushes and rollbacks; creates and waits."""
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
      errors.EnvironmentFault: it cannot be written.
    """
    remedy = "free space or make the folder writable, then run again: finished nodes are kept"
    with reporting_faults(destination, remedy):
        try:
            yield
        except (FileExistsError, NotADirectoryError) as error:
            raise errors.ConfigError(
                f"the serving folder {destination} is not a folder: {error.strerror}",
                "name another with `serving`",
            ) from error
