"""Rollback: an earlier version served again, and the newest withdrawn for good. Imports nothing heavy."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from pathlib import Path

import msgspec

from bitext.components.artifacts import model_digest
from bitext.components.pusher import card
from bitext.components.pusher.serving import (
    NOTE,
    Note,
    Withdrawal,
    clear,
    faults_named,
    publish,
    read_note,
    sole_writer,
    versions,
    withdrawn,
)
from bitext.components.shared import errors


class RolledBack(msgspec.Struct, frozen=True):
    """What a rollback did, for the record.

    Attributes:
      model: the serving folder's name.
      version, path, digest: of the new version, now the newest.
      rolled_back_to: the earlier version that it is a copy of.
      from_version, withdrawn: the version that was the newest, and the digest of its model.
      reason, time: why, and when (ISO 8601, UTC).
    """

    model: str
    version: int
    path: str
    digest: str
    rolled_back_to: int
    from_version: int
    withdrawn: str
    reason: str
    time: str


def rollback(destination: Path, reason: str) -> RolledBack:
    """Publishes the newest earlier model as the next version, and withdraws the one that was the newest.

    A server serves the highest version, so an earlier model comes back as a copy under a higher number, and
    nothing is deleted. A model once withdrawn is neither rolled back to nor pushed again. The copy becomes a
    version by one rename: a crash leaves the state before or the state after.

    Args:
      destination: the model's serving folder.
      reason: why, in a person's words.

    Raises:
      errors.ConfigError: there is nothing to go back to.
      errors.DataError: the earlier version's files are not those that were pushed.
      errors.EnvironmentFault: the serving folder cannot be written.
    """
    destination = destination.absolute()
    if not destination.is_dir():
        raise errors.ConfigError(
            f"there is no serving folder {destination}", "run the pipeline first: bitext run"
        )
    with faults_named(destination), sole_writer(destination):
        clear(destination)
        newest = max(versions(destination), default=0)
        noted, never = read_note(destination / str(newest)), withdrawn(destination)
        bad = noted.digest if noted else model_digest(destination / str(newest))
        target, note = _earlier(destination, newest, {bad, *never})
        place = destination / str(target)
        if model_digest(place) != note.digest:
            raise errors.DataError(
                f"{place}: its files are not those that were pushed",
                "restore the folder, or move it elsewhere to go back further",
            )
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        never = {**never, bad: Withdrawal(newest, reason, time)}
        note = msgspec.structs.replace(note, withdrawn=never, rolled_back_to=target)
        version = newest + 1
        made = card.again(place, destination.name, version, note)
        publish(place, destination, version, {NOTE: note.encode(), **card.files(made)})
    path = str(destination / str(version))
    return RolledBack(destination.name, version, path, note.digest, target, newest, bad, reason, time)


def _earlier(destination: Path, newest: int, never: Collection[str]) -> tuple[int, Note]:
    """The newest earlier version of a model that is not one of `never`, and what is noted of it."""
    found = sorted(versions(destination), reverse=True)
    for version in found[1:]:
        note = read_note(destination / str(version))
        if note is not None and note.digest not in never:
            return version, note
    why = (
        f"no other model was pushed before version {newest}, or all were withdrawn"
        if len(found) > 1
        else f"it has {'one version' if found else 'no version'}"
    )
    raise errors.ConfigError(
        f"{destination} has nothing to go back to: {why}", "push another model: bitext run"
    )
