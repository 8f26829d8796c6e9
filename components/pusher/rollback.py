"""Rollback: serves an earlier version again and withdraws the newest version permanently."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from pathlib import Path

import msgspec

from bitext.components.artifacts import RolledBack, ServedVersion, VersionMetadata, Withdrawal
from bitext.components.pusher import card
from bitext.components.pusher.card_markdown import card_files
from bitext.components.pusher.serving import (
    check_pipeline,
    clear,
    newest_version,
    publish,
    reporting_serving_faults,
    sole_writer,
    versions,
    withdrawn,
)
from bitext.components.shared import errors


def rollback(destination: Path, reason: str, pipeline: str) -> RolledBack:
    """Publishes a copy of an earlier version as the next version, and withdraws the newest model.

    The earlier version is the newest one with another model that is not withdrawn. It is copied to a higher
    number, because a server serves the highest version; no version is deleted. A withdrawn model is neither
    rolled back to nor pushed again. The copy becomes a version by one rename, so a crash leaves the state
    before or after the rollback.

    Args:
      destination: the model's serving folder.
      reason: a person's reason.
      pipeline: the name of the pipeline.

    Raises:
      errors.ConfigError: there is no version to go back to, or another pipeline pushed the newest version.
      errors.DataError: there is no serving folder, or the earlier version's files are not those that were
        pushed.
      errors.EnvironmentFault: the serving folder cannot be written.
    """
    destination = destination.absolute()
    if not destination.is_dir():
        raise errors.DataError(
            f"there is no serving folder {destination}", "run the pipeline first: `bitext run CONFIG`"
        )
    with reporting_serving_faults(destination), sole_writer(destination):
        check_pipeline(
            destination, pipeline, "roll back with the configuration of the pipeline that pushed it"
        )
        clear(destination)
        newest = newest_version(destination)
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
        from_version = int(newest.path.name)
        withdrawals = {**withdrawals, newest_digest: Withdrawal(from_version, reason, time)}
        metadata = msgspec.structs.replace(
            metadata, withdrawn=withdrawals, rolled_back_to=earlier, pipeline=pipeline
        )
        version = from_version + 1
        model_card = card.card_of_copy(source, destination.name, version, metadata)
        metadata_files = {ServedVersion.METADATA: metadata.encode(), **card_files(model_card)}
        publish(source.path, destination, version, metadata_files)
    return RolledBack(
        model=destination.name,
        version=version,
        path=str(destination / str(version)),
        digest=metadata.digest,
        rolled_back_to=earlier,
        from_version=from_version,
        withdrawn=newest_digest,
        reason=reason,
        time=time,
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
