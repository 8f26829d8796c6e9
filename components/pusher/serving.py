"""The serving folder: its versions, what is noted of each, and how one is added, all of it or nothing."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bitext.components.shared import errors
from bitext.components.shared.files import flush, hold

NOTE = Path("assets.extra/bitext.json")
"""What is known of a pushed version. TensorFlow Serving leaves `assets.extra/` to whoever made the model."""

STAGING_PREFIX = ".staging-"

_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


class Withdrawal(msgspec.Struct, frozen=True):
    """Why a rollback withdrew a model, which was `version` then, and when (ISO 8601, UTC)."""

    version: int
    reason: str
    time: str


class Note(msgspec.Struct, frozen=True):
    """The content of `NOTE`.

    Attributes:
      digest: of the model's files; not of what is said of it beside them.
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
        """As it is written."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"


def versions(destination: Path) -> list[int]:
    """The integer versions in a serving folder."""
    return [int(p.name) for p in destination.iterdir() if p.name.isdecimal()]


def read_note(version: Path) -> Note | None:
    """What was noted of a pushed version; None if nothing, or if there is no such model."""
    if not (version / "saved_model.pb").is_file():
        return None
    try:
        return msgspec.json.decode((version / NOTE).read_bytes(), type=Note)
    except (OSError, msgspec.MsgspecError):
        return None


def withdrawn(destination: Path) -> dict[str, Withdrawal]:
    """The models that may not be pushed again, as the newest version with a note has them."""
    notes = (read_note(destination / str(version)) for version in sorted(versions(destination))[::-1])
    return next((note.withdrawn for note in notes if note is not None), {})


def clear(destination: Path) -> None:
    """Removes what a crash left beside the versions."""
    for leftover in destination.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(leftover)


def publish(model: Path, destination: Path, version: int, said: Mapping[Path, bytes]) -> None:
    """Copies a SavedModel and what is said of it beside the versions, and makes it a version by one rename.

    A server that watches the folder sees the whole version or none. What a crash leaves is cleared by the
    next push. Everything is on the disk before the rename is.
    """
    with _staging(destination, version) as folder:
        # Not shutil.copytree: its error has lost the errno, by which a full disk is told from a defect.
        for path in sorted(model.rglob("*")):
            target = folder / path.relative_to(model)
            if path.is_dir():
                target.mkdir()
            else:
                shutil.copyfile(path, target)
        for name, content in said.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        for path in [*folder.rglob("*"), folder]:
            flush(path)
        folder.rename(destination / str(version))
    flush(destination)


def renew(destination: Path, version: int, said: Mapping[Path, bytes]) -> None:
    """Says anew what is said of a version, each file by one rename. The model itself is not touched."""
    with _staging(destination, version) as folder:
        for name, content in said.items():
            (folder / name.name).write_bytes(content)
            flush(folder / name.name)
            (folder / name.name).rename(destination / str(version) / name)
    flush((destination / str(version) / NOTE).parent)


@contextlib.contextmanager
def _staging(destination: Path, version: int) -> Iterator[Path]:
    """A folder beside the versions, gone in the end, unless a crash leaves it to the next push."""
    folder = destination / f"{STAGING_PREFIX}{version}"
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def sole_writer(destination: Path) -> Iterator[None]:
    """Holds the serving folder, made if need be, against other pushes and rollbacks; waits for theirs."""
    destination.mkdir(parents=True, exist_ok=True)
    descriptor = hold(destination, wait=math.inf)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def faults_named(destination: Path) -> Iterator[None]:
    """Says of an operating system error what it means for the serving folder."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise errors.ConfigError(
            f"the serving folder {destination} is not a folder: {error.strerror}",
            "name another with `serving`",
        ) from error
    except OSError as error:
        if error.errno not in _FAULTS:
            raise
        raise errors.EnvironmentFault(
            f"cannot write to the serving folder {destination}: {error.strerror}",
            "free space or make the folder writable, then try again: nothing is lost",
        ) from error
