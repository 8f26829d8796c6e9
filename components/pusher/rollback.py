"""Rollback: serves an earlier version again and withdraws the newest version permanently."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from bitext.components.artifacts import RolledBack, ServedVersion, VersionMetadata, Withdrawal
from bitext.components.pusher import card
from bitext.components.pusher.card_markdown import card_files
from bitext.components.pusher.serving import (
    check_pipeline,
    clear,
    folder_inode,
    newest_version,
    next_version,
    publish,
    reporting_serving_faults,
    sole_writer,
    versions,
    withdrawn,
)
from bitext.components.shared import errors


def rollback(
    destination: Path,
    reason: str,
    pipeline: str,
    from_version: int | None = None,
    announce: Callable[[RolledBack], None] = lambda _: None,
    root_id: str | None = None,
    place: str | None = None,
    check: Callable[[], None] = lambda: None,
) -> RolledBack:
    """Publishes a copy of an earlier version as the next version, and withdraws the newest model.

    The earlier version is the newest one with another model that is not withdrawn. It is copied to a higher
    number, because a server serves the highest version; no version is deleted. A withdrawn model is neither
    rolled back to nor pushed again. The copy becomes a version by one rename, so a crash leaves the state
    before or after the rollback.

    A repeated call changes nothing: if the newest version is already the copy that a rollback with the same
    reason, or from `from_version`, made, the result describes it. A damaged copy is copied again.

    Args:
      destination: the model's serving folder.
      reason: a person's reason.
      pipeline: the name of the pipeline.
      from_version: the version to withdraw, which must be the newest. None: the newest, if it is no rollback.
      announce: is called with the record of the rollback before anything is changed.
      root_id, place: see `VersionMetadata`.
      check: see `serving.publish`.

    Raises:
      errors.ConfigError: there is no version to go back to, another pipeline pushed the newest version, or
        the newest version is not the one to withdraw.
      errors.DataError: there is no serving folder, or the earlier version's files are not those that were
        pushed.
      errors.EnvironmentFault: the serving folder cannot be written.
    """
    destination = destination.absolute()
    _check_exists(destination)
    with reporting_serving_faults(destination), sole_writer(destination):
        check_pipeline(destination, pipeline, "roll back with the configuration of that pipeline")
        clear(destination)
        newest = newest_version(destination)
        done = rollback_of(newest)
        if done is not None and _repeats(done, reason, from_version):
            if newest.model_digest() == done.digest:
                return done
            source, metadata = _copy_again(destination, newest, done)
        else:
            _check_from_version(newest, done, from_version)
            source, metadata = _copy_of_earlier(destination, newest, reason)
        metadata = msgspec.structs.replace(metadata, pipeline=pipeline, root_id=root_id, place=place)
        version = next_version(destination, int(newest.path.name))
        record = _record(destination / str(version), metadata)
        announce(record)
        model_card = card.card_of_copy(source, destination.name, version, metadata)
        metadata_files = {ServedVersion.METADATA: metadata.encode(), **card_files(model_card)}
        publish(source.path, destination, version, metadata.digest, metadata_files, check)
    return record


def _check_exists(destination: Path) -> None:
    if not destination.is_dir():
        raise errors.DataError(
            f"there is no serving folder {destination}", "run the pipeline first: `bitext run CONFIG`"
        )


def _copy_of_earlier(
    destination: Path, newest: ServedVersion, reason: str
) -> tuple[ServedVersion, VersionMetadata]:
    """Returns the version to serve again, and the metadata of its copy, which withdraw the newest version.

    Raises:
      errors.ConfigError: there is no version to go back to.
      errors.DataError: the earlier version's files are not those that were pushed.
    """
    newest_metadata, withdrawals = newest.metadata(), withdrawn(destination)
    newest_digest = newest_metadata.digest if newest_metadata else newest.model_digest()
    earlier, metadata = _earlier(destination, {newest_digest, *withdrawals})
    source = ServedVersion(destination / str(earlier))
    if source.model_digest() != metadata.digest:
        raise errors.DataError(
            f"{source.path}: its files are not those that were pushed",
            "restore the folder, or move it elsewhere to go back further",
        )
    time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    withdrawals = {digest: entry for digest, entry in withdrawals.items() if digest != newest_digest}
    withdrawals[newest_digest] = Withdrawal(int(newest.path.name), reason, time)
    return source, msgspec.structs.replace(
        metadata,
        withdrawn=withdrawals,
        rolled_back_to=earlier,
        folder_inode=folder_inode(destination),
    )


def _copy_again(
    destination: Path, damaged: ServedVersion, done: RolledBack
) -> tuple[ServedVersion, VersionMetadata]:
    """Returns the version that a rollback served again, and the metadata of the damaged copy of it.

    Raises:
      errors.DataError: that version is damaged too.
    """
    source, metadata = ServedVersion(destination / str(done.rolled_back_to)), damaged.metadata()
    if metadata is None or source.model_digest() != done.digest:
        raise errors.DataError(
            f"{damaged.path} and {source.path}: their files are not those that were pushed",
            f"restore one of the folders; or go back further with --from-version {damaged.path.name}",
        )
    return source, metadata


def rollback_of(version: ServedVersion) -> RolledBack | None:
    """Returns the rollback that made a version; None if the version was pushed, or is damaged."""
    metadata = version.metadata()
    if metadata is None or metadata.rolled_back_to is None or not metadata.withdrawn:
        return None
    return _record(version.path, metadata)


def _record(path: Path, metadata: VersionMetadata) -> RolledBack:
    """Returns the record of the rollback that made the version in this folder, from its metadata."""
    digest, withdrawal = list(metadata.withdrawn.items())[-1]
    return RolledBack(
        model=path.parent.name,
        version=int(path.name),
        path=str(path),
        digest=metadata.digest,
        rolled_back_to=metadata.rolled_back_to or 0,
        from_version=withdrawal.version,
        withdrawn=digest,
        reason=withdrawal.reason,
        time=withdrawal.time,
    )


def _repeats(done: RolledBack, reason: str, from_version: int | None) -> bool:
    """Whether a call with these arguments repeats the rollback that is done."""
    return done.reason == reason if from_version is None else done.from_version == from_version


def _check_from_version(newest: ServedVersion, done: RolledBack | None, from_version: int | None) -> None:
    """Checks that the newest version is the one to withdraw.

    Args:
      newest: the newest version.
      done: the rollback that made it, if one did.
      from_version: see `rollback`.

    Raises:
      errors.ConfigError: it is another version, or a rollback made it and `from_version` does not name it.
    """
    number = int(newest.path.name)
    if from_version is None and done is not None:
        raise errors.ConfigError(
            f"version {number} in {newest.path.parent} is already a rollback from version {done.from_version}"
            f" to version {done.rolled_back_to} ({done.reason})",
            f"to withdraw this model too and go back further, add --from-version {number}",
        )
    if from_version not in (None, number):
        raise errors.ConfigError(
            f"the newest version in {newest.path.parent} is {number or 'missing'}, not {from_version}",
            "`bitext status CONFIG` shows the newest version",
        )


def _earlier(destination: Path, excluded: Collection[str]) -> tuple[int, VersionMetadata]:
    """Returns the newest earlier version whose model is not excluded, and its metadata.

    Args:
      destination: the serving folder.
      excluded: digests of models.

    Raises:
      errors.ConfigError: there is no such version.
      errors.DataError: there is none, and an earlier version is damaged.
    """
    newest_first = sorted(versions(destination), reverse=True)
    damaged = []
    for version in newest_first[1:]:
        served = ServedVersion(destination / str(version))
        metadata = served.metadata()
        if metadata is None:
            damaged.append(served.path)
        elif metadata.digest not in excluded:
            return version, metadata
    if damaged:
        raise errors.DataError(
            f"{destination} has nothing to go back to: {damaged[0]} has no SavedModel, or no readable"
            f" {ServedVersion.METADATA}",
            "restore the folder from a copy, or push another model: `bitext run CONFIG`",
        )
    problem = (
        f"no other model was pushed before version {newest_first[0]}, or all were withdrawn"
        if len(newest_first) > 1
        else f"it has {'one version' if newest_first else 'no version'}"
    )
    raise errors.ConfigError(
        f"{destination} has nothing to go back to: {problem}", "push another model: `bitext run CONFIG`"
    )
