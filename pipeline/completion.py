"""Records rollbacks, also those whose process was killed between the new version and its record."""

from __future__ import annotations

import time

import msgspec

from bitext.components.artifacts import PushedModel, RolledBack
from bitext.components.pusher.rollback import rollback_of
from bitext.components.pusher.serving import newest_version
from bitext.components.shared import storage
from bitext.components.shared.errors import EnvironmentFault, LockedError
from bitext.components.shared.files import fsync_tree
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.layout import Layout
from bitext.pipeline.lock import in_use
from bitext.pipeline.records import (
    ROLLBACK,
    Execution,
    History,
    Run,
    State,
    StoredArtifact,
    pushed_artifact,
)
from bitext.pipeline.sources import pushed_with
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists
from bitext.pipeline.terminal import log


def complete_record(config: PipelineConfig, layout: Layout, store: Store) -> None:
    """Records the rollback that made the newest served version, if its process ended before it did.

    The root must be locked.
    """
    done = _newest_rollback(config)
    run = _interrupted_run(layout, store, done) if done is not None else None
    if done is None or run is None:
        return
    recorded = recorded_by(store.executions(), done)
    if recorded not in (None, run.run_id):  # this run announced the version, failed, and another one made it
        return
    if recorded is None:
        record_rollback(layout, store, run, done)
    run.state, run.error, run.finished = State.COMPLETE, "", run.finished or run.started
    store.put_run(run)
    log.info("recorded the rollback to version %s: its process had ended", done.rolled_back_to)


def complete_interrupted(config: PipelineConfig) -> None:
    """Completes the record of a rollback, as `complete_record`, for commands that only read.

    If the root is locked or cannot be written, it does nothing: a later command completes the record.
    """
    layout, done = Layout.of(config), _newest_rollback(config)
    if done is None or not layout.root.is_dir() or not store_exists(config.metadata, layout.root):
        return
    store = Store(config.metadata, layout.root, config.name)
    if _interrupted_run(layout, store, done) is None:
        return
    try:
        with in_use(layout):
            complete_record(config, layout, store)
    except (LockedError, EnvironmentFault) as fault:
        log.info("the record of the last rollback is not checked: %s", fault)


def _newest_rollback(config: PipelineConfig) -> RolledBack | None:
    """The rollback of this pipeline that made the newest served version; None: it was pushed."""
    newest = newest_version(storage.path(config.serving).absolute())
    metadata = newest.metadata()
    return rollback_of(newest) if metadata is not None and metadata.pipeline == config.name else None


def _interrupted_run(layout: Layout, store: Store, done: RolledBack) -> Run | None:
    """The run that made the version of a rollback and is not recorded as complete; None if it is."""
    root_id = layout.read_id()
    for run in store.runs():
        if (run.version, run.root_id) == (done.version, root_id) and run.state != State.COMPLETE:
            return run
    return None


def recorded_by(history: History, record: RolledBack) -> str | None:
    """The id of the run that is recorded to have made this version in a rollback; None: there is none."""
    for execution in history:
        pushed = pushed_artifact(execution) if execution.state == State.COMPLETE else None
        if pushed is None or pushed.properties.get("version") != record.version:
            continue
        if pushed.properties.get("time") == record.time:
            return execution.run_id
    return None


def record_rollback(layout: Layout, store: Store, run: Run, record: RolledBack) -> None:
    """Records a rollback as a complete execution, with the model that is served again as its input."""
    execution = Execution(ROLLBACK, run.run_id, State.RUNNING, time.time())
    model = pushed_with(store.executions(), record.digest)
    execution.inputs = {"model": model} if model else {}
    store.put_execution(execution, run)
    execution.outputs = {"pushed_model": (_publish(layout, execution, record),)}
    execution.end(State.COMPLETE)
    store.put_execution(execution, run)


def _publish(layout: Layout, execution: Execution, record: RolledBack) -> StoredArtifact:
    """Publishes the PushedModel of a rollback in the pipeline root."""
    folder = layout.output(ROLLBACK, "pushed_model", execution.id)
    folder.mkdir(parents=True)
    artifact = PushedModel(folder)
    artifact.write(record)
    if layout.remote is None:
        fsync_tree(folder)
    properties = {name: value for name, value in msgspec.structs.asdict(record).items() if name != "model"}
    return StoredArtifact(
        artifact.TYPE_NAME,
        str(folder.resolve() if layout.remote is None else folder),
        artifact.content_digest(),
        properties | {artifact.PUSHED_PROPERTY: 1},
    )
