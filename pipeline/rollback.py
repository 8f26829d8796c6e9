"""Serves an earlier model again and records that as a run: the work of `bitext rollback`."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from bitext.components.artifacts import PushedModel, RolledBack
from bitext.components.pusher.rollback import rollback
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.layout import Layout
from bitext.pipeline.lock import locked
from bitext.pipeline.records import Execution, Run, State, StoredArtifact, new_run_id
from bitext.pipeline.sources import pushed_with
from bitext.pipeline.store import Store

NODE = "Rollback"


def roll_back(config: PipelineConfig, reason: str, wait: float = 0.0) -> RolledBack:
    """Serves the previously pushed model again and records that as a run of its own.

    Args:
      config: the configuration of the pipeline.
      reason: why; it is recorded.
      wait: seconds to wait for a run in progress to end.

    Raises:
      ConfigError: there is no earlier model, or another pipeline pushed the newest one.
      LockedError: a run is in progress.
      DataError: the earlier version's files are not those that were pushed.
      EnvironmentFault: the serving folder or the metadata store fails.
    """
    layout = Layout(Path(config.root))
    with locked(layout.root, wait):
        store = Store(config.metadata, layout.root, config.name)
        store.delete_orphans()
        history, now = store.executions(), time.time()
        run = Run(new_run_id(), config.name, str(layout.root.resolve()), State.RUNNING, now)
        run.root_id = layout.read_id()
        store.put_run(run)
        execution = Execution(NODE, run.run_id, State.RUNNING, now)
        try:
            record = rollback(Path(config.serving), reason, config.name)
            model = pushed_with(history, record.digest)
            execution.inputs = {"model": model} if model else {}
            store.put_execution(execution, run)
            execution.outputs = {"pushed_model": (_publish(layout, execution, record),)}
            execution.state = run.state = State.COMPLETE
        except BaseException as error:
            execution.state, run.state, run.error = State.FAILED, State.FAILED, str(error)
            raise
        finally:
            execution.finished = run.finished = time.time()
            store.put_execution(execution, run)
            store.put_run(run)
    return record


def _publish(layout: Layout, execution: Execution, record: RolledBack) -> StoredArtifact:
    """Publishes the PushedModel of a rollback in the pipeline root."""
    folder = layout.output(NODE, "pushed_model", execution.id)
    folder.mkdir(parents=True)
    artifact = PushedModel(folder)
    artifact.write(record)
    properties = {name: value for name, value in msgspec.structs.asdict(record).items() if name != "model"}
    return StoredArtifact(
        artifact.TYPE_NAME,
        str(folder.resolve()),
        artifact.content_digest(),
        properties | {artifact.PUSHED_PROPERTY: 1},
    )


def render(record: RolledBack) -> str:
    """Returns the result as text."""
    return (
        f"{record.model} version {record.version} is a copy of version {record.rolled_back_to}: "
        f"{record.path}\n"
        f"version {record.from_version} is withdrawn and will not be pushed again: {record.reason}"
    )
