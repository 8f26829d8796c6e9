"""`bitext rollback`: an earlier model served again, and on record as such."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from bitext.components.artifacts import PushedModel, RolledBack
from bitext.components.pusher.rollback import rollback
from bitext.pipeline import resolve
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.lock import locked
from bitext.pipeline.records import Execution, Run, State, StoredArtifact, new_run_id
from bitext.pipeline.runner import root_id
from bitext.pipeline.store import Store

NODE = "Rollback"


def roll_back(config: PipelineConfig, reason: str, wait: float = 0.0) -> RolledBack:
    """Puts the previous pushed model back, and records that as a run of its own.

    Args:
      config: of the pipeline.
      reason: why; it is recorded.
      wait: for how many seconds a run that is under way is waited for.

    Raises:
      ConfigError: there is nothing to go back to.
      LockedError: a run is under way.
      DataError: the earlier version's files are not those that were pushed.
      EnvironmentFault: the serving folder or the metadata store fails.
    """
    root = Path(config.root)
    with locked(root, wait):
        store = Store(config.metadata, root, config.name)
        store.delete_orphans()
        history, now = store.executions(), time.time()
        name = new_run_id()
        run = Run(name, config.name, str(root.resolve()), State.RUNNING, now, root_id=root_id(root))
        store.put_run(run)
        execution = Execution(NODE, name, State.RUNNING, now)
        try:
            done = rollback(Path(config.serving), reason)
            put_back = resolve.pushed_with(history, done.digest)
            execution.inputs = {"model": put_back} if put_back else {}
            store.put_execution(execution, run)
            execution.outputs = {"pushed_model": (_record(root, execution, done),)}
            execution.state = run.state = State.COMPLETE
        except BaseException as error:
            execution.state, run.state, run.error = State.FAILED, State.FAILED, str(error)
            raise
        finally:
            execution.finished = run.finished = time.time()
            store.put_execution(execution, run)
            store.put_run(run)
    return done


def _record(root: Path, execution: Execution, done: RolledBack) -> StoredArtifact:
    """What a push leaves in the pipeline root, of this one."""
    folder = root / NODE / "pushed_model" / str(execution.id)
    folder.mkdir(parents=True)
    artifact = PushedModel(folder)
    artifact.write(done)
    properties = {name: value for name, value in msgspec.structs.asdict(done).items() if name != "model"}
    return StoredArtifact(
        artifact.TYPE_NAME, str(folder.resolve()), artifact.content_digest(), properties | {"pushed": 1}
    )


def render(done: RolledBack) -> str:
    """What was done, for a person."""
    return (
        f"{done.model} version {done.version} is a copy of version {done.rolled_back_to}: {done.path}\n"
        f"version {done.from_version} is withdrawn and will not be pushed again: {done.reason}"
    )
